#!/usr/bin/env python3
"""The loader beside others: a plain one (NumPy memory maps, torch, a DataLoader) and strong peers.

    python3 -m venv venv
    venv/bin/pip install nibabel torch numba nvidia-dali-cuda120 batchgeneratorsv2 monai
    venv/bin/python scripts/compare_loaders.py --data phantoms --gliaflow target/release/gliaflow

All read the same cases and make patches of 128^3 of four modalities in batches of two, by two threads or two workers
of one thread each; what each peer is, scripts/loader_peers.py says. A peer whose package is missing is left out. The
programs are measured in turns, in an order that changes from round to round, so that a busy machine disturbs all.
The figure is CPU seconds per sample over the whole process tree. gliaflow counts them itself, after its warm-up; for
a peer it is the difference between a longer and a shorter run, so that starting Python is not counted. Ratios are
taken within a round. gliaflow's batch has half-precision images and one byte of label a voxel; numba's has
half-precision images, all others' have single, and every peer's has three bytes of regions.
"""

import argparse
import datetime
import importlib.metadata
import importlib.util
import json
import os
import pathlib
import resource
import statistics
import subprocess
import sys

import numpy as np

PATCH, BATCH, WORKERS, SEED = 128, 2, 2, 20181
# Samples of the shorter of two runs.
SHORT = 8
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


def prepare_halves(work):
    """Writes each case in half precision: planes of at least a patch with their classes, and voxels with their cells.

    Voxels have the modalities together, in a border of zeros. A cell is the label at a voxel, and 128 if any of the
    eight from there on is of the brain: half of a box is air.
    """
    for folder in sorted(path for path in (work / "plain").iterdir() if path.is_dir()):
        if (folder / "cells.npy").exists():
            continue
        images, labels = np.load(folder / "images.npy").astype(np.float16), np.load(folder / "labels.npy")
        short = [max(PATCH - side, 0) for side in labels.shape]
        pads = [(missing // 2, missing - missing // 2) for missing in short]
        np.save(folder / "planes.npy", np.pad(images, [(0, 0), *pads]).view(np.uint16))
        np.save(folder / "classes.npy", np.pad(labels, pads))
        images, labels = np.pad(np.moveaxis(images, 0, -1), ((1, 1), (1, 1), (1, 1), (0, 0))), np.pad(labels, 1)
        occupied = (images != 0).any(-1) | (labels != 0)
        for axis in range(3):
            # The last layer is border, so what comes round from the first one is 0.
            occupied |= np.roll(occupied, -1, axis)
        np.save(folder / "voxels.npy", np.ascontiguousarray(images).view(np.uint16))
        np.save(folder / "cells.npy", labels | occupied * np.uint8(128))


def draw_corner(rng, shape, tumour):
    """Draws the corner of a patch: anywhere in the case, or, for half of the patches, around a voxel of tumour."""
    slack = np.maximum(np.array(shape) - PATCH, 0)
    corner = rng.integers(slack + 1)
    if rng.random() < 0.5 and len(tumour):
        corner = np.clip(tumour[rng.integers(len(tumour))] - PATCH // 2, 0, slack)
    return corner


def draw_linear(rng):
    """Draws rotations within 15 degrees about each axis and a scale of 0.85 to 1.25, as a map from patch to case."""
    matrix = np.eye(3)
    for axis, angle in enumerate(np.radians(rng.uniform(-15, 15, 3))):
        first, second = [other for other in range(3) if other != axis]
        step = np.eye(3)
        step[first, first] = step[second, second] = np.cos(angle)
        step[first, second], step[second, first] = -np.sin(angle), np.sin(angle)
        matrix = matrix @ step
    return matrix / rng.uniform(0.85, 1.25)


def open_cases(work, *names):
    """Maps these arrays of all cases, and reads the places of tumour."""

    def mapped(path):
        # Copied on write, which nobody does: torch warns of arrays that cannot be written.
        return np.asarray(np.load(path, mmap_mode="c"))

    folders = sorted(path for path in (work / "plain").iterdir() if path.is_dir())
    arrays = [[mapped(folder / f"{name}.npy") for name in names] for folder in folders]
    return arrays, [np.load(folder / "tumour.npy") for folder in folders]


def draw_sample(index, shapes, tumours, profile):
    """Draws case, map of indices of the patch to those of the case (matrix, origin), factors and shifts."""
    rng = np.random.default_rng((SEED, index))
    case = int(rng.integers(len(shapes)))
    shape = np.array(shapes[case])
    corner = draw_corner(rng, shape, tumours[case]) - np.maximum(PATCH - shape, 0) // 2
    linear = draw_linear(rng) if profile == "full" else np.eye(3)
    matrix = linear @ np.diag(rng.choice([-1.0, 1.0], 3))
    middle = (PATCH - 1) / 2
    origin = corner + middle - matrix @ np.full(3, middle)
    factors = rng.uniform(0.9, 1.1, 4).astype(np.float32)
    return case, matrix, origin, factors, rng.uniform(-0.1, 0.1, 4).astype(np.float32)


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
            rng = np.random.default_rng((SEED, index))
            case = self.cases[rng.integers(len(self.cases))]
            images = np.load(case / "images.npy", mmap_mode="r")
            labels = np.load(case / "labels.npy", mmap_mode="r")
            corner = draw_corner(rng, labels.shape, np.load(case / "tumour.npy", mmap_mode="r"))
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
        matrix = draw_linear(rng)
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
    """CPU seconds of a command with all its children, and what it printed."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return spent, done.stdout


def cost_of_gliaflow(options, profile):
    batches = (options.samples or 200) // BATCH
    drain = [str(options.gliaflow), "drain", "--data", str(options.data), "--cache", str(options.work / "cache"),
             "--profile", profile, "--batches", str(batches), "--metrics-addr", "off", "--json"]
    return json.loads(cpu_of(drain)[1])["cpu_seconds_per_sample"]


def cost_of_peer(options, name, profile, counts):
    again = [sys.executable, os.path.abspath(__file__), "--data", str(options.data), "--work", str(options.work),
             "--only", name, "--profiles", profile, "--samples"]
    spent = [cpu_of([*again, str(count)])[0] for count in counts]
    return (spent[-1] - spent[0]) / max(counts[-1] - counts[0], 1)


def measure(options, profile, peers):
    """Costs of gliaflow and of each peer, a number per round, and why a peer has none."""
    from loader_peers import PEERS

    costs, failed = {name: [] for name in ("gliaflow", *peers)}, {}
    # The round before the first fills caches, has numba compile, and is not counted.
    for turn in range(-1, options.rounds):
        names = list(costs)
        for name in names[turn % len(names):] + names[:turn % len(names)]:
            if name == "gliaflow":
                cost = cost_of_gliaflow(options, profile)
            else:
                counts = (SHORT, SHORT + (options.samples or PEERS[name][2])) if turn >= 0 else (BATCH,)
                try:
                    cost = cost_of_peer(options, name, profile, counts)
                except subprocess.CalledProcessError as error:
                    failed[name] = (error.stderr.strip().splitlines() or [f"exit {error.returncode}"])[-1]
                    del costs[name]
                    continue
            costs[name] += [cost] if turn >= 0 else []
    return costs, failed


def find_peers(options):
    """Names of the peers whose packages are here; says of the rest what to install."""
    from loader_peers import PEERS

    found = []
    for name in options.peers:
        missing = [package for module, package in PEERS[name][3].items() if not has_module(module)]
        if missing:
            print(f"{name} is left out: pip install {' '.join(missing)}")
        else:
            found.append(name)
    return found


def has_module(name):
    try:
        return importlib.util.find_spec(name) is not None
    except ModuleNotFoundError:
        return False


def print_machine(options, peers):
    from loader_peers import PEERS

    told = pathlib.Path("/proc/cpuinfo").read_text().split("\n\n")[0].splitlines()
    cpu = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in told)}
    packages = dict.fromkeys(["numpy", *(package for name in peers for package in PEERS[name][3].values())])
    versions = [f"{name} {importlib.metadata.version(name)}" for name in packages]
    program = subprocess.run([str(options.gliaflow), "--version"], capture_output=True, text=True).stdout.strip()
    family = f"family {cpu.get('cpu family')}, model {cpu.get('model')}, {os.cpu_count()} cores"
    print(f"{datetime.date.today()}, {cpu.get('model name')}, {family}, Linux {os.uname().release}")
    print(f"{program}, Python {sys.version.split()[0]}, {', '.join(versions)}\n")


def print_rows(profile, costs, failed):
    from loader_peers import PEERS

    for name, spent in costs.items():
        ratios = [each / own for each, own in zip(spent, costs["gliaflow"])]
        spread = f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"
        program, by = ("gliaflow", "1") if name == "gliaflow" else (PEERS[name][1], spread)
        print(f"| {profile} | {program} | {statistics.median(spent):.4f} | {by} |")
    for name, reason in failed.items():
        print(f"| {profile} | {PEERS[name][1]} | - | {reason} |")


def main():
    def names(text):
        return text.split(",")

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--data", type=pathlib.Path, required=True, help="phantom cases (BraTS 2020 names)")
    parser.add_argument("--gliaflow", type=pathlib.Path, default="target/release/gliaflow")
    parser.add_argument("--work", type=pathlib.Path, default="compare", help="caches of all loaders")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--peers", type=names, default="plain,numba,dali,nnunet,monai")
    parser.add_argument("--profiles", type=names, default="light,full")
    parser.add_argument("--samples", type=int, help="per run, instead of each program's own number")
    parser.add_argument("--only", help=argparse.SUPPRESS)
    options = parser.parse_args()
    # numba reads these when it is imported: the first lets four modalities become one vector.
    os.environ.update(NUMBA_SLP_VECTORIZE="1", NUMBA_CACHE_DIR=str(options.work / "numba"))
    from loader_peers import PEERS

    if options.only:
        drawn = PEERS[options.only][0](options.work, options.profiles[0], options.samples)
        assert drawn == options.samples, (drawn, options.samples)
        return
    (options.work / "plain").mkdir(parents=True, exist_ok=True)
    prepare(options.data, options.work / "plain")
    peers = find_peers(options)
    rows = {profile: measure(options, profile, peers) for profile in options.profiles}
    print_machine(options, peers)
    print(f"Patch {PATCH}^3, batch {BATCH}, medians of {options.rounds} rounds, ratios with least and greatest\n")
    print("| profile | program | CPU seconds a sample (median) | by gliaflow's |")
    print("|---|---|---|---|")
    for profile, (costs, failed) in rows.items():
        print_rows(profile, costs, failed)


if __name__ == "__main__":
    main()
