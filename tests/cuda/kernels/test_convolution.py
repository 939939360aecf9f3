"""The three passes of a convolution against f64: odd sizes, sizes that are no multiple of a tile, channels that no
read divides, batches of 1 to 4, groups of 1 to 4.

The numbers drawn have the mantissa of the products (bf16, TF32), so products are exact in f32, and what is left is
how sums are rounded: a tap or a channel that is read twice or not at all is thousands of times the bound.
"""

import ctypes
import unittest

from kernels import Library, allocate, doubles, floats, product, reference
from launches import Case, correlate_grid, gradient_rows, packed_bytes

# Of the sum of magnitudes: a sum in f32 in any order, of the few thousand terms that there are here.
SUM = 16 * 2.0**-24
# Of the value: half of the last digit of bf16.
BF16 = 2.0**-8 * 1.01

CASES = [
    # One tile, nothing to cut off.
    Case(1, (4, 4, 8), 8, 8),
    Case(1, (4, 4, 8), 8, 8, bf16=False),
    # The networks' own: 30 channels at a pitch of 32, 4 images; sums in parts.
    Case(2, (5, 7, 9), 30, 30, input_pitch=32, output_pitch=32, splits=2, bias=True),
    Case(2, (5, 6, 7), 30, 30, input_pitch=32, output_pitch=32, splits=3, bias=True, bf16=False),
    Case(2, (6, 5, 7), 4, 30, input_pitch=8, output_pitch=32),
    Case(1, (5, 4, 6), 30, 60, input_pitch=32, output_pitch=64, stride=2, splits=2),
    Case(2, (5, 3, 4), 30, 60, stride=2, splits=2, bf16=False),
    # More channels than a block computes, and tiles of fewer.
    Case(1, (3, 3, 3), 130, 70, columns=32, input_pitch=136, output_pitch=72),
    Case(1, (2, 2, 2), 8, 64, columns=8, groups=2, input_pitch=11, output_pitch=65),
    # Channels that no read divides.
    Case(1, (3, 5, 6), 1, 5),
    Case(1, (3, 5, 6), 1, 5, bf16=False),
    Case(3, (3, 5, 6), 3, 4, bias=True),
    Case(4, (5, 4, 3), 5, 3, side=1, bias=True),
    Case(4, (5, 4, 3), 5, 3, side=1, stride=2, bf16=False),
    # Groups.
    Case(1, (4, 4, 4), 4, 4, groups=4),
    Case(1, (4, 4, 4), 4, 8, groups=4, bf16=False),
    Case(1, (5, 7, 6), 16, 24, groups=4, stride=2),
    Case(1, (6, 6, 6), 12, 12, groups=3, splits=5),
    Case(1, (5, 5, 5), 6, 130, groups=2, bf16=False),
    Case(2, (7, 7, 7), 16, 16, groups=4, stride=2, side=1, splits=3),
    # Groups that are computed as one, all and some of them.
    Case(2, (4, 5, 6), 4, 16, groups=4, merged=4, input_pitch=8),
    Case(1, (5, 4, 3), 16, 16, groups=4, merged=2, stride=2, bf16=False),
    Case(1, (4, 3, 4), 12, 20, groups=4, merged=4, side=1, splits=2),
    # The transposed convolution of 2^3 is this one's input's gradient.
    Case(2, (6, 8, 4), 30, 60, side=2, stride=2, input_pitch=32, output_pitch=64),
    Case(1, (4, 6, 10), 5, 8, side=2, stride=2, bf16=False, splits=2),
    # Bricks that are rows, and volumes that are lines.
    Case(1, (17, 2, 1), 8, 8, brick=(5, 1, 1)),
    Case(1, (1, 1, 130), 8, 8, brick=(0, 0, 7)),
]


class Shape(ctypes.Structure):
    _fields_ = [
        ("samples", ctypes.c_int), ("source", ctypes.c_int * 3), ("target", ctypes.c_int * 3),
        ("inputs", ctypes.c_int), ("outputs", ctypes.c_int), ("groups", ctypes.c_int), ("side", ctypes.c_int),
        ("stride", ctypes.c_int),
    ]


class Convolutions(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.library, cls.reference = Library(), reference()

    def drawn(self, count, seed, case):
        values = floats(count)
        kind = 1 if case.bf16 else 2
        self.reference.draw(values, ctypes.c_long(count), seed, kind, ctypes.c_float(0))
        return values

    def laid_out(self, values, rows, channels, pitch, case):
        memory = allocate(rows * pitch * case.width)
        self.reference.lay_out(values, memory, ctypes.c_long(rows), channels, pitch, int(case.bf16))
        return memory

    def assert_close(self, found, expected, sizes, rows, channels, pitch, is_bf16, what):
        error = self.reference.worst_error(
            found, expected, sizes, ctypes.c_long(rows), channels, pitch, int(is_bf16), ctypes.c_double(SUM),
            ctypes.c_double(BF16 if is_bf16 else 0.0))
        self.assertLess(error, 1.0, what)

    def correlate(self, case, geometry, kernel, source, granule, target_granule, rows, pitch, bias):
        """Packs, multiplies and adds up; the answer's memory."""
        columns = case.columns_of(geometry.to)
        macros = {"BF16": int(case.bf16), "COLUMNS": columns, "GRANULE": granule}
        size = packed_bytes(geometry, granule, columns, case.width)
        packed = allocate(size)
        blocks = -(-size // case.width // 256)
        self.library.launch("pack_kernel", macros, blocks, [kernel, packed, geometry], [packed])
        target = allocate(rows * pitch * case.width)
        parts = allocate(max(case.splits * rows * pitch * 4 if case.splits > 1 else 0, 4))
        finish = {"BF16": int(case.bf16), "BIAS": int(bias is not None)}
        bias = bias or floats(1)
        self.library.launch(
            "correlate", {**macros, **finish, "TARGET_GRANULE": target_granule}, correlate_grid(geometry, columns),
            [source, packed, bias, target, parts, geometry], [target, parts], threads=128)
        if case.splits > 1:
            blocks = -(-rows * pitch // 256)
            self.library.launch("add_parts", finish, blocks, [parts, bias, target, geometry], [target])
        return target

    def gradient(self, case, volume, slopes, weights):
        geometry = case.forward()
        columns = case.columns_of(geometry.to)
        granule = case.granule(case.inputs, case.input_pitch)
        rows = gradient_rows(geometry, granule, case.width)
        tiles = -(-geometry.to // columns)
        macros = {"BF16": int(case.bf16), "COLUMNS": columns, "GRANULE": granule}
        target_granule = case.granule(case.outputs, case.output_pitch)
        parts = allocate(case.splits * geometry.groups * rows * tiles * columns * 4)
        self.library.launch(
            "kernel_gradient", {**macros, "TARGET_GRANULE": target_granule},
            (rows // 128, tiles * geometry.groups, case.splits), [volume, slopes, parts, geometry], [parts], threads=128)
        gradient = allocate(weights * 4)
        blocks = -(-weights // 256)
        self.library.launch("add_kernel_parts", macros, blocks, [parts, gradient, geometry], [gradient])
        return gradient

    def check(self, case):
        inputs, outputs = case.samples * product(case.extent), case.samples * product(case.target)
        weights = case.outputs * (case.inputs // case.groups) * case.side**3
        volume, kernel = self.drawn(inputs * case.inputs, 1, case), self.drawn(weights, 2, case)
        bias, slopes = self.drawn(case.outputs, 3, case), self.drawn(outputs * case.outputs, 4, case)
        bias = bias if case.bias else None
        in_memory = self.laid_out(volume, inputs, case.inputs, case.input_pitch, case)
        slopes_in_memory = self.laid_out(slopes, outputs, case.outputs, case.output_pitch, case)
        granule = case.granule(case.inputs, case.input_pitch)
        out_granule = case.granule(case.outputs, case.output_pitch)
        shape = ctypes.byref(Shape(
            case.samples, case.extent, case.target, case.inputs, case.outputs, case.groups, case.side, case.stride))

        expected, sizes = doubles(outputs * case.outputs), doubles(outputs * case.outputs)
        self.reference.convolve(shape, volume, kernel, bias, expected, sizes)
        found = self.correlate(
            case, case.forward(), kernel, in_memory, granule, out_granule, outputs, case.output_pitch, bias)
        self.assert_close(
            found, expected, sizes, outputs, case.outputs, case.output_pitch, case.bf16, "the convolution")

        expected, sizes = doubles(inputs * case.inputs), doubles(inputs * case.inputs)
        self.reference.volume_gradient(shape, slopes, kernel, expected, sizes)
        found = self.correlate(
            case, case.volume_gradient(), kernel, slopes_in_memory, out_granule, granule, inputs, case.input_pitch,
            None)
        self.assert_close(found, expected, sizes, inputs, case.inputs, case.input_pitch, case.bf16, "its input's gradient")

        expected, sizes = doubles(weights), doubles(weights)
        self.reference.kernel_gradient(shape, volume, slopes, expected, sizes)
        found = self.gradient(case, in_memory, slopes_in_memory, weights)
        self.assert_close(found, expected, sizes, weights, 1, 1, False, "its kernel's gradient")

    def test_every_pass_is_the_textbooks_on_every_shape(self):
        for case in CASES:
            with self.subTest(case=case):
                self.check(case)


if __name__ == "__main__":
    unittest.main()
