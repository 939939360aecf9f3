#!/usr/bin/env python3
"""The Python package beside the command, in training, and beside other loaders, in cost.

    python3 -m venv venv
    venv/bin/pip install . torch==2.15.0 safetensors==0.8.0 nibabel==5.4.2 monai==1.6.1 nnunetv2==2.8.1
    venv/bin/python scripts/compare_python.py training --gliaflow target/release/gliaflow --data phantoms \\
        --config configs/demo.toml --out compared
    venv/bin/python scripts/compare_python.py cost --data phantoms --work compared-cost

training: PyTorch draws the weights of a U-Net. `gliaflow train` trains it from them. PyTorch trains it from them, too,
on the batches of `gliaflow.Loader`, each of which must equal, to the bit, what the run trained on at that step
(`replay --arrays`); loss, optimiser and rates are the same (scripts/compare_training.py).

cost: CPU seconds per sample over the whole process tree, of patches in batches of two that arrive in one loop as
tensors, from gliaflow, a plain torch DataLoader (scripts/compare_loaders.py), MONAI's transforms and nnU-Net's, in
turns. Each figure is the difference between a longer and a shorter loop, so that starting Python is not counted. The
peers read the same preprocessed arrays and have two workers, of one thread each.
"""

import argparse
import itertools
import json
import pathlib
import statistics
import sys

import numpy as np

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

PATCH, BATCH, WORKERS = 128, 2, 2


def compare_training(options):
    import compare_training as training
    import torch
    from safetensors.torch import load_file
    from torch_step import NETWORKS

    import gliaflow

    options.out.mkdir(parents=True)
    torch.use_deterministic_algorithms(True)
    torch.set_num_threads(options.threads)
    shown = ["--config", options.config, *training.set_options(options.set)]
    config = training.gliaflow(options, "config", "show", *shown)
    net = NETWORKS[config["model"]["name"]](patch=config["crop"]["patch"], **config["model"]["settings"])
    init, run = options.out / "init.safetensors", options.out / "run"
    training.draw_weights(net, config["seed"], init)
    options.folds, options.split_seed = None, 1
    training.gliaflow(options, *training.train_line(options, config["seed"], None, init, run))

    events = [json.loads(line) for line in (run / "events.jsonl").read_text().splitlines()]
    steps = [event for event in events if event["event"] == "step"]
    net.load_state_dict(load_file(init))
    net.train()
    optimiser, clip = training.make_optimiser(net, config["optimiser"])
    lock = json.loads((run / "dataset.lock.json").read_text())
    cases = [case["id"] for case in lock["cases"] if case["split"] == "train"]
    augment = {name: value for name, value in config["augment"].items() if name != "profile"}
    arguments = {
        "patch": tuple(config["crop"]["patch"]),
        "foreground_share": config["crop"]["foreground_share"],
        "batch": config["loader"]["batch"],
        "patches_per_case": config["loader"]["patches_per_case"],
        "seed": config["seed"],
        "augment": augment,
        "cases": cases,
    }
    losses, same = [], 0
    with gliaflow.Loader(options.data, options.out / "cache", label="regions", **arguments) as loader:
        for step in steps:
            batch = next(loader)
            keys = [(key["epoch"], key["index"]) for key in step["samples"]]
            if batch["key"] != keys:
                sys.exit(f"step {step['step']}: the run trained on {keys}, the loader gave {batch['key']}")
            replayed = training.read_samples(options, run, step["samples"], options.out / "samples")
            for place, (images, targets) in enumerate(replayed):
                is_same = np.array_equal(batch["image"][place].astype(np.float32), images.numpy())
                if not is_same or not np.array_equal(batch["label"][place], targets.numpy()):
                    sys.exit(f"step {step['step']}, sample {place}: the batches differ")
                same += 1
            images, targets = torch.from_numpy(batch["image"]).float(), torch.from_numpy(batch["label"])
            optimiser.zero_grad(set_to_none=True)
            loss = training.total_loss(*net(images), targets, config["loss"])
            loss.backward()
            if clip is not None:
                torch.nn.utils.clip_grad_norm_(net.parameters(), clip)
            for group in optimiser.param_groups:
                group["lr"] = step["learning_rate"]
            optimiser.step()
            losses.append((step["loss"], loss.item()))
    differences = [abs(ours - theirs) / abs(theirs) for ours, theirs in losses]
    (options.out / "losses.json").write_text(json.dumps(losses))
    print(f"{same} samples of {len(steps)} steps are equal to the bit")
    for first in (1, 10, 50, len(losses)):
        print(f"losses of the first {first} steps differ by at most {max(differences[:first]):.1e} (relative)")
    means = [statistics.mean(column) for column in zip(*losses[-20:])]
    print(f"means of the last 20 losses: {means[0]:.6f} by the command, {means[1]:.6f} by PyTorch on the package's batches")


class Windows:
    """Windows of the plain loader's arrays: images [4, d, h, w] as float32 and labels [1, d, h, w]."""

    def __init__(self, work, samples, extent):
        self.cases = sorted(path for path in (work / "plain").iterdir() if path.is_dir())
        self.samples, self.extent = samples, np.asarray(extent)

    def __len__(self):
        return self.samples

    def __getitem__(self, index):
        rng = np.random.default_rng((20181, index))
        case = self.cases[rng.integers(len(self.cases))]
        images = np.load(case / "images.npy", mmap_mode="r")
        labels = np.load(case / "labels.npy", mmap_mode="r")
        slack = np.maximum(np.array(labels.shape) - self.extent, 0)
        corner = rng.integers(slack + 1)
        tumour = np.load(case / "tumour.npy", mmap_mode="r")
        if rng.random() < 0.5 and len(tumour):
            corner = np.clip(tumour[rng.integers(len(tumour))] - self.extent // 2, 0, slack)
        window = tuple(slice(int(at), int(at + side)) for at, side in zip(corner, self.extent))
        image, label = np.array(images[(slice(None), *window)]), np.array(labels[window])[None]
        short = self.extent - label.shape[1:]
        if short.any():
            pads = [(0, 0), *((missing // 2, missing - missing // 2) for missing in short)]
            image, label = np.pad(image, pads), np.pad(label, pads)
        return image, label


def draw_with_gliaflow(work, data, profile, samples):
    import gliaflow

    workers = {"fetch": 1, "crop": 1, "augment": WORKERS}
    arguments = {"patch": (PATCH,) * 3, "batch": BATCH, "augment": profile, "arrays": "torch", "workers": workers}
    with gliaflow.Loader(data, work / "cache", **arguments) as loader:
        return sum(len(batch["image"]) for batch in itertools.islice(loader, samples // BATCH))


def draw_with_workers(dataset):
    import torch
    from torch.utils.data import DataLoader

    torch.set_num_threads(1)
    start = {"worker_init_fn": lambda _: torch.set_num_threads(1)}
    return sum(len(batch["image"]) for batch in DataLoader(dataset, batch_size=BATCH, num_workers=WORKERS, **start))


def draw_with_monai(work, profile, samples):
    """MONAI's dictionary transforms: what `light` and `full` are in gliaflow."""
    from monai import transforms
    from monai.data import Dataset

    both = ["image", "label"]
    turned = {
        "keys": both,
        "prob": 1.0,
        "rotate_range": [np.radians(15)] * 3,
        "scale_range": [0.2] * 3,
        "mode": ("bilinear", "nearest"),
        "padding_mode": "zeros",
    }
    steps = [transforms.EnsureTyped(both)]
    steps += [transforms.RandAffined(**turned)] if profile == "full" else []
    steps += [transforms.RandFlipd(both, prob=0.5, spatial_axis=axis) for axis in range(3)]
    steps.append(transforms.RandScaleIntensityd("image", factors=0.1, prob=1.0, channel_wise=True))
    steps.append(transforms.RandShiftIntensityd("image", offsets=0.1, prob=1.0, channel_wise=True))
    windows = Windows(work, samples, (PATCH,) * 3)

    class Patches(Dataset):
        def __getitem__(self, index):
            image, label = windows[index]
            return self.transform({"image": image, "label": label})

    return draw_with_workers(Patches(list(range(samples)), transforms.Compose(steps)))


def draw_with_nnunet(work, samples):
    """nnU-Net's own transforms on windows of the extent that its rotation asks for."""
    import torch
    from nnunetv2.training.data_augmentation.compute_initial_patch_size import get_patch_size
    from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer
    from torch.utils.data import Dataset

    patch, turn = np.array((PATCH,) * 3), (-np.pi / 6, np.pi / 6)
    transform = nnUNetTrainer.get_training_transforms(
        patch, turn, None, (0, 1, 2), False, use_mask_for_norm=[True] * 4, foreground_labels=(1, 2, 4)
    )
    windows = Windows(work, samples, get_patch_size(patch, turn, turn, turn, (0.85, 1.25)))

    class Patches(Dataset):
        def __len__(self):
            return samples

        def __getitem__(self, index):
            image, label = windows[index]
            made = transform(image=torch.from_numpy(image), segmentation=torch.from_numpy(label.astype(np.int16)))
            return {"image": made["image"], "label": made["segmentation"]}

    return draw_with_workers(Patches())


PROFILES = {
    "light": ("gliaflow", "plain", "monai"),
    "full": ("gliaflow", "plain", "monai"),
    "nnunet": ("gliaflow", "nnunet"),
}


def draw_samples(options):
    from compare_loaders import plain_loader

    work, samples, profile = options.work, options.samples, options.profile
    drawn = {
        "gliaflow": lambda: draw_with_gliaflow(work, options.data, profile, samples),
        "plain": lambda: plain_loader(work / "plain", profile, samples),
        "monai": lambda: draw_with_monai(work, profile, samples),
        "nnunet": lambda: draw_with_nnunet(work, samples),
    }[options.only]()
    assert drawn == samples, (drawn, samples)


def compare_cost(options):
    from compare_loaders import cpu_of, prepare

    if options.only:
        return draw_samples(options)
    (options.work / "plain").mkdir(parents=True, exist_ok=True)
    prepare(options.data, options.work / "plain")
    rows = {}
    for profile, loaders in PROFILES.items():
        costs = {name: [] for name in loaders}
        # The first round fills gliaflow's cache and is not counted.
        for turn in range(-1, options.rounds):
            for name in loaders:
                line = [sys.executable, __file__, "cost", "--data", str(options.data), "--work", str(options.work)]
                line += ["--only", name, "--profile", profile, "--samples"]
                if turn < 0:
                    cpu_of([*line, "2"])
                    continue
                short, long = (cpu_of([*line, str(count)])[0] for count in (8, options.samples))
                costs[name].append((long - short) / (options.samples - 8))
        rows[profile] = costs
    print(f"CPU seconds per sample, median of {options.rounds} rounds (lowest to highest), patch {PATCH}^3, batch {BATCH}\n")
    print("| augmentation | loader | CPU s per sample | beside gliaflow |\n|---|---|---|---|")
    for profile, costs in rows.items():
        own = statistics.median(costs["gliaflow"])
        for name, spent in costs.items():
            middle = statistics.median(spent)
            print(f"| {profile} | {name} | {middle:.4f} ({min(spent):.4f} to {max(spent):.4f}) | {middle / own:.1f} |")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parts = parser.add_subparsers(dest="part", required=True)
    training = parts.add_parser("training")
    training.add_argument("--gliaflow", default="gliaflow", help="the program")
    training.add_argument("--data", type=pathlib.Path, required=True, help="a folder of labelled cases")
    training.add_argument("--config", required=True, help="settings of the run")
    training.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="a setting over them")
    training.add_argument("--threads", type=int, default=1, help="of PyTorch")
    training.add_argument("--out", type=pathlib.Path, required=True, help="a new folder")
    cost = parts.add_parser("cost")
    cost.add_argument("--data", type=pathlib.Path, required=True, help="phantom cases (BraTS 2020 names)")
    cost.add_argument("--work", type=pathlib.Path, required=True, help="caches of all loaders")
    cost.add_argument("--rounds", type=int, default=3)
    cost.add_argument("--samples", type=int, default=40)
    cost.add_argument("--only", help=argparse.SUPPRESS)
    cost.add_argument("--profile", help=argparse.SUPPRESS)
    options = parser.parse_args()
    {"training": compare_training, "cost": compare_cost}[options.part](options)


if __name__ == "__main__":
    main()
