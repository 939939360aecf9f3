"""Trains a small U-Net in PyTorch on batches of gliaflow, and goes on after a stop.

    pip install . torch
    python python/examples/train_pytorch.py --data data/BraTS2020 --cache cache --epochs 3

Without --data it makes phantoms.
"""

import argparse
import pathlib
import tempfile

import torch
from torch import nn
from torch.nn import functional as F

import gliaflow


def convolve(channels, width):
    return nn.Sequential(nn.Conv3d(channels, width, 3, padding=1), nn.InstanceNorm3d(width), nn.LeakyReLU())


class SmallUNet(nn.Module):
    """U-Net of two levels: [b, c, d, h, w] to logits [b, k, d, h, w]; extents are even."""

    def __init__(self, channels, regions, width=8):
        super().__init__()
        self.before, self.below = convolve(channels, width), convolve(width, 2 * width)
        self.behind, self.head = convolve(3 * width, width), nn.Conv3d(width, regions, 1)

    def forward(self, images):
        fine = self.before(images)
        coarse = F.interpolate(self.below(F.max_pool3d(fine, 2)), scale_factor=2)
        return self.head(self.behind(torch.cat((fine, coarse), dim=1)))


def region_loss(logits, regions):
    """Soft Dice and cross-entropy; voxels without a label are -1 and count in neither."""
    known = (regions >= 0).float()
    inside = regions.clamp(min=0)
    shares = logits.sigmoid() * known
    overlap = 2 * (shares * inside).sum((0, 2, 3, 4)) / (shares + inside).sum((0, 2, 3, 4)).clamp(min=1)
    return 1 - overlap.mean() + F.binary_cross_entropy_with_logits(logits, inside, weight=known)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=pathlib.Path)
    parser.add_argument("--cache", type=pathlib.Path, default="cache")
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--patch", type=int, nargs=3, default=(32, 32, 32))
    parser.add_argument("--checkpoint", type=pathlib.Path, help="goes on from this file, and writes it")
    options = parser.parse_args()
    folder = tempfile.TemporaryDirectory()
    if options.data is None:
        options.data, options.cache = pathlib.Path(folder.name, "data"), pathlib.Path(folder.name, "cache")
        gliaflow.write_phantoms(options.data, 4, (48, 48, 48))

    device = "cuda" if torch.cuda.is_available() else "cpu"
    arguments = {"patch": tuple(options.patch), "batch": 2, "seed": 1, "patches_per_case": 4}
    with gliaflow.Loader(options.data, options.cache, label="regions", arrays="torch", **arguments) as loader:
        torch.manual_seed(1)
        net = SmallUNet(len(loader.modalities), len(loader.regions)).to(device)
        optimiser = torch.optim.Adam(net.parameters(), lr=1e-3)
        first = 0
        if options.checkpoint and options.checkpoint.exists():
            kept = torch.load(options.checkpoint)
            net.load_state_dict(kept["net"])
            optimiser.load_state_dict(kept["optimiser"])
            loader.load_state_dict(kept["loader"])
            first = kept["epoch"]
        for epoch in range(first, options.epochs):
            losses = []
            for batch in loader.epoch():
                images = batch["image"].to(device).float()
                loss = region_loss(net(images), batch["label"].to(device))
                optimiser.zero_grad()
                loss.backward()
                optimiser.step()
                losses.append(loss.item())
            print(f"epoch {epoch}: mean loss {sum(losses) / len(losses):.6f} of {len(losses)} steps", flush=True)
            if options.checkpoint:
                kept = {"net": net.state_dict(), "optimiser": optimiser.state_dict(), "epoch": epoch + 1}
                torch.save({**kept, "loader": loader.state_dict()}, options.checkpoint)


if __name__ == "__main__":
    main()
