"""What goes through a volume voxel by voxel: the largest of groups of channels, images as they are transferred, and the
sums that a bias' gradient is."""

import ctypes
import itertools
import struct
import unittest

from kernels import Library, allocate, drawn, floats, reference


class Groups(ctypes.Structure):
    _fields_ = [(name, ctypes.c_int) for name in ("voxels", "groups", "members", "source_pitch", "pitch")]


class SlopedGroups(ctypes.Structure):
    _fields_ = [(name, ctypes.c_int) for name in ("voxels", "groups", "members", "source_pitch", "slopes_pitch", "pitch")]


class Images(ctypes.Structure):
    _fields_ = [(name, ctypes.c_int) for name in ("samples", "voxels", "channels", "pitch")]


class Dropout(ctypes.Structure):
    _fields_ = [(name, ctypes.c_int) for name in ("samples", "voxels", "channels", "source_pitch", "pitch")] + [("scale", ctypes.c_float)]


class Norm(ctypes.Structure):
    """The parameter block of `norm.cuh`."""

    _fields_ = [(name, ctypes.c_int) for name in ("samples", "voxels", "channels", "groups", "pitch", "stretch")]
    _fields_ += [("epsilon", ctypes.c_float), ("slope", ctypes.c_float)]


def padded(channels, width):
    return -(-channels * width // 16) * 16 // width


def values_of(memory, bf16):
    """The elements of a volume as f32."""
    if not bf16:
        return list((ctypes.c_float * (len(memory) // 4)).from_buffer(memory))
    halves = (ctypes.c_uint16 * (len(memory) // 2)).from_buffer(memory)
    return [struct.unpack("f", struct.pack("I", bits << 16))[0] for bits in halves]


class Channels(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.library, cls.reference = Library(), reference()

    def test_the_largest_of_each_place_in_groups_is_taken_and_the_first_of_the_largest_has_the_gradient(self):
        for (voxels, groups, members), bf16 in itertools.product(((37, 4, 5), (300, 4, 16), (5, 2, 1), (9, 3, 30)), (False, True)):
            with self.subTest(voxels=voxels, groups=groups, members=members, bf16=bf16):
                width, channels = 2 if bf16 else 4, groups * members
                pitch, own = padded(channels, width), padded(members, width)
                flat = floats(voxels * channels)
                # Ties: a few values.
                self.reference.draw(flat, ctypes.c_long(len(flat)), 3, int(bf16), ctypes.c_float(0))
                flat = (ctypes.c_float * len(flat))(*(round(value * 3) / 4 for value in flat))
                memory = allocate(voxels * pitch * width)
                self.reference.lay_out(flat, memory, ctypes.c_long(voxels), channels, pitch, int(bf16))
                slopes, slopes_memory = drawn(self.reference, (voxels,), members, own, bf16, 4)
                found, gradient = allocate(voxels * own * width), allocate(voxels * pitch * width)
                self.library.launch("group_max", {"BF16": int(bf16)}, -(-voxels * own * width // 16 // 256),
                                    [memory, found, Groups(voxels, groups, members, pitch, own)], [found])
                self.library.launch("group_max_gradient", {"BF16": int(bf16)}, -(-voxels * pitch * width // 16 // 256),
                                    [memory, slopes_memory, gradient, SlopedGroups(voxels, groups, members, pitch, own, pitch)], [gradient])
                answer, sent = values_of(found, bf16), values_of(gradient, bf16)
                for voxel in range(voxels):
                    expected, expected_gradient = [0.0] * own, [0.0] * pitch
                    for member in range(members):
                        candidates = [flat[voxel * channels + group * members + member] for group in range(groups)]
                        expected[member] = max(candidates)
                        expected_gradient[candidates.index(max(candidates)) * members + member] = slopes[voxel * members + member]
                    self.assertEqual(answer[voxel * own:(voxel + 1) * own], expected)
                    self.assertEqual(sent[voxel * pitch:(voxel + 1) * pitch], expected_gradient)

    def test_images_keep_their_values(self):
        for (samples, voxels, channels), bf16 in itertools.product(((2, 105, 4), (1, 7, 1), (3, 260, 5), (1, 64, 8)), (False, True)):
            with self.subTest(samples=samples, voxels=voxels, channels=channels, bf16=bf16):
                width = 2 if bf16 else 4
                pitch, count = padded(channels, width), samples * channels * voxels
                # Of few digits, so that bf16 has them, too; subnormal ones and the largest among them.
                images = [((at * 37) % 251 - 125) / 64 for at in range(count)]
                images[:4] = [0.0, -0.0, 2.0**-24, 65280.0]
                memory = allocate(2 * count)
                memory[:] = struct.pack(f"{count}e", *images)
                found = allocate(samples * voxels * pitch * width)
                self.library.launch("lay_out_images", {"BF16": int(bf16)}, -(-samples * voxels * pitch * width // 16 // 256),
                                    [memory, found, Images(samples, voxels, channels, pitch)], [found])
                answer = values_of(found, bf16)
                for sample, voxel in itertools.product(range(samples), range(voxels)):
                    expected = [images[(sample * channels + channel) * voxels + voxel] for channel in range(channels)]
                    place = (sample * voxels + voxel) * pitch
                    self.assertEqual(answer[place:place + pitch], expected + [0.0] * (pitch - channels))

    def test_dropped_values_are_zero_and_the_others_are_scaled(self):
        for (samples, voxels, channels), bf16 in itertools.product(((2, 105, 4), (1, 7, 1), (3, 33, 30), (4, 64, 8)), (False, True)):
            with self.subTest(samples=samples, voxels=voxels, channels=channels, bf16=bf16):
                width = 2 if bf16 else 4
                pitch = padded(channels, width)
                values, memory = drawn(self.reference, (samples, voxels), channels, 2 * pitch, bf16, 1)
                dropped = [at * 2654435761 % 1000 < 100 for at in range(samples * channels * voxels)]
                words = [sum(bit << at for at, bit in enumerate(dropped[first:first + 32])) for first in range(0, len(dropped), 32)]
                bits = allocate(4 * len(words))
                bits[:] = struct.pack(f"{len(words)}I", *words)
                found = allocate(samples * voxels * pitch * width)
                self.library.launch("drop_values", {"BF16": int(bf16)}, -(-samples * voxels * pitch * width // 16 // 256),
                                    [memory, bits, found, Dropout(samples, voxels, channels, 2 * pitch, pitch, 1.25)], [found])
                answer = values_of(found, bf16)
                for voxel, channel in itertools.product(range(samples * voxels), range(pitch)):
                    expected = 0.0
                    if channel < channels and not dropped[(voxel // voxels * channels + channel) * voxels + voxel % voxels]:
                        expected = 1.25 * values[voxel * channels + channel]
                    self.assertLessEqual(abs(answer[voxel * pitch + channel] - expected), 2.0**-8 * abs(expected))

    def test_sums_are_over_all_samples_and_voxels(self):
        for (samples, voxels, channels, stretch), bf16 in itertools.product(((2, 105, 30, 64), (1, 9, 1, 64), (4, 130, 72, 128), (3, 300, 5, 64)), (False, True)):
            with self.subTest(samples=samples, voxels=voxels, channels=channels, bf16=bf16):
                pitch = padded(channels, 2 if bf16 else 4)
                values, memory = drawn(self.reference, (samples, voxels), channels, pitch, bf16, 5)
                norm = Norm(samples, voxels, channels, 1, pitch, stretch, 0.0, 1.0)
                stretches = -(-voxels // stretch)
                sums, gradient = allocate(4 * samples * stretches * pitch), allocate(4 * channels)
                self.library.launch("channel_sums", {"BF16": int(bf16)}, (stretches, samples), [memory, sums, norm], [sums])
                self.library.launch("add_channel_sums", {"BF16": int(bf16)}, -(-channels // 4), [sums, gradient, norm], [gradient], threads=128)
                for channel, found in enumerate((ctypes.c_float * channels).from_buffer(gradient)):
                    terms = values[channel::channels]
                    self.assertLessEqual(abs(found - sum(terms)), 16 * 2.0**-24 * sum(map(abs, terms)))


if __name__ == "__main__":
    unittest.main()
