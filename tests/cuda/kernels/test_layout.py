"""Volumes of any strides to [b, d, h, w, c] with a pitch."""

import ctypes
import unittest

from kernels import Library, allocate, product


class Layout(ctypes.Structure):
    """The parameter block of `to_channels_last.cu`."""

    _fields_ = [
        ("extent", ctypes.c_int * 3), ("samples", ctypes.c_int), ("channels", ctypes.c_int),
        ("stride", ctypes.c_int * 5), ("pitch", ctypes.c_int),
    ]


# Samples, extent, channels, pitch, and the axes b, c, d, h, w from the slowest to the fastest in the source.
CASES = [
    (2, (3, 5, 7), 4, 8, "bcdhw"), (1, (4, 4, 4), 30, 32, "bcdhw"), (3, (2, 3, 5), 70, 72, "cbdhw"),
    (1, (5, 3, 2), 33, 40, "bdhwc"), (1, (1, 1, 1), 1, 4, "bcwhd"),
]


class Layouts(unittest.TestCase):
    def test_each_value_finds_its_place_and_the_gap_is_zero(self):
        library = Library()
        for samples, extent, channels, pitch, order in CASES:
            for bf16 in (0, 1):
                with self.subTest(samples=samples, extent=extent, channels=channels, order=order, bf16=bf16):
                    self.check(library, samples, extent, channels, pitch, order, bf16)

    def check(self, library, samples, extent, channels, pitch, order, bf16):
        kind = ctypes.c_uint16 if bf16 else ctypes.c_uint32
        sizes = dict(zip("bcdhw", (samples, channels, *extent)))
        strides, stride = {}, 1
        for axis in reversed(order):
            strides[axis] = stride
            stride *= sizes[axis]
        # Every value is its place's number, as bits: nothing computes with it.
        source = (kind * stride)(*((at * 7 + 1) % 65521 for at in range(stride)))
        target = allocate(samples * product(extent) * pitch * ctypes.sizeof(kind))
        layout = Layout(extent, samples, channels, tuple(strides[axis] for axis in "bcdhw"), pitch)
        grid = (-(-product(extent) // 32), -(-pitch // 32), samples)
        library.launch("to_channels_last", {"BF16": bf16}, grid, [source, target, layout], [target])
        found = (kind * (samples * product(extent) * pitch)).from_buffer(target)
        place = 0
        for b in range(samples):
            for d in range(extent[0]):
                for h in range(extent[1]):
                    for w in range(extent[2]):
                        at = sum(strides[axis] * i for axis, i in zip("bdhw", (b, d, h, w)))
                        expected = [source[at + c * strides["c"]] for c in range(channels)] + [0] * (pitch - channels)
                        self.assertEqual(found[place:place + pitch], expected)
                        place += pitch


if __name__ == "__main__":
    unittest.main()
