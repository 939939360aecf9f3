"""Numbers that every language can make: inputs and weights of the fixtures come from them.

The same sequences are made by `tests/oracles/counters.rs`, so that a fixture stores neither.
"""

import numpy as np


def units(count, seed):
    """`count` numbers in [0, 1) of the SplitMix64 sequence of `seed`, float64."""
    place = np.arange(1, count + 1, dtype=np.uint64)
    z = np.uint64(seed) + place * np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    z = z ^ (z >> np.uint64(31))
    return (z >> np.uint64(11)).astype(np.float64) * 2.0**-53


def uniform(shape, seed, low, high):
    """`units` scaled to [low, high), rounded to float32, in row-major order."""
    values = low + (high - low) * units(int(np.prod(shape)), seed)
    return values.astype(np.float32).reshape(shape)


def nested_balls(batch, side):
    """Labels [b, d, h, w] in the values of BraTS 2018: three nested balls a sample, off centre."""
    grid = np.stack(np.meshgrid(*[np.arange(side, dtype=np.float64)] * 3, indexing="ij"))
    labels = np.zeros((batch, side, side, side), np.uint8)
    for sample in range(batch):
        centre = side * (0.4 + 0.2 * units(3, 7 + sample))
        distance = np.sqrt(((grid - centre[:, None, None, None]) ** 2).sum(0)) / side
        for radius, label in [(0.33, 2), (0.24, 4), (0.14, 1)]:
            labels[sample][distance < radius] = label
    return labels


def regions(labels):
    """Membership of ET, TC and WT, [b, 3, d, h, w], of labels in the values of BraTS 2018."""
    return np.stack([np.isin(labels, members) for members in ([4], [1, 4], [1, 2, 4])], axis=-4)
