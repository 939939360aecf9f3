"""What is measured, at full size and tiny: networks, batches, convolutions, limits."""

from dataclasses import dataclass, field

# Of the U-Net at 128^3, from the first convolution down to the lowest level; the same shapes that its
# steps tune, so a process that has run them has only to be asked again.
CONVOLUTIONS = ["4:30:128", "30:30:128", "60:30:128", "60:60:64", "120:120:32", "480:240:8"]

NETWORKS = ("unet", "resunet_vae", "cascaded")


@dataclass
class Plan:
    """Sizes of everything."""

    device: str
    tiny: bool = False
    steps: int = 10
    patch: int = 128
    cascade_patch: int = 64
    batches: dict = field(default_factory=lambda: {"unet": 2, "resunet_vae": 2, "cascaded": 4})
    settings: dict = field(default_factory=dict)
    convolutions: list = field(default_factory=lambda: list(CONVOLUTIONS))
    cases: int = 4
    shape: str = "240x240x155"
    train_steps: int = 40

    @property
    def torch_device(self):
        return "cpu" if self.device == "cpu" else "cuda"

    @property
    def half(self):
        """Number format of what is said to be in bf16: few graphics drivers have it."""
        return "f32" if self.device == "wgpu" else "bf16"

    def sets(self, model):
        """The network's settings as arguments."""
        pairs = self.settings.get(model, {}).items()
        return [word for name, value in pairs for word in ("--set", f"model.settings.{name}={value}")]


def plan_of(device, tiny, steps=None):
    """The sizes for a device; `tiny` ones take seconds on a CPU."""
    if not tiny:
        return Plan(device, steps=steps or 10)
    return Plan(
        device,
        tiny=True,
        steps=steps or 2,
        patch=16,
        cascade_patch=16,
        settings={
            "unet": {"base_width": 2, "levels": 3},
            "resunet_vae": {"base_width": 2, "groups": 1, "encoder_units": [1, 1, 2]},
            "cascaded": {"base_width": 2, "levels": 3, "loss_weights": [0.5, 0.3]},
        },
        convolutions=["4:2:16", "2:2:16", "4:2:16:1", "4:4:8:3:2", "4:4:8:3:1:2", "8:8:4"],
        shape="40",
        train_steps=8,
    )
