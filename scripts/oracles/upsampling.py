"""Trilinear up-sampling by two with half-pixel centres, forward and backward: `trilinear.json`."""

import torch
from torch.nn import functional as F

from counters import uniform
from fixture import array, write_json

SHAPES = {"one": (1, 1, 1, 2, 3), "cube": (1, 2, 3, 3, 3), "box": (2, 3, 4, 3, 2)}


def make(folder):
    cases = {}
    for name, shape in SHAPES.items():
        volume = torch.from_numpy(uniform(shape, 41, -1.0, 1.0))
        leaf = volume.double().requires_grad_()
        output = F.interpolate(leaf, scale_factor=2, mode="trilinear", align_corners=False)
        output_gradient = uniform(tuple(output.shape), 42, -1.0, 1.0)
        output.backward(torch.from_numpy(output_gradient).double())
        cases[name] = {
            "input": array(volume),
            "output": array(output.detach()),
            "output_gradient": array(output_gradient),
            "input_gradient": array(leaf.grad),
        }
    write_json(folder, "trilinear", cases)
