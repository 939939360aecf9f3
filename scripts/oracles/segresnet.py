"""Logits of MONAI's SegResNet from weights made from counters: `segresnet.json`."""

import monai
import torch
from monai.networks.nets import SegResNet

from counters import uniform
from fixture import write_json

STRIDE = 37


def make(folder):
    net = SegResNet(
        spatial_dims=3,
        init_filters=4,
        in_channels=4,
        out_channels=3,
        dropout_prob=0.2,
        norm=("GROUP", {"num_groups": 2}),
        blocks_down=(1, 2, 1),
        blocks_up=(1, 1),
    ).eval()
    state = net.state_dict()
    for place, (name, tensor) in enumerate(state.items()):
        shape = tuple(tensor.shape)
        bound = (6.0 / tensor[0].numel()) ** 0.5
        low, high = (-bound, bound)
        if tensor.dim() == 1:
            low, high = (0.8, 1.2) if name.endswith("weight") else (-0.1, 0.1)
        state[name] = torch.from_numpy(uniform(shape, 5000 + place, low, high))
    net.load_state_dict(state)
    images = torch.from_numpy(uniform((1, 4, 8, 12, 16), 11, -2.0, 2.0))
    with torch.no_grad():
        logits = net(images).numpy()
    figures = {
        "made_with": f"torch {torch.__version__}, MONAI {monai.__version__}",
        "tensors": [[name, list(tensor.shape)] for name, tensor in state.items()],
        "images": list(images.shape),
        "logits": list(logits.shape),
        "stride": STRIDE,
        "values": [round(float(value), 6) for value in logits.ravel()[::STRIDE]],
    }
    write_json(folder, "segresnet", figures)
