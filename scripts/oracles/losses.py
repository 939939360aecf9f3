"""The readings of soft Dice plus cross-entropy: `loss.json`."""

import torch
from torch.nn import functional as F

from counters import uniform, units
from fixture import array, singles, write_json


def soft_dice(logits, target, per_sample=False, numerator=0.0, denominator=1e-8):
    """`2 sum(p g) / (sum(p^2) + sum(g^2))` by region, over the batch or per sample."""
    axes = (2, 3, 4) if per_sample else (0, 2, 3, 4)
    p = logits.sigmoid()
    sizes = (p * p).sum(axes) + (target * target).sum(axes)
    return (2 * (p * target).sum(axes) + numerator) / (sizes + denominator)


def parts(logits, target, region_sum=False, **reading):
    """Total, Dice loss, cross-entropy and Dice by region of one reading."""
    scores = soft_dice(logits, target, **reading)
    bce = F.binary_cross_entropy_with_logits(logits, target)
    bce = bce * logits.shape[1] if region_sum else bce
    dice = 1 - scores.mean()
    return dice + bce, dice, bce, scores


READINGS = {
    "batch_mean": {},
    "batch_regionsum": {"region_sum": True},
    "sample_mean": {"per_sample": True},
    "batch_mean_smooth": {"numerator": 1e-5, "denominator": 1e-5},
}


def sparse_target():
    """Regions [2, 3, 6, 5, 4], a fifth of the voxels each; the second sample has no ET."""
    target = torch.from_numpy(units(2 * 3 * 6 * 5 * 4, 32)).reshape(2, 3, 6, 5, 4) < 0.2
    target[1, 0] = False
    return target.float()


def make(folder):
    logits = torch.from_numpy(uniform((2, 3, 6, 5, 4), 31, -6.0, 6.0))
    target = sparse_target()
    cases = {}
    for name, reading in READINGS.items():
        leaf = logits.double().requires_grad_()
        total, dice, bce, scores = parts(leaf, target.double(), **reading)
        total.backward()
        figures = [singles(value.detach())[0] for value in (total, dice, bce)]
        cases[name] = dict(zip(("total", "dice_loss", "bce"), figures))
        scores = scores.detach()
        by_region = singles(scores) if scores.dim() == 1 else [singles(row) for row in scores]
        cases[name]["dice_scores"] = by_region
        cases[name]["gradient"] = array(leaf.grad)
    figures = {"logits": array(logits), "target": array(target), "cases": cases}
    write_json(folder, "loss", figures)
