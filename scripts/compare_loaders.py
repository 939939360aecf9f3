#!/usr/bin/env python3
"""The loader beside a plain one: NumPy memory maps, torch transforms, a DataLoader with two workers.

    python3 scripts/compare_loaders.py --data phantoms --gliaflow target/release/gliaflow

Needs numpy, nibabel and torch. Both read the same cases, make patches of 128^3 of four modalities in
batches of two, and are measured in turns, so that a busy machine disturbs both. The figure is CPU seconds
per sample over the whole process tree; for the plain loader it is the difference between a longer and a
shorter run, so that starting Python is not counted.
"""

import argparse
import json
import os
import pathlib
import resource
import statistics
import subprocess
import sys

import numpy as np

PATCH, BATCH, WORKERS = 128, 2, 2
MODALITIES = ("t1", "t1ce", "t2", "flair")


def prepare(data, work):
    """Each case once: z-scores of the brain box as float32 planes, labels as uint8, tumour voxels."""
    import nibabel

    for folder in sorted(path for path in data.iterdir() if path.is_dir()):
        target = work / folder.name
        if (target / "tumour.npy").exists():
            continue
        target.mkdir(parents=True, exist_ok=True)
        volumes = [
            np.asarray(nibabel.load(folder / f"{folder.name}_{name}.nii.gz").dataobj, dtype=np.float32)
            for name in MODALITIES
        ]
        labels = np.asarray(nibabel.load(folder / f"{folder.name}_seg.nii.gz").dataobj, dtype=np.uint8)
        tissue = np.any([volume != 0 for volume in volumes], axis=0) | (labels != 0)
        box = tuple(slice(where.min(), where.max() + 1) for where in np.nonzero(tissue))
        planes = []
        for volume in volumes:
            mask = volume != 0
            mean, sd = volume[mask].mean(dtype=np.float64), volume[mask].std(dtype=np.float64)
            planes.append(np.where(mask, (volume - mean) / sd, 0)[box].astype(np.float32))
        np.save(target / "images.npy", np.stack(planes))
        np.save(target / "labels.npy", np.ascontiguousarray(labels[box]))
        np.save(target / "tumour.npy", np.argwhere(labels[box] > 0)[::16])


def plain_loader(work, profile, samples):
    """Loads so many samples, and nothing more."""
    import torch
    from torch.nn import functional as F
    from torch.utils.data import DataLoader, Dataset

    class Patches(Dataset):
        def __init__(self):
            self.cases = sorted(path for path in work.iterdir() if path.is_dir())

        def __len__(self):
            return samples

        def __getitem__(self, index):
            rng = np.random.default_rng((20181, index))
            case = self.cases[rng.integers(len(self.cases))]
            images = np.load(case / "images.npy", mmap_mode="r")
            labels = np.load(case / "labels.npy", mmap_mode="r")
            slack = np.maximum(np.array(labels.shape) - PATCH, 0)
            corner = rng.integers(slack + 1)
            tumour = np.load(case / "tumour.npy", mmap_mode="r")
            if rng.random() < 0.5 and len(tumour):
                centre = tumour[rng.integers(len(tumour))]
                corner = np.clip(centre - PATCH // 2, 0, slack)
            window = tuple(slice(int(at), int(at) + PATCH) for at in corner)
            image = torch.from_numpy(np.array(images[(slice(None), *window)]))
            label = torch.from_numpy(np.array(labels[window]))
            short = [PATCH - side for side in label.shape[::-1]]
            if any(short):
                pads = [part for missing in short for part in (missing // 2, missing - missing // 2)]
                image, label = F.pad(image, pads), F.pad(label, pads)
            if profile == "full":
                image, label = turn(image, label, rng)
            axes = [axis for axis in range(3) if rng.random() < 0.5]
            image = image.flip([axis + 1 for axis in axes])
            label = label.flip(axes)
            brain = image != 0
            factors = torch.from_numpy(rng.uniform(0.9, 1.1, (4, 1, 1, 1)).astype(np.float32))
            shifts = torch.from_numpy(rng.uniform(-0.1, 0.1, (4, 1, 1, 1)).astype(np.float32))
            image = torch.where(brain, image * factors + shifts, 0)
            regions = torch.stack([label == 4, (label == 1) | (label == 4), label > 0]).to(torch.uint8)
            return image, regions

    def turn(image, label, rng):
        angles = np.radians(rng.uniform(-15, 15, 3))
        matrix = np.eye(3)
        for axis, angle in enumerate(angles):
            first, second = [other for other in range(3) if other != axis]
            step = np.eye(3)
            step[first, first] = step[second, second] = np.cos(angle)
            step[first, second], step[second, first] = -np.sin(angle), np.sin(angle)
            matrix = matrix @ step
        matrix /= rng.uniform(0.85, 1.25)
        theta = torch.from_numpy(np.hstack([matrix, np.zeros((3, 1))]).astype(np.float32))[None]
        grid = F.affine_grid(theta, (1, 1, PATCH, PATCH, PATCH), align_corners=False)
        image = F.grid_sample(image[None], grid, mode="bilinear", align_corners=False)[0]
        label = label[None, None].to(torch.float32)
        label = F.grid_sample(label, grid, mode="nearest", align_corners=False)[0, 0]
        return image, label.to(torch.uint8)

    torch.set_num_threads(1)
    loader = DataLoader(Patches(), batch_size=BATCH, num_workers=WORKERS,
                        worker_init_fn=lambda _: torch.set_num_threads(1))
    return sum(len(images) for images, _ in loader)


def cpu_of(command):
    """CPU seconds and the largest resident process (bytes) of a command with all its children."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return spent, done.stdout


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data", type=pathlib.Path, required=True, help="phantom cases (BraTS 2020 names)")
    parser.add_argument("--gliaflow", type=pathlib.Path, default="target/release/gliaflow")
    parser.add_argument("--work", type=pathlib.Path, default="compare", help="caches of both loaders")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", choices=("light", "full"), help=argparse.SUPPRESS)
    parser.add_argument("--samples", type=int, default=0, help=argparse.SUPPRESS)
    options = parser.parse_args()
    plain = options.work / "plain"
    if options.only:
        assert plain_loader(plain, options.only, options.samples) == options.samples
        return
    plain.mkdir(parents=True, exist_ok=True)
    prepare(options.data, plain)
    rows = {}
    for profile in ("light", "full"):
        ours, theirs = [], []
        for _ in range(options.rounds):
            drain = [str(options.gliaflow), "drain", "--data", str(options.data), "--cache",
                     str(options.work / "cache"), "--profile", profile, "--batches", "100",
                     "--metrics-addr", "off", "--json"]
            ours.append(json.loads(cpu_of(drain)[1])["cpu_seconds_per_sample"])
            again = [sys.executable, os.path.abspath(__file__), "--data", str(options.data),
                     "--work", str(options.work), "--only", profile, "--samples"]
            spent = [cpu_of([*again, str(count)])[0] for count in (8, 48)]
            theirs.append((spent[1] - spent[0]) / 40)
        rows[profile] = (statistics.median(ours), statistics.median(theirs))
    print(f"CPU seconds per sample, median of {options.rounds} rounds, patch {PATCH}^3, batch {BATCH}\n")
    print("| profile | gliaflow | memmap + torch, 2 workers | ratio |")
    print("|---|---|---|---|")
    for profile, (ours, theirs) in rows.items():
        print(f"| warm, {profile} | {ours:.4f} | {theirs:.4f} | {theirs / ours:.1f} |")


if __name__ == "__main__":
    main()
