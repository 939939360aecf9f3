"""Channels of two volumes side by side in one, and some channels of one as a volume of its own."""

import ctypes
import itertools
import unittest

from kernels import Library, allocate, drawn, reference

# Voxels, channels and pitches of either volume.
CASES = [(105, (30, 30), (32, 32)), (1, (1, 3), (8, 8)), (257, (5, 130), (8, 136)), (64, (16, 8), (16, 24)), (33, (3, 1), (16, 16))]


class Concatenation(ctypes.Structure):
    _fields_ = [("voxels", ctypes.c_int), ("channels", ctypes.c_int * 2), ("pitches", ctypes.c_int * 2), ("pitch", ctypes.c_int)]


class ChannelRange(ctypes.Structure):
    _fields_ = [(name, ctypes.c_int) for name in ("voxels", "first", "channels", "source_pitch", "pitch")]


class Concatenations(unittest.TestCase):
    def test_every_channel_is_where_it_belongs(self):
        library, loaded = Library(), reference()
        for (voxels, channels, pitches), bf16 in itertools.product(CASES, (False, True)):
            with self.subTest(voxels=voxels, channels=channels, bf16=bf16):
                width, kind = (2, ctypes.c_uint16) if bf16 else (4, ctypes.c_uint32)
                both = [drawn(loaded, (voxels,), count, pitch, bf16, seed)[1]
                        for count, pitch, seed in zip(channels, pitches, (1, 2))]
                elements = [(kind * (voxels * pitch)).from_buffer(memory) for memory, pitch in zip(both, pitches)]
                pitch = -(-sum(channels) * width // 16) * 16 // width
                target = allocate(voxels * pitch * width)
                blocks = -(-voxels * pitch * width // 16 // 256)
                library.launch("concatenate", {"BF16": int(bf16)}, blocks, [*both, target, Concatenation(voxels, channels, pitches, pitch)], [target])
                found = (kind * (voxels * pitch)).from_buffer(target)
                for voxel in range(voxels):
                    expected = [*elements[0][voxel * pitches[0]:][:channels[0]], *elements[1][voxel * pitches[1]:][:channels[1]]]
                    self.assertEqual(list(found[voxel * pitch:(voxel + 1) * pitch]), expected + [0] * (pitch - sum(channels)))
                for which, first in enumerate((0, channels[0])):
                    own = -(-channels[which] * width // 16) * 16 // width
                    taken = allocate(voxels * own * width)
                    blocks = -(-voxels * own * width // 16 // 256)
                    library.launch("take_channels", {"BF16": int(bf16)}, blocks, [target, taken, ChannelRange(voxels, first, channels[which], pitch, own)], [taken])
                    values = (kind * (voxels * own)).from_buffer(taken)
                    for voxel in range(voxels):
                        expected = list(elements[which][voxel * pitches[which]:][:channels[which]])
                        self.assertEqual(list(values[voxel * own:(voxel + 1) * own]), expected + [0] * (own - channels[which]))


if __name__ == "__main__":
    unittest.main()
