"""Pooling and trilinear up-sampling, forward and backward, against the same in f64."""

import ctypes
import itertools
import unittest

from kernels import Library, allocate, doubles, drawn, product, reference

BF16 = 2.0**-8 * 1.01
SUM = 16 * 2.0**-24

# Samples, extent of the coarser volume, channels, pitch, bf16.
CASES = [
    (2, (2, 3, 5), 30, 32, True), (1, (3, 2, 2), 5, 8, False), (3, (1, 1, 1), 8, 8, True), (1, (4, 1, 3), 1, 4, False),
    (1, (2, 2, 3), 70, 72, True),
]


class Volume(ctypes.Structure):
    """The parameter block of `volume.cuh`."""

    _fields_ = [
        ("samples", ctypes.c_int), ("extent", ctypes.c_int * 3), ("channels", ctypes.c_int), ("pitch", ctypes.c_int),
    ]


class MeanPooling(ctypes.Structure):
    """The parameter block of `mean_pool.cu`."""

    _fields_ = [("volume", Volume), ("stride", ctypes.c_int * 5)]


def voxels(extent):
    return itertools.product(*(range(size) for size in extent))


class Volumes(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.library, cls.reference = Library(), reference()

    def check(self, name, inputs, expected, scale, case, strides=None):
        """Launches over a grid `scale` times as fine, and compares with `expected`, [samples, fine, channels]."""
        samples, extent, channels, pitch, bf16 = case
        written = len(expected) // channels
        threads = samples * product(extent) * scale**3 * (pitch * (2 if bf16 else 4) // 16)
        found = allocate(written * pitch * (2 if bf16 else 4))
        geometry = Volume(samples, extent, channels, pitch)
        geometry = MeanPooling(geometry, strides) if strides else geometry
        self.library.launch(name, {"BF16": int(bf16)}, -(-threads // 256), [*inputs, found, geometry], [found])
        answer, sizes = doubles(len(expected)), doubles(len(expected))
        for at, value in enumerate(expected):
            answer[at], sizes[at] = value, 1.0
        error = self.reference.worst_error(
            found, answer, sizes, ctypes.c_long(written), channels, pitch, int(bf16), ctypes.c_double(SUM),
            ctypes.c_double(BF16 if bf16 else 0.0))
        self.assertLess(error, 1.0, name)

    def test_pooling_takes_each_block_and_sends_its_gradient_to_the_first_of_the_largest(self):
        for case in CASES:
            with self.subTest(case=case):
                samples, extent, channels, pitch, bf16 = case
                fine = tuple(2 * size for size in extent)
                values, memory = drawn(self.reference, (samples, *fine), channels, pitch, bf16, 1)
                # Ties: a grid of few values.
                for at in range(len(values)):
                    values[at] = round(values[at] * 3) / 4
                flat = (ctypes.c_float * len(values))(*values)
                self.reference.lay_out(flat, memory, ctypes.c_long(len(values) // channels), channels, pitch, int(bf16))
                slopes, slopes_in_memory = drawn(self.reference, (samples, *extent), channels, pitch, bf16, 2)
                largest, gradient = [0.0] * len(slopes), [0.0] * len(values)
                for sample, (z, y, x), c in itertools.product(range(samples), list(voxels(extent)), range(channels)):
                    place = (((sample * extent[0] + z) * extent[1] + y) * extent[2] + x) * channels + c
                    block = [
                        (((sample * fine[0] + 2 * z + i) * fine[1] + 2 * y + j) * fine[2] + 2 * x + k) * channels + c
                        for i, j, k in voxels((2, 2, 2))
                    ]
                    best = max(block, key=lambda at: (values[at], -at))
                    largest[place] = values[best]
                    gradient[best] = slopes[place]
                self.check("max_pool", [memory], largest, 1, case)
                self.check("max_pool_gradient", [memory, slopes_in_memory], gradient, 1, case)

    def test_a_mean_is_over_each_block_and_its_gradient_is_spread_evenly(self):
        for case in CASES:
            with self.subTest(case=case):
                samples, extent, channels, pitch, bf16 = case
                fine = tuple(2 * size for size in extent)
                values, memory = drawn(self.reference, (samples, *fine), channels, pitch, bf16, 1)
                slopes, slopes_in_memory = drawn(self.reference, (samples, *extent), channels, pitch, bf16, 2)
                means, gradient = [0.0] * len(slopes), [0.0] * len(values)
                for sample, (z, y, x), c in itertools.product(range(samples), list(voxels(fine)), range(channels)):
                    of = (((sample * fine[0] + z) * fine[1] + y) * fine[2] + x) * channels + c
                    place = (((sample * extent[0] + z // 2) * extent[1] + y // 2) * extent[2] + x // 2) * channels + c
                    means[place] += values[of] / 8
                    gradient[of] = slopes[place] / 8
                d, h, w = fine
                self.check("mean_pool", [memory], means, 1, case, (d * h * w * pitch, 1, h * w * pitch, w * pitch, pitch))
                # Channel after channel, as labels become targets.
                apart = [values[(sample * d * h * w + voxel) * channels + c]
                         for sample, c, voxel in itertools.product(range(samples), range(channels), range(d * h * w))]
                apart_memory = allocate(len(apart) * (2 if bf16 else 4))
                self.reference.lay_out((ctypes.c_float * len(apart))(*apart), apart_memory, ctypes.c_long(len(apart)), 1, 1, int(bf16))
                self.check("mean_pool", [apart_memory], means, 1, case, (channels * d * h * w, d * h * w, h * w, w, 1))
                self.check("mean_pool_gradient", [slopes_in_memory], gradient, 2, case)

    def test_up_sampling_is_linear_between_half_pixel_centres_and_its_gradient_is_the_transpose(self):
        for case in CASES:
            with self.subTest(case=case):
                samples, extent, channels, pitch, bf16 = case
                fine = tuple(2 * size for size in extent)
                values, memory = drawn(self.reference, (samples, *extent), channels, pitch, bf16, 1)
                slopes, slopes_in_memory = drawn(self.reference, (samples, *fine), channels, pitch, bf16, 2)
                answer, gradient = [0.0] * len(slopes), [0.0] * len(values)

                def weights(at, size):
                    """Coarse voxels and their shares of a fine one, by the definition."""
                    centre = min(max((at + 0.5) / 2 - 0.5, 0.0), size - 1.0)
                    low = min(int(centre), size - 1)
                    high = min(low + 1, size - 1)
                    return [(low, 1 - (centre - low)), (high, centre - low)]

                for sample, (z, y, x) in itertools.product(range(samples), list(voxels(fine))):
                    to = ((sample * fine[0] + z) * fine[1] + y) * fine[2] + x
                    shares = [weights(at, size) for at, size in zip((z, y, x), extent)]
                    for (i, a), (j, b), (k, e) in itertools.product(*shares):
                        if a * b * e == 0:
                            continue
                        of = ((sample * extent[0] + i) * extent[1] + j) * extent[2] + k
                        for c in range(channels):
                            answer[to * channels + c] += a * b * e * values[of * channels + c]
                            gradient[of * channels + c] += a * b * e * slopes[to * channels + c]
                self.check("upsample", [memory], answer, 2, case)
                self.check("upsample_gradient", [slopes_in_memory], gradient, 1, case)


if __name__ == "__main__":
    unittest.main()
