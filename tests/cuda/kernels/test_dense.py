"""Dense layers between rows and volumes, mean squared errors, and conversions of volumes, against the same in f64."""

import ctypes
import itertools
import math
import unittest

from kernels import Library, allocate, drawn, product, reference
from test_channels import padded, values_of

BF16 = 2.0**-8 * 1.01
ROUNDING = 2.0**-24


class Dense(ctypes.Structure):
    """The parameter block of `dense.cuh`."""

    _fields_ = [(name, ctypes.c_int) for name in ("samples", "inputs", "input_voxels", "input_pitch", "outputs", "output_voxels", "output_pitch")]


class Error(ctypes.Structure):
    _fields_ = [(name, ctypes.c_int) for name in ("voxels", "channels", "pitch", "blocks")]


class Conversion(ctypes.Structure):
    _fields_ = [("extent", ctypes.c_int * 3), ("voxels", ctypes.c_int), ("channels", ctypes.c_int),
                ("source", ctypes.c_int * 5), ("logits", ctypes.c_int * 5), ("pitch", ctypes.c_int)]


class Values:
    """Values of samples, [channels, voxels] each; `voxels` 1 for rows."""

    def __init__(self, loaded, samples, channels, voxels, bf16, seed):
        self.count, self.voxels, self.bf16 = channels * voxels, voxels, bf16
        self.pitch = channels if voxels == 1 else padded(channels, 2 if bf16 else 4)
        flat, self.memory = drawn(loaded, (samples, voxels), channels, self.pitch, bf16, seed)
        self.flat = [[flat[(sample * voxels + at % voxels) * channels + at // voxels] for at in range(self.count)] for sample in range(samples)]

    def found(self, memory):
        values = values_of(memory, self.bf16)
        return [[values[(sample * self.voxels + at % self.voxels) * self.pitch + at // self.voxels] for at in range(self.count)]
                for sample in range(len(self.flat))]


class Layers(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.library, cls.reference = Library(), reference()

    def near(self, found, terms, bf16):
        """A sum in f32, rounded to its type."""
        answer = math.fsum(terms)
        allowed = (len(terms) + 16) * ROUNDING * math.fsum(map(abs, terms)) + (BF16 * abs(answer) if bf16 else 0.0)
        self.assertLessEqual(abs(found - answer), allowed + 1e-30)

    def test_dense_layers_and_their_gradients_are_the_textbooks(self):
        # Samples; channels and voxels of the input and of the answer; ReLU behind volumes.
        for (samples, given, wanted), bf16 in itertools.product((
            (2, (16, 27), (10, 1)), (1, (3, 5), (33, 1)), (4, (5, 8), (7, 1)), (5, (1, 40), (3, 1)),
            (2, (9, 1), (16, 27)), (3, (33, 1), (5, 8)), (5, (4, 1), (3, 12)),
        ), (False, True)):
            with self.subTest(samples=samples, given=given, wanted=wanted, bf16=bf16):
                inputs = Values(self.reference, samples, *given, bf16 and given[1] > 1, 1)
                answers = Values(self.reference, samples, *wanted, bf16 and wanted[1] > 1, 2)
                slopes = Values(self.reference, samples, *wanted, answers.bf16, 3)
                relu = wanted[1] > 1
                weight, weight_memory = drawn(self.reference, (answers.count,), inputs.count, inputs.count, False, 4)
                bias, bias_memory = drawn(self.reference, (1,), answers.count, answers.count, False, 5)
                macros = {"BF16": int(inputs.bf16), "ANSWER_BF16": int(answers.bf16), "RELU": int(relu)}
                shape = Dense(samples, inputs.count, inputs.voxels, inputs.pitch, answers.count, answers.voxels, answers.pitch)
                made = allocate(len(answers.memory))
                self.library.launch("dense", macros, -(-answers.count // 8), [inputs.memory, weight_memory, bias_memory, made, shape], [made])
                all_found = answers.found(made)
                for sample, output in itertools.product(range(samples), range(answers.count)):
                    found = all_found[sample][output]
                    terms = [weight[output * inputs.count + at] * inputs.flat[sample][at] for at in range(inputs.count)] + [bias[output]]
                    if relu and math.fsum(terms) <= 0.0:
                        self.assertLessEqual(found, 16 * len(terms) * ROUNDING * math.fsum(map(abs, terms)))
                        self.assertGreaterEqual(found, 0.0)
                    else:
                        self.near(found, terms, answers.bf16)
                behind = [[slope if not relu or answer > 0.0 else 0.0 for slope, answer in zip(*pair)] for pair in zip(slopes.flat, answers.flat)]
                gradient = allocate(len(inputs.memory))
                self.library.launch("dense_input_gradient", macros, -(-inputs.count // 32),
                                    [weight_memory, answers.memory, slopes.memory, gradient, shape], [gradient])
                for sample, row in enumerate(inputs.found(gradient)):
                    for at, found in enumerate(row):
                        self.near(found, [behind[sample][output] * weight[output * inputs.count + at] for output in range(answers.count)], inputs.bf16)
                of_weight, of_bias = allocate(4 * len(weight)), allocate(4 * len(bias))
                self.library.launch("dense_weight_gradient", macros, (-(-inputs.count // 256), answers.count),
                                    [inputs.memory, answers.memory, slopes.memory, of_weight, of_bias, shape], [of_weight, of_bias])
                for place, found in enumerate((ctypes.c_float * len(weight)).from_buffer(of_weight)):
                    output, at = divmod(place, inputs.count)
                    self.near(found, [behind[sample][output] * inputs.flat[sample][at] for sample in range(samples)], False)
                for output, found in enumerate((ctypes.c_float * len(bias)).from_buffer(of_bias)):
                    self.near(found, [behind[sample][output] for sample in range(samples)], False)

    def test_a_squared_error_is_averaged_over_all_values_and_padding_counts_for_nothing(self):
        for (voxels, channels, blocks), bf16 in itertools.product(((105, 4, 2), (1, 1, 1), (700, 30, 3), (260, 5, 5)), (False, True)):
            with self.subTest(voxels=voxels, channels=channels, bf16=bf16):
                pitch = padded(channels, 2 if bf16 else 4)
                (one, one_memory), (other, other_memory) = (drawn(self.reference, (voxels,), channels, pitch, bf16, seed) for seed in (1, 2))
                macros, shape = {"BF16": int(bf16)}, Error(voxels, channels, pitch, blocks)
                parts, mean, gradient = allocate(4 * blocks), allocate(4), allocate(len(one_memory))
                self.library.launch("squared_error_sums", macros, blocks, [one_memory, other_memory, parts, shape], [parts])
                self.library.launch("squared_error", macros, 1, [parts, mean, shape], [mean], threads=32)
                terms = [(a - b) ** 2 / len(one) for a, b in zip(one, other)]
                found = ctypes.c_float.from_buffer(mean).value
                self.assertLessEqual(abs(found - math.fsum(terms)), 64 * ROUNDING * math.fsum(terms))
                slope = allocate(4)
                ctypes.c_float.from_buffer(slope).value = 0.75
                granules = voxels * pitch * (2 if bf16 else 4) // 16
                self.library.launch("squared_error_gradient", macros, -(-granules // 256), [one_memory, other_memory, slope, gradient, shape], [gradient])
                values = values_of(gradient, bf16)
                for voxel, channel in itertools.product(range(voxels), range(pitch)):
                    at = voxel * channels + channel
                    expected = 1.5 / len(one) * (one[at] - other[at]) if channel < channels else 0.0
                    allowed = (BF16 if bf16 else 0.0) * abs(expected) + 8 * ROUNDING * 1.5 / len(one)
                    self.assertLessEqual(abs(values[voxel * pitch + channel] - expected), allowed)

    def test_conversions_keep_values_and_logits_become_probabilities_with_their_slopes(self):
        for (samples, extent, channels), source_bf16, bf16, logistic in itertools.product(
                ((2, (3, 5, 7), 3), (1, (1, 1, 1), 30), (3, (2, 4, 3), 9)), (False, True), (False, True), (0, 1, 2)):
            with self.subTest(samples=samples, extent=extent, channels=channels, source_bf16=source_bf16, bf16=bf16, logistic=logistic):
                voxels, pitch = product(extent), padded(channels, 2 if bf16 else 4)
                source_pitch = padded(channels, 2 if source_bf16 else 4)
                values, last = drawn(self.reference, (samples, voxels), channels, source_pitch, source_bf16, 1)
                # The same channel after channel.
                apart = [values[(sample * voxels + voxel) * channels + c]
                         for sample, c, voxel in itertools.product(range(samples), range(channels), range(voxels))]
                first = allocate(len(apart) * (2 if source_bf16 else 4))
                self.reference.lay_out((ctypes.c_float * len(apart))(*apart), first, ctypes.c_long(len(apart)), 1, 1, int(source_bf16))
                logits, logits_memory = drawn(self.reference, (samples, voxels), channels, channels, False, 2)
                _, h, w = extent
                strided = lambda pitch: (voxels * pitch, 1, h * w * pitch, w * pitch, pitch)  # noqa: E731
                for memory, strides in ((last, strided(source_pitch)), (first, (channels * voxels, voxels, h * w, w, 1))):
                    found = allocate(samples * voxels * pitch * (2 if bf16 else 4))
                    shape = Conversion(extent, samples * voxels, channels, strides, strided(channels), pitch)
                    self.library.launch("convert_channels", {"BF16": int(bf16), "SOURCE_BF16": int(source_bf16), "LOGISTIC": logistic},
                                        -(-samples * voxels * pitch * (2 if bf16 else 4) // 16 // 256), [memory, logits_memory, found, shape], [found])
                    answer = values_of(found, bf16)
                    for voxel, channel in itertools.product(range(samples * voxels), range(pitch)):
                        at = voxel * channels + channel
                        expected = values[at] if channel < channels else 0.0
                        if channel < channels and logistic == 1:
                            expected = 1.0 / (1.0 + math.exp(-expected))
                        elif channel < channels and logistic == 2:
                            probability = 1.0 / (1.0 + math.exp(-logits[at]))
                            expected *= probability * (1.0 - probability)
                        allowed = (BF16 if bf16 else 0.0) * abs(expected) + (8 * ROUNDING if logistic else 0.0)
                        self.assertLessEqual(abs(answer[voxel * pitch + channel] - expected), allowed)


if __name__ == "__main__":
    unittest.main()
