"""Logits, losses and gradients of the three networks: `unet`, `resunet`, `resunet_vae`, `cascaded`;
the residual U-Net's losses from PyTorch's own initial weights: `initial_losses`.

Computed in float64 from float32 inputs and weights. A gradient is kept as its norm, its products with
two vectors made from counters, and its values at a few places, so that an order or a sign shows.
"""

import monai
import numpy as np
import torch
from monai.networks.nets import SegResNet
from torch.nn import functional as F

import losses
from counters import nested_balls, regions, uniform
from fixture import singles, write_json, write_tensors
from models import Cascade, ResUNet, UNet

# A stride that is prime to every axis, so that samples fall on every plane.
STRIDE = 97
DIRECTIONS = 2
PLACES = 6


def fill(net, seed):
    """Gives parameter `j` the counter's values of seed `1000 seed + j`."""
    for place, (name, parameter) in enumerate(net.named_parameters()):
        shape = tuple(parameter.shape)
        # Transposed convolutions, [in, out, 2, 2, 2], have the only even kernels.
        transposed = shape[2:] == (2, 2, 2)
        fan_in = shape[0] * 8 if transposed else np.prod(shape[1:])
        low, high = -((6.0 / fan_in) ** 0.5), (6.0 / fan_in) ** 0.5
        if len(shape) == 1:
            low, high = (0.8, 1.2) if name.endswith("weight") else (-0.1, 0.1)
        values = torch.from_numpy(uniform(shape, 1000 * seed + place, low, high))
        parameter.data = values.double()
    return net


def images(batch, side):
    return torch.from_numpy(uniform((batch, 4, side, side, side), 11, -2.0, 2.0)).double()


def targets(batch, side):
    return torch.from_numpy(regions(nested_balls(batch, side)).astype(np.float64))


def projections(values, seed):
    """Products with vectors of U(-1, 1) of seeds `seed`, `seed + 1`."""
    flat = values.detach().double().numpy().ravel()
    return [
        float(flat @ uniform(flat.shape, seed + direction, -1.0, 1.0).astype(np.float64))
        for direction in range(DIRECTIONS)
    ]


def statistics(logits):
    values = logits.detach()
    ends = singles([values.min(), values.max()])
    return {
        "mean": singles(values.mean())[0],
        "std": singles(values.std())[0],
        "min": ends[0],
        "max": ends[1],
        "first8": singles(values.ravel()[:8]),
        "projections": singles(projections(values, 800_000)),
    }


def gradient(values, place):
    count = values.numel()
    places = [step * (count - 1) // (PLACES - 1) for step in range(PLACES)]
    return {
        "l2": singles(values.norm())[0],
        "projections": singles(projections(values, 900_000 + DIRECTIONS * place)),
        "values": singles(values.ravel()[places]),
    }


def record(folder, samples, name, net, maps, named_losses):
    """Writes one network's figures; `total` is the loss whose gradients they are."""
    named_losses["total"].backward()
    parameters = list(net.named_parameters())
    for key, logits in maps.items():
        samples[f"{name}.{key}"] = logits.detach().numpy().ravel()[::STRIDE].astype(np.float32)
    squares = sum(float(p.grad.square().sum()) for _, p in parameters)
    write_json(
        folder,
        name,
        {
            "made_with": f"torch {torch.__version__}, MONAI {monai.__version__}",
            "params": sum(parameter.numel() for _, parameter in parameters),
            "param_order": [[key, list(parameter.shape)] for key, parameter in parameters],
            "losses": {key: singles(value.detach())[0] for key, value in named_losses.items()},
            "stride": STRIDE,
            "stats": {key: statistics(logits) for key, logits in maps.items()},
            "grad_norm": singles(squares**0.5)[0],
            "grad_stats": {
                key: gradient(parameter.grad, place)
                for place, (key, parameter) in enumerate(parameters)
            },
        },
    )


def readings(logits, target):
    total, dice, bce, _ = losses.parts(logits, target)
    return {
        "total": total,
        "dice_batch": dice,
        "bce_mean": bce,
        "bce_region_sum": losses.parts(logits, target, region_sum=True)[2],
        "dice_per_sample": losses.parts(logits, target, per_sample=True)[1],
    }


def unet(folder, samples):
    net = fill(UNet(4), 1)
    logits = net(images(2, 32))
    record(folder, samples, "unet", net, {"logits": logits}, readings(logits, targets(2, 32)))


def assert_monais(net, logits):
    """The residual U-Net without its autoencoder is MONAI's SegResNet, to the last digits."""
    theirs = SegResNet(
        spatial_dims=3, init_filters=8, in_channels=4, out_channels=3,
        norm=("GROUP", {"num_groups": 8}), blocks_down=(1, 2, 2, 4), blocks_up=(1, 1, 1),
    ).double()  # fmt: skip
    named = dict(net.named_parameters())
    state = {}
    for name in theirs.state_dict():
        kind, parts = name.split(".")[-1], name.split(".")
        if parts[0] == "convInit":
            ours = f"enc.0.conv.{kind}"
        elif parts[0] == "down_layers" and parts[2] == "0" and parts[1] != "0":
            ours = f"enc.{parts[1]}.conv.{kind}"
        elif parts[0] == "down_layers":
            ours = f"enc.{parts[1]}.units.{int(parts[2]) - 1}.{parts[3]}.{kind}"
        elif parts[0] == "up_samples":
            ours = f"dec.{parts[1]}.conv.{kind}"
        elif parts[0] == "up_layers":
            ours = f"dec.{parts[1]}.unit.{parts[3]}.{kind}"
        else:
            ours = ("head_norm" if parts[1] == "0" else "head") + f".{kind}"
        state[name] = named[ours].data
    theirs.load_state_dict(state)
    difference = (theirs(images(2, 32)) - logits).abs().max()
    assert difference < 1e-9, f"MONAI's logits differ by {difference}"


def resunet(folder, samples):
    net = fill(ResUNet(8), 2)
    logits, _ = net(images(2, 32))
    assert_monais(net, logits)
    record(folder, samples, "resunet", net, {"logits": logits}, readings(logits, targets(2, 32)))


AUTOENCODER = {"patch": 32, "bottleneck": 8, "latent": 16}


def autoencoder_losses(net):
    """Logits and named losses of the small residual U-Net with its autoencoder, in float64."""
    given = images(2, 32)
    logits, bottom = net(given)
    noise = torch.from_numpy(uniform((2, 16), 99, -1.5, 1.5)).double()
    rebuilt, mean, log_variance = net.vae(bottom, noise)
    l2 = (rebuilt - given).square().mean()
    kl = (mean.square() + log_variance.exp() - log_variance - 1).sum() / given.numel()
    total, dice, bce, _ = losses.parts(logits, targets(2, 32))
    penalties = 0.1 * l2 + 0.1 * kl
    return logits, {
        "total": total + penalties,
        "seed_dice": dice,
        "seed_bce": bce,
        "l2": l2,
        "kl": kl,
        "myronenko_total_dice_only": dice + penalties,
    }


def resunet_vae(folder, samples):
    net = fill(ResUNet(8, AUTOENCODER), 3)
    logits, figures = autoencoder_losses(net)
    record(folder, samples, "resunet_vae", net, {"logits": logits}, figures)


INITIAL_SEEDS = 32


def initial_losses(folder):
    """Losses ahead of the first step, over the seeds of PyTorch's generator."""
    kept = {"total": [], "seed_bce": [], "l2": []}
    for seed in range(INITIAL_SEEDS):
        torch.manual_seed(seed)
        with torch.no_grad():
            _, found = autoencoder_losses(ResUNet(8, AUTOENCODER).double())
        for name, values in kept.items():
            values.append(float(found[name]))
    write_json(folder, "initial_losses", {name: singles(values) for name, values in kept.items()})


def cascaded(folder, samples):
    net = fill(Cascade(2), 4)
    maps = dict(zip(("full", "half", "quarter"), net(images(1, 64))))
    target, figures = targets(1, 64), {"total": 0}
    for (name, logits), weight in zip(maps.items(), (0.4, 0.3, 0.2)):
        figures[name] = losses.parts(logits, target)[0]
        figures["total"] = figures["total"] + weight * figures[name]
        target = F.avg_pool3d(target, 2)
    named = {f"logits_{name}": logits for name, logits in maps.items()}
    record(folder, samples, "cascaded", net, named, figures)


def make(folder):
    samples = {}
    initial_losses(folder)
    for network in (unet, resunet, resunet_vae, cascaded):
        network(folder, samples)
    write_tensors(folder, "logits", samples)
