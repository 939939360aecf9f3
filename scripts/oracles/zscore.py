"""The z-score over nonzero voxels, by MONAI and by hand: `zscore.json`, `zscore.safetensors.gz`."""

import numpy as np
import torch
from monai.transforms import NormalizeIntensity

from counters import uniform, units
from fixture import write_json, write_tensors

SHAPE = (12, 10, 8)
# Intensities of four modalities; the last has tissue below zero, as resampling leaves it.
RANGES = [(50.0, 900.0), (30.0, 850.0), (60.0, 880.0), (-300.0, 400.0)]


def images():
    """Float32 [4, 12, 10, 8]; the background, the same in each, is 0."""
    tissue = units(int(np.prod(SHAPE)), 20).reshape(SHAPE) < 0.55
    drawn = [uniform(SHAPE, 21 + place, *bounds) for place, bounds in enumerate(RANGES)]
    return np.stack([np.where(tissue, values, np.float32(0)) for values in drawn])


def make(folder):
    given = images()
    figures, scores = [], []
    for values in given.astype(np.float64):
        tissue = values[values != 0]
        figures.append([tissue.mean(), tissue.std(), tissue.size])
        scores.append(np.where(values != 0, (values - tissue.mean()) / tissue.std(), 0))
    scores = np.stack(scores).astype(np.float32)
    monai = NormalizeIntensity(nonzero=True, channel_wise=True)(torch.from_numpy(given.copy()))
    difference = float(np.abs(scores - monai.numpy()).max())
    assert difference < 1e-5, f"MONAI's z-scores differ by {difference}"
    write_json(folder, "zscore", {"mean_std_n_nonzero": figures}, indent=1)
    write_tensors(folder, "zscore", {"input": given, "z_nonzero": scores})
