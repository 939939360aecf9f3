"""MONAI's sliding-window inference: `sliding_window.json`, `sliding_window.safetensors.gz`.

The predictor is a zero-padded 3x3x3 convolution plus a ramp over the window, so that windows disagree
where they overlap. Kernel, bias, ramp and images come from counters.
"""

import numpy as np
import torch
from monai.data.utils import compute_importance_map, dense_patch_slices
from monai.inferers import sliding_window_inference
from monai.inferers.utils import _get_scan_interval
from torch.nn import functional as F

from counters import uniform
from fixture import singles, write_json, write_tensors
from networks import STRIDE, projections

WINDOW = (24, 24, 24)
CASES = {"a": (40, 36, 31), "b": (20, 30, 24)}
CHANNELS, REGIONS = 2, 3


def predictor():
    tensor = lambda shape, seed, bound: torch.from_numpy(uniform(shape, seed, -bound, bound))
    kernel = tensor((REGIONS, CHANNELS, 3, 3, 3), 54, 0.4).double()
    bias = tensor((REGIONS,), 55, 0.1).double()
    ramp = tensor((1, 1, *WINDOW), 52, 1.0).double()
    return lambda windows: F.conv3d(windows, kernel, bias, padding=1) + ramp


def starts(shape, overlap):
    """First corners of the windows, in MONAI's order; a short axis is padded to the window first."""
    padded = [max(extent, side) for extent, side in zip(shape, WINDOW)]
    interval = _get_scan_interval(padded, WINDOW, 3, [overlap] * 3)
    slices = dense_patch_slices(padded, WINDOW, interval)
    return [[int(axis.start) for axis in window] for window in slices]


def make(folder):
    figures, tensors = {"starts": {}, "stride": STRIDE, "projections": {}}, {}
    predict = predictor()
    for name, shape in CASES.items():
        images = torch.from_numpy(uniform((1, CHANNELS, *shape), 53, -1.0, 1.0)).double()
        for overlap in (0.25, 0.5):
            figures["starts"][f"{name}_ov{overlap}"] = starts(shape, overlap)
            for mode in ("constant", "gaussian"):
                blended = sliding_window_inference(
                    images, WINDOW, 4, predict, overlap=overlap, mode=mode, sigma_scale=0.125
                )
                assert tuple(blended.shape[2:]) == shape
                key = f"{name}_ov{round(100 * overlap)}_{mode}"
                tensors[key] = blended.numpy().ravel()[::STRIDE].astype(np.float32)
                figures["projections"][key] = singles(projections(blended, 700_000))
    # MONAI raises the weights of a window to 1e-3 at least before it blends with them.
    importance = compute_importance_map(WINDOW, mode="gaussian", sigma_scale=0.125)
    importance = importance.clamp(min=1e-3)
    figures["importance_min_max"] = singles([importance.min(), importance.max()])
    figures["importance_row_11_12"] = singles(importance[11, 12])
    write_json(folder, "sliding_window", figures)
    write_tensors(folder, "sliding_window", tensors)
