"""Trains MONAI's U-Net with MONAI's loss on batches of gliaflow: dicts with `image` and `label`, as MONAI has them.

    pip install . torch monai
    python python/examples/train_monai.py data/BraTS2020 cache
"""

import sys

import torch
from monai.losses import DiceCELoss
from monai.networks.nets import UNet

import gliaflow


def main(data, cache, patch=(64, 64, 64), epochs=2):
    torch.manual_seed(1)
    with gliaflow.Loader(data, cache, patch=patch, image="float32", label="regions", arrays="torch") as loader:
        channels = {"in_channels": len(loader.modalities), "out_channels": len(loader.regions)}
        net = UNet(spatial_dims=3, **channels, channels=(8, 16, 32), strides=(2, 2), num_res_units=1)
        loss_of = DiceCELoss(sigmoid=True)
        optimiser = torch.optim.AdamW(net.parameters(), 1e-3)
        for epoch in range(epochs):
            for batch in loader.epoch():
                loss = loss_of(net(batch["image"]), batch["label"])
                optimiser.zero_grad()
                loss.backward()
                optimiser.step()
                print(f"epoch {epoch}, batch {batch['number']}: loss {loss.item():.4f}", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:3])
