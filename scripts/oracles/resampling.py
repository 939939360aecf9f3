"""Images, labels and probabilities on grids of another voxel size: `resampling.json`.

SimpleITK resamples, SciPy is asked for the same, and a difference between the two ends the script. Behind
the far face of the last voxel SimpleITK has no value, and SciPy's is the repeated or mirrored one.
"""

import numpy as np
import SimpleITK as sitk
from scipy import ndimage

from counters import uniform
from fixture import array, write_json

# Extent [d, h, w], and voxel edges x, y, z before and after in mm.
GRIDS = {
    "fine": ((9, 8, 7), (0.9, 0.9, 1.3), (1.0, 1.0, 1.0)),
    "coarse": ((10, 12, 11), (0.7, 0.8, 0.6), (1.0, 1.5, 1.25)),
    "thick": ((6, 11, 10), (0.9, 0.9, 5.0), (1.0, 1.0, 1.0)),
    "flat": ((1, 6, 2), (2.0, 1.0, 1.0), (1.0, 0.8, 1.0)),
}
# The box of the run's grid that holds the brain.
BOX_SHARE = (0.15, 0.85)


def extent(shape, before, after):
    """Extent [d, h, w] of the resampled grid: halves go up."""
    edges = zip(shape, reversed(before), reversed(after), strict=True)
    return tuple(max(1, int(np.floor(n * old / new + 0.5))) for n, old, new in edges)


def itk(values, before, after, shape, method):
    """SimpleITK's `Resample` to the same origin; 0 behind the last voxel's face."""
    image = sitk.GetImageFromArray(values.astype(np.float64))
    image.SetSpacing(before)
    # Any pose: the map between two grids of the same axes does not depend on it.
    image.SetOrigin((-11.0, 17.0, 5.0))
    image.SetDirection((0.0, -1.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 1.0))
    resample = sitk.ResampleImageFilter()
    resample.SetReferenceImage(image)
    resample.SetOutputSpacing(after)
    resample.SetSize(tuple(reversed(shape)))
    resample.SetInterpolator(method)
    return sitk.GetArrayFromImage(resample.Execute(image))


def places(shape, before, after):
    """Source place of every voxel of a grid, [3, d, h, w]."""
    steps = [new / old for old, new in zip(reversed(before), reversed(after), strict=True)]
    along = [np.arange(n) * step for n, step in zip(shape, steps, strict=True)]
    return np.stack(np.meshgrid(*along, indexing="ij"))


def resampled(values, before, after, shape, method):
    """SciPy's values, which SimpleITK's are wherever it has some."""
    own, order, mode = method
    at = places(shape, before, after)
    found = ndimage.map_coordinates(values.astype(np.float64), at, order=order, mode=mode)
    last = np.array(values.shape)[:, None, None, None] - 0.5
    inside = (at <= last - 1e-9).all(0)
    assert inside.mean() > 0.4, "most voxels are compared"
    apart = np.abs(itk(values, before, after, shape, own) - found)[inside].max()
    assert apart < 1e-6, f"SimpleITK and SciPy are {apart} apart"
    return found


def linear(values, before, after, shape):
    return resampled(values, before, after, shape, (sitk.sitkLinear, 1, "nearest"))


def cubic(values, before, after, shape):
    return resampled(values, before, after, shape, (sitk.sitkBSpline, 3, "mirror"))


def cubic_in_slices(values, before, after, shape):
    """Linear from slice to slice, and the cubic spline of SciPy in each."""
    along = (*before[:2], after[2])
    slices = linear(values, before, along, (shape[0], *values.shape[1:]))
    at = places((1, *shape[1:]), along, after)[1:, 0]
    return np.stack([ndimage.map_coordinates(one, at, order=3, mode="mirror") for one in slices])


def decide(labels, before, after, shape):
    """The label with the largest share, where at least half is labelled; of equal ones the higher."""
    values = sorted(set(labels.ravel().tolist()) - {0})
    shares = [linear(labels == value, before, after, shape) for value in [0, *values]]
    decided, best = np.zeros(shape, np.uint8), np.zeros(shape)
    for value, share in zip(values, shares[1:], strict=True):
        better = share >= best - 1e-6
        decided[better], best = value, np.maximum(best, share)
    decided[shares[0] > 0.5 + 1e-6] = 0
    return decided


def balls(shape, spacing):
    """Labels of nested balls, in canonical values, and a cavity that touches them."""
    at = np.stack(np.meshgrid(*[np.arange(n, dtype=np.float64) for n in shape], indexing="ij"))
    edges = np.array(tuple(reversed(spacing)))[:, None, None, None]
    size = edges * np.array(shape)[:, None, None, None]
    offset = (at + 0.5) * edges - 0.47 * size
    distance = np.sqrt(((offset / size) ** 2).sum(0))
    labels = np.zeros(shape, np.uint8)
    for radius, value in [(0.45, 2), (0.34, 3), (0.2, 1)]:
        labels[distance < radius] = value
    labels[(offset[2] > 0.12 * size[2]) & (distance < 0.42)] = 4
    return labels


def make(folder):
    cases = {}
    for number, (name, (shape, before, after)) in enumerate(GRIDS.items()):
        target = extent(shape, before, after)
        splined = cubic_in_slices if max(before) > 3 * min(before) else cubic
        image = uniform(shape, 600 + number, -3.0, 5.0)
        labels = balls(shape, before)
        # A run's probabilities over a box of its grid, and what they are on the source's.
        low, high = ([int(np.floor(share * n)) for n in target] for share in BOX_SHARE)
        high = [max(one + 1, other) for one, other in zip(low, high, strict=True)]
        box = tuple(slice(one, other) for one, other in zip(low, high, strict=True))
        probabilities = uniform([b - a for a, b in zip(low, high, strict=True)], 700 + number, 0, 1)
        whole = np.zeros(target)
        whole[box] = probabilities
        cases[name] = {
            "shape": shape,
            "target": target,
            "spacing": before,
            "target_spacing": after,
            "linear": array(linear(image, before, after, target)),
            "cubic": array(splined(image, before, after, target)),
            "labels": labels.ravel().tolist(),
            "target_labels": decide(labels, before, after, target).ravel().tolist(),
            "box": [low, [b - a for a, b in zip(low, high, strict=True)]],
            "probabilities": array(linear(whole, after, before, shape)),
        }
    write_json(folder, "resampling", cases)
