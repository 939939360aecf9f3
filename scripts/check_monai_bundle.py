#!/usr/bin/env python3
"""Holds an exported bundle against MONAI: it loads the network, and computes the same logits and labels.

    scripts/check_monai_bundle.py [--schema FILE] target/debug/gliaflow

Trains a residual U-Net for some steps on phantoms, exports it by `gliaflow export --monai-bundle`, loads
network and weights by MONAI's ConfigParser, and compares logits with those of `gliaflow export --reference`
on three extents. Then MONAI's own checks of a bundle, and `monai.bundle run` on the phantoms, whose label
files are compared with those of `gliaflow predict`. Needs what `just check-monai-bundle` installs. The
exit code is 1 if logits differ by more than 1e-4, or labels in more than one voxel of 10,000.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import monai
import nibabel
import numpy
import torch
from monai.bundle import ConfigParser
from safetensors.numpy import load_file

LIMIT = 1e-4
OTHER_VOXELS = 1e-4
EXTENTS = [(16, 16, 16), (16, 24, 32), (40, 8, 24)]
SETTINGS = "base_width=8,groups=2,encoder_units=[1,2,1],patch=[16,16,16],latent=8"


def run(line, folder, **options):
    done = subprocess.run(line, cwd=folder, capture_output=True, text=True, **options)
    if done.returncode != 0:
        sys.exit(f"{' '.join(line)}\n{done.stdout[-4000:]}\n{done.stderr[-4000:]}")
    return done.stdout


def train(program, folder):
    run([program, "phantom", "--out", "data", "--cases", "4", "--seed", "3", "--shape", "40x44x42",
         "--metrics-addr", "off"], folder)
    assignments = [
        "device=cpu", "data.cache=cache", "crop.patch=[16,16,16]", "model.name=resunet_vae",
        f"model.settings={{{SETTINGS}}}", "loader.memory_mib=512", "train.epochs=1",
        "train.steps_per_epoch=20", "train.learning_rate=1e-3",
    ]
    line = [program, "train", "--data", "data", "--run", "run", "--metrics-addr", "off"]
    run(line + [word for one in assignments for word in ("--set", one)], folder)


def compare_logits(program, folder, bundle):
    parser = ConfigParser()
    parser.read_config(str(bundle / "configs/inference.json"))
    parser.read_meta(str(bundle / "configs/metadata.json"))
    network = parser.get_parsed_content("network_def").eval()
    weights = torch.load(bundle / "models/model.pt", map_location="cpu", weights_only=True)
    network.load_state_dict(weights, strict=True)
    worst = 0.0
    for extent in EXTENTS:
        text = ",".join(str(side) for side in extent)
        run([program, "export", "--run", "run", "--reference", "r.safetensors", "--extent", text], folder)
        reference = load_file(folder / "r.safetensors")
        with torch.no_grad():
            images = torch.from_numpy(reference["images"]).permute(0, 1, 4, 3, 2)
            found = network(images).permute(0, 1, 4, 3, 2).numpy()
        difference = float(numpy.abs(found - reference["logits"]).max())
        print(f"  {'x'.join(map(str, extent)):>10}: difference {difference:.2e}, "
              f"largest logit {numpy.abs(found).max():.2f}")
        worst = max(worst, difference)
    return worst


def check_by_monai(folder, bundle, schema):
    """MONAI's own checks: of the network's ends, and of the metadata where its schema can be had."""
    configs = ["--meta_file", "configs/metadata.json", "--config_file", "configs/inference.json"]
    module = [sys.executable, "-m", "monai.bundle"]
    run([*module, "verify_net_in_out", "network_def", *configs, "--device", "cpu", "--n", "2"], bundle)
    print("  verify_net_in_out: passed")
    # MONAI fetches no schema that is there already.
    if schema:
        shutil.copy(schema, folder / "schema.json")
    line = [*module, "verify_metadata", "--meta_file", "configs/metadata.json", "--filepath",
            str(folder / "schema.json")]
    done = subprocess.run(line, cwd=bundle, capture_output=True, text=True)
    if done.returncode == 0:
        print("  verify_metadata: passed")
    elif "Failed validating" in done.stderr:
        sys.exit(done.stderr[-3000:])
    else:
        print(f"  verify_metadata: not run, no schema ({done.stderr.strip().splitlines()[-1][:120]})")


def compare_labels(program, folder, bundle):
    run([program, "predict", "--run", "run", "--data", "data", "--out", "ours", "--metrics-addr", "off"],
        folder)
    run([sys.executable, "-m", "monai.bundle", "run", "--config_file", "configs/inference.json",
         "--bundle_root", ".", "--dataset_dir", str(folder / "data"), "--output_dir", str(folder / "theirs")],
        bundle, env={**os.environ, "CUDA_VISIBLE_DEVICES": ""})
    worst = 0.0
    files = sorted((folder / "ours").glob("*.nii.gz"))
    assert len(files) == 4, files
    for file in files:
        case = file.name.removesuffix(".nii.gz")
        [match] = (folder / "theirs").glob(f"{case}*_seg.nii.gz")
        ours, theirs = nibabel.load(file), nibabel.load(match)
        assert numpy.allclose(ours.affine, theirs.affine, atol=1e-4), (ours.affine, theirs.affine)
        labels = numpy.asarray(ours.dataobj)
        found = numpy.asarray(theirs.dataobj).reshape(labels.shape)
        differ = int((labels != found).sum())
        print(f"  {case}: {differ} of {labels.size} voxels differ, {int((labels > 0).sum())} are tumour; "
              f"values {sorted(set(numpy.unique(labels)) | set(numpy.unique(found)))}")
        assert (labels > 0).any(), "a comparison of nothing"
        worst = max(worst, differ / labels.size)
    return worst


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("program", type=lambda path: str(Path(path).resolve()))
    parser.add_argument("--schema", type=Path, help="a copy of meta_schema_20240725.json, else fetched")
    arguments = parser.parse_args()
    program = arguments.program
    print(f"MONAI {monai.__version__}, torch {torch.__version__}; limit {LIMIT:g} on logits")
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        train(program, folder)
        report = run([program, "export", "--run", "run", "--monai-bundle", "bundle", "--json"], folder)
        report = json.loads(report)
        print(f"bundle: {report['parameters']} values in {report['tensors']} tensors")
        bundle = folder / "bundle"
        logits = compare_logits(program, folder, bundle)
        check_by_monai(folder, bundle, arguments.schema)
        labels = compare_labels(program, folder, bundle)
    sys.exit(0 if logits < LIMIT and labels < OTHER_VOXELS else 1)


if __name__ == "__main__":
    main()
