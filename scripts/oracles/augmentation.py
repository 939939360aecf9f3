"""nnU-Net's augmentation with given parameters: `augmentation.json`, `augmentation.safetensors.gz`.

The classes of batchgeneratorsv2 are applied with parameters written here, where training draws them, in the order of
nnU-Net's `get_training_transforms`; noise is left out, since its values are drawn for each voxel. `patch` is what the
spatial transform gives; each filter is applied to it alone, and all of them one after the other with the background
set to 0 at the end.
"""

import numpy as np
import torch
from batchgeneratorsv2.transforms.intensity.brightness import MultiplicativeBrightnessTransform
from batchgeneratorsv2.transforms.intensity.contrast import ContrastTransform
from batchgeneratorsv2.transforms.intensity.gamma import GammaTransform
from batchgeneratorsv2.transforms.noise.gaussian_blur import GaussianBlurTransform
from batchgeneratorsv2.transforms.spatial.low_resolution import SimulateLowResolutionTransform
from batchgeneratorsv2.transforms.spatial.spatial import SpatialTransform
from fixture import write_json, write_tensors

SHAPE = (10, 13, 14)
# Radians about z, y and x in the order of nnU-Net's axes, and the factor on coordinates.
ANGLES = (0.3, -0.2, 0.15)
SCALE = 0.8
# z-score of a raw value: factor * raw + offset.
FACTOR = (0.004, 0.01, 0.02, 0.005)
OFFSET = (-2.0, -1.5, -2.5, -1.0)
BLUR = (None, (0.5, 0.75, 1.0), None, (0.9, 0.6, 0.97))
BRIGHTNESS = (0.8, 1.2, 1.05, 0.95)
CONTRAST = (1.2, 0.8, 1.1, 0.9)
RESOLUTION = (0.55, None, 0.83, None)
INVERTED_GAMMA = (0.75, 1.4, 1.1, 0.9)
GAMMA = (1.3, 0.8, 0.7, 1.5)


def raw_case():
    """Raw values of an ellipsoid, 0 around it, one modality with a hole."""
    random = np.random.default_rng(3063)
    places = np.stack(np.meshgrid(*(np.linspace(-1, 1, side) for side in SHAPE), indexing="ij"))
    inside = (places**2).sum(0) < 1.1
    raw = random.integers(1, 1000, (4, *SHAPE)) * inside
    raw[2, 4:6, 5:8, 5:9] = 0
    return raw.astype(np.float32)


def applied(values):
    return torch.tensor([value is not None for value in values])


def given(values):
    return [value for value in values if value is not None]


def blurred(image):
    transform = GaussianBlurTransform((0.5, 1.0), False, False, 0.5)
    return transform._apply_to_image(image, apply_to_channel=applied(BLUR), sigmas=given(BLUR))


def brightened(image):
    transform = MultiplicativeBrightnessTransform((0.75, 1.25), False, 1)
    return transform._apply_to_image(image, apply_to_channel=torch.arange(4), multipliers=torch.tensor(BRIGHTNESS))


def contrasted(image):
    transform = ContrastTransform((0.75, 1.25), True, False, 1)
    return transform._apply_to_image(image, apply_to_channel=torch.arange(4), multipliers=torch.tensor(CONTRAST))


def lowered(image):
    transform = SimulateLowResolutionTransform((0.5, 1), False, True, None, None, 0.5)
    scales = torch.tensor([[factor] * 3 for factor in given(RESOLUTION)])
    channels = torch.where(applied(RESOLUTION))[0]
    return transform._apply_to_image(image, apply_to_channel=channels, scales=scales)


def bent(image, exponents, is_inverted):
    transform = GammaTransform((0.7, 1.5), float(is_inverted), False, 1, 1)
    always = torch.ones(4, dtype=torch.bool)
    return transform._apply_to_image(
        image,
        apply_to_channel=torch.arange(4),
        retain_stats=always,
        invert_image=always if is_inverted else ~always,
        gamma=torch.tensor(exponents),
    )


FILTERS = {
    "blur": blurred,
    "brightness": brightened,
    "contrast": contrasted,
    "low_resolution": lowered,
    "inverted_gamma": lambda image: bent(image, INVERTED_GAMMA, True),
    "gamma": lambda image: bent(image, GAMMA, False),
}


def placed(image):
    """The image turned and scaled about its middle."""
    transform = SpatialTransform(
        SHAPE, 0, False, p_rotation=1, rotation=lambda image, dim: ANGLES[dim], p_scaling=1, scaling=SCALE,
        p_synchronize_scaling_across_axes=1,
    )
    return transform._apply_to_image(image, **transform.get_parameters(image=image))


def make(folder):
    torch.set_num_threads(1)
    raw = torch.tensor(raw_case())
    factor, offset = (torch.tensor(values)[:, None, None, None] for values in (FACTOR, OFFSET))
    patch = placed(torch.where(raw == 0, 0.0, factor * raw + offset))
    tensors = {"raw": raw.numpy(), "patch": patch.numpy()}
    every = patch.clone()
    for name, apply in FILTERS.items():
        tensors[name] = apply(patch.clone()).numpy()
        every = apply(every)
    tensors["all"] = torch.where(patch == 0, 0.0, every).numpy()
    write_tensors(folder, "augmentation", tensors)
    drawn = {
        "blur": BLUR,
        "brightness": BRIGHTNESS,
        "contrast": CONTRAST,
        "low_resolution": RESOLUTION,
        "inverted_gamma": INVERTED_GAMMA,
        "gamma": GAMMA,
    }
    write_json(folder, "augmentation", {
        "shape": SHAPE, "angles": ANGLES, "scale": SCALE, "factor": FACTOR, "offset": OFFSET, "drawn": drawn,
    })
