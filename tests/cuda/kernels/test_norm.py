"""Instance and group norm with their activation, forward and backward, against f64."""

import ctypes
import unittest
from dataclasses import dataclass

from kernels import Library, allocate, doubles, floats, reference

# Of the largest magnitude: statistics in f32 and a few operations behind them.
TOLERANCE = 4e-6
BF16 = 2.0**-8 * 1.01


class Norm(ctypes.Structure):
    """The parameter block of every kernel of a norm (`norm.cuh`)."""

    _fields_ = [
        ("samples", ctypes.c_int), ("voxels", ctypes.c_int), ("channels", ctypes.c_int), ("groups", ctypes.c_int),
        ("pitch", ctypes.c_int), ("stretch", ctypes.c_int), ("epsilon", ctypes.c_float), ("slope", ctypes.c_float),
    ]


@dataclass
class Case:
    samples: int
    voxels: int
    channels: int
    groups: int
    pitch: int
    stretch: int
    slope: float
    bf16: bool
    # Far from zero, a mean costs digits where squares are summed.
    mean: float = 0.0


CASES = [
    Case(2, 315, 30, 30, 32, 64, 0.01, True),
    Case(2, 315, 30, 30, 32, 64, 0.01, False),
    Case(1, 64, 8, 8, 8, 64, 0.0, True),
    Case(3, 100, 24, 3, 24, 33, 0.0, False),
    Case(4, 27, 3, 1, 4, 27, 1.0, False, mean=50.0),
    Case(1, 200, 480, 480, 480, 100, 0.01, True),
    Case(2, 77, 5, 5, 8, 10, 0.01, True, mean=3.0),
    Case(1, 130, 256, 8, 256, 50, 0.0, False, mean=-2.0),
    Case(1, 1, 4, 2, 4, 16, 0.01, False),
]


class Norms(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.library, cls.reference = Library(), reference()

    def drawn(self, count, seed, case, mean=0.0, kind=0):
        values = floats(count)
        self.reference.draw(values, ctypes.c_long(count), seed, kind, ctypes.c_float(mean))
        return values

    def assert_close(self, found, expected, case, channels, rows, pitch, is_bf16, what):
        largest = max(abs(value) for value in expected)
        sizes = doubles(len(expected))
        for at in range(len(expected)):
            sizes[at] = largest
        # A mean far from zero is rounded in more than the deviation's last digit.
        tolerance = TOLERANCE * (1 + abs(case.mean) / 10)
        error = self.reference.worst_error(
            found, expected, sizes, ctypes.c_long(rows), channels, pitch, int(is_bf16), ctypes.c_double(tolerance),
            ctypes.c_double(BF16 if is_bf16 else 0.0))
        self.assertLess(error, 1.0, what)

    def check(self, case):
        rows, count = case.samples * case.voxels, case.samples * case.voxels * case.channels
        kind, width = (1, 2) if case.bf16 else (0, 4)
        volume, slopes = self.drawn(count, 1, case, case.mean, kind), self.drawn(count, 2, case, 0.0, kind)
        weight, bias = self.drawn(case.channels, 3, case, 1.0), self.drawn(case.channels, 4, case)
        memory = []
        for values in (volume, slopes):
            memory.append(allocate(rows * case.pitch * width))
            self.reference.lay_out(
                values, memory[-1], ctypes.c_long(rows), case.channels, case.pitch, int(case.bf16))
        answer, gradient = doubles(count), doubles(count)
        weight_gradient, bias_gradient = doubles(case.channels), doubles(case.channels)
        sizes = (ctypes.c_int * 4)(case.samples, case.voxels, case.channels, case.groups)
        self.reference.normalise(
            sizes, ctypes.c_double(1e-5), ctypes.c_double(case.slope), volume, weight, bias, slopes, answer, gradient,
            weight_gradient, bias_gradient)

        norm = Norm(
            case.samples, case.voxels, case.channels, case.groups, case.pitch, case.stretch, 1e-5, case.slope)
        stretches = -(-case.voxels // case.stretch)
        grid = (stretches, case.samples)
        forward, backward = ({"BF16": int(case.bf16), "BACKWARD": way} for way in (0, 1))
        sums = allocate(case.samples * stretches * 2 * case.pitch * 4)
        statistics, means = allocate(case.samples * case.groups * 8), allocate(case.samples * case.groups * 8)
        launch = self.library.launch
        launch("norm_sums", forward, grid, [memory[0], memory[1], statistics, weight, bias, sums, norm], [sums])
        launch(
            "norm_statistics", {"BF16": int(case.bf16)}, (case.groups, case.samples),
            [memory[0], sums, statistics, norm], [statistics], threads=128)
        found = allocate(rows * case.pitch * width)
        launch(
            "norm_apply", forward, grid, [memory[0], memory[1], statistics, means, weight, bias, found, norm], [found])
        self.assert_close(found, answer, case, case.channels, rows, case.pitch, case.bf16, "the norm")

        launch("norm_sums", backward, grid, [memory[0], memory[1], statistics, weight, bias, sums, norm], [sums])
        gradients = [allocate(case.channels * 4) for _ in range(2)]
        launch(
            "norm_gradient_statistics", {"BF16": int(case.bf16)}, case.groups, [sums, weight, means, *gradients, norm],
            [means, *gradients], threads=128)
        launch(
            "norm_apply", backward, grid, [memory[0], memory[1], statistics, means, weight, bias, found, norm], [found])
        self.assert_close(found, gradient, case, case.channels, rows, case.pitch, case.bf16, "its input's gradient")
        for one, expected, what in zip(gradients, (weight_gradient, bias_gradient), ("weight", "bias")):
            self.assert_close(one, expected, case, case.channels, 1, case.channels, False, f"the gradient of its {what}")

    def test_every_norm_is_the_textbooks(self):
        for case in CASES:
            with self.subTest(case=case):
                self.check(case)


if __name__ == "__main__":
    unittest.main()
