#!/usr/bin/env python3
"""Segmentation of one case by `gliaflow predict` and by MONAI's sliding windows in PyTorch, by turns.

    scripts/compare_predict.py [--rounds N] [--patch 64] [--threads 2] [--together 4] RUN CASE PROGRAM [PROGRAM ...]

RUN is a run's folder of `unet` on the CPU, CASE the folder of one BraTS case. Both read four `.nii.gz`, standardise over tissue, crop
to the box around it, predict windows of the run's patch with an overlap of a half and Gaussian weights, and write
labels on the source's grid. The weights are those of `gliaflow export`. CPU seconds are the whole process's, imports and
start included; "windows" is MONAI's time for the sliding windows alone. Needs torch, monai, nibabel and safetensors.
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import time
from pathlib import Path

MODALITIES = ["t1", "t1ce", "t2", "flair"]


def predict(arguments):
    """Segments the case in this process, and prints its times."""
    import nibabel
    import numpy
    import torch
    from monai.inferers import sliding_window_inference
    from safetensors.torch import load_file
    from torch_step import UNet

    torch.set_num_threads(arguments.threads)
    weights = load_file(arguments.weights)
    network = UNet(base_width=weights["enc.0.0.conv.weight"].shape[0])
    network.load_state_dict(weights)
    network.eval()
    case = Path(arguments.case)
    files = [nibabel.load(next(case.glob(f"*_{name}.nii.gz"))) for name in MODALITIES]
    images = numpy.stack([numpy.asarray(file.dataobj, dtype=numpy.float32).transpose(2, 1, 0) for file in files])
    places = numpy.nonzero(images.any(0))
    box = tuple(slice(axis.min(), axis.max() + 1) for axis in places)
    images = images[(slice(None), *box)].copy()
    for image in images:
        tissue = image != 0
        image[tissue] = (image[tissue] - image[tissue].mean()) / image[tissue].std()
    windows = 0

    def count(batch):
        nonlocal windows
        windows += len(batch)
        return torch.sigmoid(network(batch)[0][0][1])

    began = time.process_time()
    with torch.inference_mode():
        probabilities = sliding_window_inference(
            torch.from_numpy(images)[None], (arguments.patch,) * 3, arguments.together, count, overlap=0.5, mode="gaussian"
        )[0]
    sliding = time.process_time() - began
    whole, core, enhancing = (probabilities > 0.5).numpy()[[2, 1, 0]]
    labels = numpy.zeros(files[0].shape[::-1], numpy.uint8)
    inside = numpy.where(enhancing, 4, numpy.where(core, 1, numpy.where(whole, 2, 0)))
    labels[box] = inside
    nibabel.save(nibabel.Nifti1Image(labels.transpose(2, 1, 0), files[0].affine), arguments.out)
    used = resource.getrusage(resource.RUSAGE_SELF)
    print(json.dumps({"cpu": used.ru_utime + used.ru_stime, "windows_cpu": sliding, "windows": windows,
                      "torch": torch.__version__}))


def spend(command, environment):
    """CPU and wall seconds of a command, and what it printed."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    began = time.monotonic()
    done = subprocess.run(command, env=os.environ | environment, capture_output=True, text=True)
    wall = time.monotonic() - began
    if done.returncode != 0:
        sys.exit(f"{' '.join(map(str, command))}\n{done.stderr}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return cpu, wall, done.stdout


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--patch", type=int, default=64)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--together", type=int, default=4, help="windows that MONAI predicts at once (PyTorch "
                        "convolves a single one by slower kernels)")
    parser.add_argument("--weights", help=argparse.SUPPRESS)
    parser.add_argument("--out", default="compare-predict", help="folder for weights and label files")
    parser.add_argument("run")
    parser.add_argument("case")
    parser.add_argument("programs", nargs="*")
    arguments = parser.parse_args()
    if arguments.weights:
        predict(arguments)
        return
    out = Path(arguments.out)
    out.mkdir(exist_ok=True)
    first = arguments.programs[0]
    subprocess.run([first, "export", "--run", arguments.run, "--out", out / "weights.safetensors"], check=True,
                   capture_output=True)
    common = [arguments.run, arguments.case, "--patch", str(arguments.patch), "--threads", str(arguments.threads),
              "--together", str(arguments.together)]
    peer = [sys.executable, __file__, *common, "--weights", str(out / "weights.safetensors"), "--out",
            str(out / "monai.nii.gz")]
    ours = ["predict", "--run", arguments.run, "--data", arguments.case, "--metrics-addr", "off"]
    spent = {}
    for number in range(arguments.rounds):
        turns = [("MONAI", peer)] + [(str(program), [program, *ours, "--out", out / f"labels-{at}"])
                                     for at, program in enumerate(arguments.programs)]
        for name, command in turns[number % len(turns):] + turns[: number % len(turns)]:
            passive = {"OMP_WAIT_POLICY": "PASSIVE", "RAYON_NUM_THREADS": str(arguments.threads)}
            cpu, wall, printed = spend([str(word) for word in command], passive)
            spent.setdefault(name, []).append((cpu, wall))
            print(f"{name}: {cpu:.1f} s of a processor, {wall:.1f} s", printed.strip() if name == "MONAI" else "",
                  flush=True)
    peers = [cpu for cpu, _ in spent["MONAI"]]
    for name, both in spent.items():
        ratios = [peer / cpu for peer, (cpu, _) in zip(peers, both)]
        cpu, wall = (statistics.median(one) for one in zip(*both))
        print(f"{name}: median {cpu:.2f} s of a processor, {wall:.2f} s; MONAI's by it {statistics.median(ratios):.2f}"
              f" ({min(ratios):.2f} to {max(ratios):.2f})")


if __name__ == "__main__":
    main()
