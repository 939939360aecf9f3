"""The three networks in PyTorch's own layers, with the parameters' names and order of this crate.

Isensee et al. 2018 (arXiv 1809.10483, section 2.2), Myronenko 2018 (arXiv 1810.11654, table 1),
Lachinov et al. 2018 (arXiv 1810.04008, figure 2). Dropout is left out: the fixtures are made without
it. `networks.py` checks the residual U-Net against MONAI's SegResNet; the other two have no packaged
counterpart.
"""

import torch
from torch import nn
from torch.nn import functional as F

MODALITIES, REGIONS = 4, 3


def doubled(volume):
    return F.interpolate(volume, scale_factor=2, mode="trilinear", align_corners=False)


class ConvUnit(nn.Module):
    """Convolution, instance norm, leaky ReLU."""

    def __init__(self, channels, out):
        super().__init__()
        self.conv = nn.Conv3d(channels, out, 3, padding=1)
        self.norm = nn.InstanceNorm3d(out, eps=1e-5, affine=True)

    def forward(self, volume):
        return F.leaky_relu(self.norm(self.conv(volume)), 0.01)


class UNet(nn.Module):
    """Halves the channels in the second unit ahead of each up-sampling."""

    def __init__(self, base, levels=5):
        super().__init__()
        width = [base << level for level in range(levels)]
        pair = lambda *c: nn.Sequential(ConvUnit(c[0], c[1]), ConvUnit(c[1], c[2]))
        above = [MODALITIES, *width]
        self.enc = nn.ModuleList(pair(above[i], width[i], width[i]) for i in range(levels - 1))
        self.bottom = pair(width[-2], width[-1], width[-2])
        self.dec = nn.ModuleList(
            pair(2 * width[i], width[i], width[max(i - 1, 0)]) for i in reversed(range(levels - 1))
        )
        self.head = nn.Conv3d(base, REGIONS, 1)

    def forward(self, volume):
        skips = []
        for level in self.enc:
            skips.append(level(volume))
            volume = F.max_pool3d(skips[-1], 2)
        volume = self.bottom(volume)
        for level in self.dec:
            volume = level(torch.cat([skips.pop(), doubled(volume)], 1))
        return self.head(volume)


class ResidualUnit(nn.Module):
    """Norm, ReLU, convolution, twice; added to what came in."""

    def __init__(self, channels, norm, groups=1, bias=False):
        super().__init__()
        conv = lambda: nn.Conv3d(channels, channels, 3, padding=1, groups=groups, bias=bias)
        self.norm1, self.conv1 = norm(channels), conv()
        self.norm2, self.conv2 = norm(channels), conv()

    def forward(self, volume):
        between = self.conv1(F.relu(self.norm1(volume)))
        return volume + self.conv2(F.relu(self.norm2(between)))


def group_norm(channels):
    return nn.GroupNorm(8, channels, eps=1e-5)


class Level(nn.Module):
    """One resolution of the residual U-Net's encoder."""

    def __init__(self, channels, out, stride, units):
        super().__init__()
        self.conv = nn.Conv3d(channels, out, 3, padding=1, stride=stride, bias=False)
        self.units = nn.Sequential(*(ResidualUnit(out, group_norm) for _ in range(units)))

    def forward(self, volume):
        return self.units(self.conv(volume))


class Rise(nn.Module):
    """One resolution of a decoder: channels halved, up-sampled, a skip added, a residual unit."""

    def __init__(self, channels):
        super().__init__()
        self.conv = nn.Conv3d(2 * channels, channels, 1, bias=False)
        self.unit = ResidualUnit(channels, group_norm)

    def forward(self, volume, skip=0):
        return self.unit(doubled(self.conv(volume)) + skip)


class Autoencoder(nn.Module):
    """The variational branch: it rebuilds the images from the bottom of the encoder."""

    def __init__(self, widths, patch, bottleneck, latent):
        super().__init__()
        self.coarsest = (bottleneck, *[patch >> len(widths)] * 3)
        flat = bottleneck * (patch >> len(widths)) ** 3
        self.norm = group_norm(widths[-1])
        self.narrow = nn.Conv3d(widths[-1], bottleneck, 3, padding=1, stride=2)
        self.to_latent = nn.Linear(flat, 2 * latent)
        self.from_latent = nn.Linear(latent, flat)
        self.widen = nn.Conv3d(bottleneck, widths[-1], 1, bias=False)
        self.dec = nn.ModuleList(Rise(width) for width in reversed(widths[:-1]))
        self.end = nn.Conv3d(widths[0], MODALITIES, 1)

    def forward(self, bottom, noise):
        variables = self.to_latent(self.narrow(F.relu(self.norm(bottom))).flatten(1))
        mean, log_variance = variables.chunk(2, 1)
        sample = mean + (log_variance / 2).exp() * noise
        volume = F.relu(self.from_latent(sample)).unflatten(1, self.coarsest)
        volume = doubled(self.widen(volume))
        for rise in self.dec:
            volume = rise(volume)
        return self.end(volume), mean, log_variance


class ResUNet(nn.Module):
    """Norm and ReLU come ahead of the head, as in MONAI's SegResNet."""

    def __init__(self, base, vae=None):
        super().__init__()
        units = [1, 2, 2, 4]
        widths = [base << level for level in range(len(units))]
        above = [MODALITIES, *widths]
        self.enc = nn.ModuleList(
            Level(above[i], widths[i], 1 if i == 0 else 2, units[i]) for i in range(len(units))
        )
        self.dec = nn.ModuleList(Rise(width) for width in reversed(widths[:-1]))
        self.head_norm = group_norm(base)
        self.head = nn.Conv3d(base, REGIONS, 1)
        if vae:
            self.vae = Autoencoder(widths, **vae)

    def forward(self, volume):
        """Logits, and the features at the bottom."""
        features = []
        for level in self.enc:
            volume = level(volume)
            features.append(volume)
        bottom = features.pop()
        volume = bottom
        for rise in self.dec:
            volume = rise(volume, features.pop())
        return self.head(F.relu(self.head_norm(volume))), bottom


def instance_norm(channels):
    return nn.InstanceNorm3d(channels, eps=1e-5, affine=True)


class Stage(nn.Module):
    """The U-Net of one resolution of the cascade; `maps` are the coarser stages' probabilities."""

    def __init__(self, base, scale, stages, levels=4, multiplier=2):
        super().__init__()
        bottom, self.scale = levels - 1, scale
        decoder = [2 * base << (scale + level) for level in range(levels)]
        encoder = [multiplier * width for width in decoder]
        merged = [width // MODALITIES for width in encoder]
        map_width = lambda level: REGIONS if level > 0 and scale + level < stages else 0
        apart = lambda a, b, stride=1: nn.Conv3d(a, b, 3, stride, 1, groups=MODALITIES)
        rising = list(reversed(range(bottom)))
        below = lambda level: merged[bottom] if level + 1 == bottom else decoder[level + 1]
        self.input = apart(MODALITIES, encoder[0])
        self.enc = nn.ModuleList(
            ResidualUnit(width, instance_norm, MODALITIES, bias=True) for width in encoder
        )
        self.down = nn.ModuleList(apart(encoder[i], encoder[i + 1], 2) for i in range(bottom))
        self.up = nn.ModuleList(
            nn.ConvTranspose3d(below(i), decoder[i], 2, 2, bias=False) for i in rising
        )
        self.fuse = nn.ModuleList(
            nn.Conv3d(decoder[i] + merged[i] + map_width(i), decoder[i], 1) for i in rising
        )
        self.dec = nn.ModuleList(
            ResidualUnit(decoder[i], instance_norm, bias=True) for i in rising
        )
        self.head = nn.Conv3d(decoder[0], REGIONS, 1)

    def forward(self, images, maps):
        strongest = lambda volume: torch.stack(volume.chunk(MODALITIES, 1)).amax(0)
        volume = self.enc[0](self.input(images))
        merged = [strongest(volume)]
        for down, unit in zip(self.down, self.enc[1:]):
            volume = unit(down(volume))
            merged.append(strongest(volume))
        volume = merged.pop()
        for up, fuse, unit in zip(self.up, self.fuse, self.dec):
            parts = [up(volume), merged.pop()]
            level = len(merged)
            if level > 0 and self.scale + level in maps:
                parts.append(maps[self.scale + level])
            volume = unit(fuse(torch.cat(parts, 1)))
        return self.head(volume)


class Cascade(nn.Module):
    """Stages at a quarter, half and full resolution, the coarse ones first."""

    def __init__(self, base, stages=3):
        super().__init__()
        self.stages = nn.ModuleList(Stage(base, i, stages) for i in reversed(range(stages)))

    def forward(self, images):
        """Region logits by scale, the full resolution first."""
        maps, logits = {}, []
        for stage in self.stages:
            scaled = images
            for _ in range(stage.scale):
                scaled = F.avg_pool3d(scaled, 2)
            logits.insert(0, stage(scaled, maps))
            maps[stage.scale] = logits[0].sigmoid()
        return logits
