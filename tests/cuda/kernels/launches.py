"""How the kernels of a convolution are compiled and launched: sizes of grids, parts and packed kernels.

The tests choose tiles, parts and pitches themselves, so that every kernel is tried with every width of its reads,
not with the best alone.
"""

import ctypes
from dataclasses import dataclass, field


class Convolution(ctypes.Structure):
    """The parameter block of every kernel of a convolution (`lattice.cuh`)."""

    _fields_ = [
        ("source", ctypes.c_int * 3), ("target", ctypes.c_int * 3), ("source_pitch", ctypes.c_int),
        ("target_pitch", ctypes.c_int), ("from_", ctypes.c_int), ("to", ctypes.c_int), ("groups", ctypes.c_int),
        ("samples", ctypes.c_int), ("side", ctypes.c_int), ("stride", ctypes.c_int), ("transposed", ctypes.c_int),
        ("brick", ctypes.c_int * 3), ("splits", ctypes.c_int), ("merged", ctypes.c_int),
    ]


@dataclass
class Case:
    """A convolution of `inputs` to `outputs` channels, both in all groups together."""

    samples: int
    extent: tuple
    inputs: int
    outputs: int
    side: int = 3
    stride: int = 1
    groups: int = 1
    bias: bool = False
    bf16: bool = True
    # Elements from voxel to voxel; the channels themselves where 0.
    input_pitch: int = 0
    output_pitch: int = 0
    splits: int = 1
    columns: int = 0
    brick: tuple = (2, 2, 3)
    # Groups that are computed as one.
    merged: int = 1
    target: tuple = field(init=False)

    def __post_init__(self):
        self.input_pitch = self.input_pitch or self.inputs
        self.output_pitch = self.output_pitch or self.outputs
        self.target = tuple(-(-extent // self.stride) for extent in self.extent)

    @property
    def width(self):
        return 2 if self.bf16 else 4

    def granule(self, channels, pitch):
        """Bytes that can be read at once of `channels` channels, all groups together."""
        groups = self.groups // self.merged
        for size in (16, 8, 4, 2):
            aligned = pitch * self.width % size == 0
            aligned &= groups == 1 or channels // groups * self.width % size == 0
            if size >= self.width and aligned:
                return size
        raise AssertionError("no granule")

    def columns_of(self, channels):
        """Channels that a block computes, of `channels` in a group."""
        return self.columns or next(size for size in (8, 16, 32, 64) if size >= min(channels, 64))

    def forward(self):
        groups = self.groups // self.merged
        return Convolution(
            source=self.extent, target=self.target, source_pitch=self.input_pitch, target_pitch=self.output_pitch,
            from_=self.inputs // groups, to=self.outputs // groups, groups=groups, merged=self.merged,
            samples=self.samples, side=self.side, stride=self.stride, transposed=0, brick=self.brick,
            splits=self.splits,
        )

    def volume_gradient(self):
        groups = self.groups // self.merged
        return Convolution(
            source=self.target, target=self.extent, source_pitch=self.output_pitch, target_pitch=self.input_pitch,
            from_=self.outputs // groups, to=self.inputs // groups, groups=groups, merged=self.merged,
            samples=self.samples, side=self.side, stride=self.stride, transposed=1, brick=self.brick,
            splits=self.splits,
        )


def classes_of(g):
    return 8 if g.transposed and g.stride == 2 else 1


def class_taps(g, parity):
    """Taps of one class of voxels, as in `lattice_of`."""
    taps = 1
    for axis in range(3):
        odd = parity >> (2 - axis) & 1
        taps *= g.side if classes_of(g) == 1 else {3: 1 + odd, 2: 1, 1: 1 - odd}[g.side]
    return taps


def bricks_of(g):
    """Bricks of one sample that cover its largest class."""
    count = 1
    for extent, power in zip(g.target, g.brick):
        extent = -(-extent // 2) if classes_of(g) == 8 else extent
        count *= -(-extent // (1 << power))
    return count


def steps_of(g, granule, width):
    """Steps of 64 bytes of all classes."""
    granules = -(-g.from_ * width // granule)
    return sum(-(-class_taps(g, parity) * granules * granule // 64) for parity in range(classes_of(g)))


def correlate_grid(g, columns):
    return (bricks_of(g) * g.samples, -(-g.to // columns) * g.groups, classes_of(g) * g.splits)


def packed_bytes(g, granule, columns, width):
    return g.groups * steps_of(g, granule, width) * -(-g.to // columns) * columns * 64


def gradient_rows(g, granule, width):
    """Pairs of tap and input channel of a group, as they are padded in the parts of the kernel's gradient."""
    pairs = g.side ** 3 * -(-g.from_ * width // granule) * granule // width
    return -(-pairs // 128) * 128
