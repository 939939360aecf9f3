#!/usr/bin/env python3
"""The same training by gliaflow and by PyTorch, side by side, on a folder of labelled cases.

    python3 -m venv venv
    venv/bin/pip install torch==2.15.0 numpy==2.4.6 safetensors==0.8.0 scipy==1.17.1
    venv/bin/python scripts/compare_training.py --gliaflow target/release/gliaflow \\
        --data data/BraTS2020 --config configs/demo.toml --seeds 3 --out comparison

For every seed PyTorch draws initial weights, and gliaflow trains from them (`train --init`). PyTorch then trains the
same network (scripts/torch_step.py) from them, on the very batches, in the order of the run's journal
(`replay --arrays`), with the same loss, the same optimiser, and the rate that the journal has for each step. Its
weights are scored by gliaflow on the same held-out cases: as `--init` of a run with one step at a rate of 1e-30,
which moves no weight. So network, gradients, loss and optimiser are compared; sliding windows and measures, which
scripts/oracles hold against MONAI and others, are one code for both.

All seeds share one division of the cases; with --folds K every case is held out once for each seed. Dropout and a
latent variable are drawn by each program on its own: with them only the means can be equal. The tests are paired:
Wilcoxon's signed-rank test over cases, each averaged over seeds first, and a t interval over seeds.
"""

import argparse
import csv
import json
import math
import pathlib
import shutil
import statistics
import subprocess
import sys
import time

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch.nn import functional as F

from torch_step import NETWORKS

REGIONS = ("ET", "TC", "WT")
STILL = ("train.learning_rate=1e-30", "train.epochs=1", "train.steps_per_epoch=1", "train.accumulate=1")
# A chunk of samples is on the disk at a time.
STEPS_IN_CHUNK = 50


def gliaflow(options, *words):
    """Runs a line and returns its JSON document."""
    line = [options.gliaflow, *map(str, words), "--json"]
    done = subprocess.run(line, capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"{' '.join(line)}\nended with {done.returncode}: {done.stderr}")
    return json.loads(done.stdout)


def train_line(options, seed, fold, init, run):
    cache = json.dumps(str(options.out / "cache"))
    settings = [f"seed={seed}", f"data.split_seed={options.split_seed}", f"data.cache={cache}"]
    words = ["train", "--config", options.config] if options.config else ["train"]
    words += ["--data", options.data, "--device", "cpu", "--init", init, "--run", run, "--metrics-addr", "off"]
    if options.folds:
        words += ["--fold", f"{fold}/{options.folds}"]
    return words + set_options(settings + options.set)


def set_options(settings):
    return [word for setting in settings for word in ("--set", setting)]


def draw_weights(net, seed, file):
    """A U-Net's kernels from N(0, 2 / fan in) and its biases 0, as gliaflow draws them; else PyTorch's own."""
    generator = torch.Generator().manual_seed(seed)
    state = net.state_dict()
    for name, value in state.items() if isinstance(net, NETWORKS["unet"]) else ():
        if value.dim() > 1:
            value.copy_(torch.randn(value.shape, generator=generator) * math.sqrt(2 / value[0].numel()))
        elif not name.endswith("norm.weight"):
            value.zero_()
    save_file({name: value.contiguous() for name, value in state.items()}, file)


def make_optimiser(net, settings):
    settings = dict(settings)
    kind, clip = settings.pop("kind"), settings.pop("clip_norm", None)
    decay = settings.pop("weight_decay", 0.01 if kind == "adamw" else 1e-5)
    if settings.pop("average", None) is not None:
        sys.exit("optimiser.average: this comparison has no average of weights; leave it out")
    kernels = [value for value in net.parameters() if value.dim() > 1]
    others = [value for value in net.parameters() if value.dim() <= 1]
    spared = 0.0 if settings.pop("decay_kernels_only", False) else decay
    groups = [{"params": kernels, "weight_decay": decay}, {"params": others, "weight_decay": spared}]
    if kind in ("adam", "adamw"):
        make = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}[kind]
        betas = (settings.pop("beta1", 0.9), settings.pop("beta2", 0.999))
        arguments = {"betas": betas, "eps": settings.pop("epsilon", 1e-8), "amsgrad": settings.pop("amsgrad", False)}
    elif kind == "sgd":
        make = torch.optim.SGD
        arguments = {"momentum": settings.pop("momentum", 0.9), "nesterov": settings.pop("nesterov", False)}
    else:
        sys.exit(f"optimiser.kind = {kind}: this comparison knows adam, adamw and sgd")
    if settings:
        sys.exit(f"optimiser.{next(iter(settings))}: this comparison does not know it")
    return make(groups, lr=1e-3, **arguments), clip


def total_loss(answers, penalties, target, settings):
    """gliaflow's loss: soft Dice with squared denominators, and cross-entropy, at each scale."""
    total = sum(penalties)
    axes = (2, 3, 4) if settings.get("per_sample") else (0, 2, 3, 4)
    for weight, logits in answers:
        coarse = target
        while coarse.shape[2] > logits.shape[2]:
            coarse = F.avg_pool3d(coarse, 2)
        p = logits.sigmoid()
        sizes = p.square().sum(axes) + coarse.square().sum(axes) + settings.get("denominator_epsilon", 1e-8)
        scores = (2 * (p * coarse).sum(axes) + settings.get("numerator_epsilon", 0.0)) / sizes
        bce = F.binary_cross_entropy_with_logits(logits, coarse)
        bce = bce * len(REGIONS) if settings.get("region_sum") else bce
        total = total + weight * (1 - scores.mean() + bce)
    return total


def read_samples(options, run, keys, folder):
    """Images [n, 4, d, h, w] and targets [n, 3, d, h, w] of consecutive samples of a run."""
    first = keys[0]
    words = ("--key", f"{first['epoch']}/{first['index']}", "--count", len(keys), "--arrays", "--out", folder)
    told = gliaflow(options, "replay", "--run", run, *words)
    samples = told.get("samples", [told])
    if [sample["key"] for sample in samples] != keys:
        sys.exit(f"{run}: its journal has samples left out, so its batches cannot be made again; mend the cases first")
    for images, targets in (sample["files"] for sample in samples):
        yield (
            torch.from_numpy(np.load(images).astype(np.float32)),
            torch.from_numpy(np.load(targets).astype(np.float32) / 255),
        )
    shutil.rmtree(folder)


def train_in_torch(options, run, config, net, init, work):
    """Trains on the run's batches at the run's rates; returns the losses of both and the seconds of PyTorch."""
    net.load_state_dict(load_file(init))
    net.train()
    optimiser, clip = make_optimiser(net, config["optimiser"])
    events = [json.loads(line) for line in (run / "events.jsonl").read_text().splitlines()]
    if any(event["event"] in ("not_finite", "skipped") for event in events):
        sys.exit(f"{run}: a step was not finite or a sample was left out; there is nothing to compare")
    steps = [event for event in events if event["event"] == "step"]
    accumulate = config["train"]["accumulate"]
    losses, seconds = [], 0.0
    for place in range(0, len(steps), STEPS_IN_CHUNK):
        chunk = steps[place : place + STEPS_IN_CHUNK]
        keys = [key for step in chunk for key in step["samples"]]
        samples = list(read_samples(options, run, keys, work / "samples"))
        began = time.perf_counter()
        for step in chunk:
            count = len(step["samples"]) // accumulate
            optimiser.zero_grad(set_to_none=True)
            loss = 0.0
            for _ in range(accumulate):
                batch, samples = samples[:count], samples[count:]
                images, targets = (torch.stack(parts) for parts in zip(*batch))
                part = total_loss(*net(images), targets, config["loss"]) / accumulate
                part.backward()
                loss += part.item()
            if clip is not None:
                torch.nn.utils.clip_grad_norm_(net.parameters(), clip)
            for group in optimiser.param_groups:
                group["lr"] = step["learning_rate"]
            optimiser.step()
            losses.append((step["loss"], loss))
        seconds += time.perf_counter() - began
    return losses, seconds


def read_dice(run):
    """Dice by (case, region) of a run's held-out cases."""
    with open(run / "validation" / "cases.csv", newline="") as file:
        return {(row["case"], row["region"]): float(row["dice"]) for row in csv.DictReader(file)}


def compare_once(options, seed, fold):
    work = options.out / (f"seed-{seed}" if fold is None else f"seed-{seed}-fold-{fold}")
    work.mkdir(parents=True)
    init, trained = work / "init.safetensors", work / "torch.safetensors"
    shown = ["--config", options.config] if options.config else []
    config = gliaflow(options, "config", "show", *shown, *set_options(options.set))
    settings = {"patch": config["crop"]["patch"], **config["model"]["settings"]}
    net = NETWORKS[config["model"]["name"]](**settings)
    draw_weights(net, seed, init)
    run = work / "gliaflow"
    began = time.perf_counter()
    summary = gliaflow(options, *train_line(options, seed, fold, init, run))
    whole = time.perf_counter() - began
    losses, seconds = train_in_torch(options, run, config, net, init, work)
    save_file({name: value.contiguous() for name, value in net.state_dict().items()}, trained)
    gliaflow(options, *train_line(options, seed, fold, trained, work / "torch"), *set_options(STILL))
    differences = [abs(ours - theirs) / abs(theirs) for ours, theirs in losses[:10]]
    last = [statistics.mean(column) for column in zip(*losses[-20:])]
    print(
        f"{work.name}: {len(losses)} steps; the first loss differs by {differences[0]:.0e}, the first 10 by at most "
        f"{max(differences):.0e}; means of the last 20: "
        f"{last[0]:.4f} gliaflow, {last[1]:.4f} PyTorch; {summary['train_seconds']:.0f} s and {seconds:.0f} s of steps",
        flush=True,
    )
    return {
        "seed": seed,
        "fold": fold,
        "steps": len(losses),
        "first_losses_differ": differences,
        "last_losses": last,
        "seconds": {"gliaflow": summary["train_seconds"], "torch": seconds, "gliaflow_with_scores": whole},
        "dice": [
            {"case": case, "region": region, "gliaflow": ours, "torch": theirs}
            for ((case, region), ours), theirs in zip(read_dice(run).items(), read_dice(work / "torch").values())
        ],
    }


def spread(values):
    return f"{statistics.mean(values):.4f} ± {statistics.stdev(values) if len(values) > 1 else 0:.4f}"


def paired_tests(rows):
    """Wilcoxon's test over cases averaged by seed, and a 95 % t interval of the seeds' mean differences."""
    from scipy import stats

    by_case, by_seed = {}, {}
    for row in rows:
        difference = row["gliaflow"] - row["torch"]
        by_case.setdefault(row["case"], []).append(difference)
        by_seed.setdefault(row["seed"], []).append(difference)
    cases = [statistics.mean(values) for values in by_case.values()]
    seeds = [statistics.mean(values) for values in by_seed.values()]
    parts = [f"difference {statistics.mean(cases):+.4f}"]
    if len(cases) > 1 and any(cases):
        parts.append(f"Wilcoxon over {len(cases)} cases p = {stats.wilcoxon(cases).pvalue:.3f}")
    if len(seeds) > 1:
        half = stats.t.ppf(0.975, len(seeds) - 1) * statistics.stdev(seeds) / math.sqrt(len(seeds))
        middle = statistics.mean(seeds)
        parts.append(f"95 % over {len(seeds)} seeds {middle - half:+.4f} to {middle + half:+.4f}")
    return "; ".join(parts)


def report(outcomes):
    rows = [{"seed": one["seed"], **row} for one in outcomes for row in one["dice"]]
    finite = [row for row in rows if math.isfinite(row["gliaflow"]) and math.isfinite(row["torch"])]
    lines = ["region | gliaflow | PyTorch | paired", "---|---|---|---"]
    for region in (*REGIONS, "mean"):
        chosen = [row for row in finite if region in (row["region"], "mean")]
        means = {name: [] for name in ("gliaflow", "torch")}
        for seed in sorted({row["seed"] for row in chosen}):
            for name, values in means.items():
                values.append(statistics.mean(row[name] for row in chosen if row["seed"] == seed))
        lines.append(f"{region} | {spread(means['gliaflow'])} | {spread(means['torch'])} | {paired_tests(chosen)}")
    return "Dice of the held-out cases: mean over cases, then mean ± sd over seeds\n" + "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--gliaflow", default="gliaflow", help="the program")
    parser.add_argument("--data", type=pathlib.Path, required=True, help="a folder of labelled cases")
    parser.add_argument("--config", help="settings of the runs [default: gliaflow's own]")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="a setting over them")
    parser.add_argument("--seeds", type=int, default=3, help="number of seeds")
    parser.add_argument("--first-seed", type=int, default=1)
    parser.add_argument("--split-seed", type=int, default=1, help="seed of the division, the same for all")
    parser.add_argument("--folds", type=int, help="hold out each of so many folds in turn")
    parser.add_argument("--threads", type=int, help="of PyTorch; 1 where other work shares the cores [default: PyTorch's own]")
    parser.add_argument("--out", type=pathlib.Path, required=True, help="a new folder for runs and figures")
    options = parser.parse_args()
    options.out.mkdir(parents=True)
    torch.use_deterministic_algorithms(True)
    if options.threads:
        torch.set_num_threads(options.threads)
    outcomes = []
    for seed in range(options.first_seed, options.first_seed + options.seeds):
        for fold in range(options.folds) if options.folds else [None]:
            torch.manual_seed(seed)
            outcomes.append(compare_once(options, seed, fold))
            (options.out / "comparison.json").write_text(json.dumps(outcomes, indent=1))
    told = report(outcomes)
    (options.out / "comparison.md").write_text(told + "\n")
    print(told)


if __name__ == "__main__":
    main()
