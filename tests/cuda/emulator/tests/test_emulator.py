"""The emulator's promises, each on kernels whose answer is known. python3 -m unittest discover -s tests/cuda/emulator/tests"""

import array
import ctypes
import os
import random
import struct
import sys
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(HERE))

import emulator as em  # noqa: E402
from ptx import Unknown  # noqa: E402
from translate import translate  # noqa: E402

SCHEDULES = range(6)
EMULATOR = None


def setUpModule():
    global EMULATOR
    EMULATOR = em.Emulator()


def kernels(name, checks=em.ALL):
    return EMULATOR.compile(os.path.join(HERE, "kernels", f"{name}.cu"), checks)


def floats(values):
    return array.array("f", values)


def bf16(values):
    """Upper halves of f32; the values have to be exact."""
    return array.array("H", [struct.unpack("<I", struct.pack("<f", value))[0] >> 16 for value in values])


def f16(values):
    return array.array("H", [struct.unpack("<H", struct.pack("<e", value))[0] for value in values])


def small(generator, count):
    """Eighths: exact in every type, and their products' sums in f32."""
    return [generator.randint(-16, 16) / 8 for _ in range(count)]


def product(a, b, m, n, k, b_by_columns):
    return [sum(a[r * k + i] * (b[c * k + i] if b_by_columns else b[i * n + c]) for i in range(k))
            for r in range(m) for c in range(n)]


class Products(unittest.TestCase):
    def test_bf16_by_cp_async_and_ldmatrix(self):
        generator = random.Random(1)
        for m, n, k in ((16, 8, 16), (19, 13, 48), (33, 8, 80)):
            a, b = small(generator, m * k), small(generator, n * k)
            expected = product(a, b, m, n, k, True)
            for checks in (em.ALL, em.NOTHING):
                for seed in SCHEDULES:
                    c = floats([0.0] * (m * n))
                    kernels("products", checks).launch("bf16_pipelined", ((n + 7) // 8, (m + 15) // 16), 32,
                                                       [bf16(a), bf16(b), c, *map(ctypes.c_int, (m, n, k))], seed=seed)
                    self.assertEqual(list(c), expected, f"{m}x{n}x{k}, schedule {seed}")

    def test_registers_of_tf32_and_f16(self):
        generator = random.Random(2)
        a, b = small(generator, 128), small(generator, 64)
        for name in ("tf32_registers", "f16_registers"):
            c = floats([0.0] * 128)
            kernels("products").launch(name, 1, 32, [floats(a), floats(b), c])
            self.assertEqual(list(c), product(a, b, 16, 8, 8, False), name)

    def test_tf32_has_ten_bits(self):
        a, b = floats([0.0] * 128), floats([0.0] * 64)
        a[0], b[0] = 1 + 2.0 ** -11, 1 + 2.0 ** -12  # rounded up, rounded down
        c = floats([0.0] * 128)
        kernels("products").launch("tf32_registers", 1, 32, [a, b, c])
        self.assertEqual(c[0], 1 + 2.0 ** -10)

    def test_fragments(self):
        generator = random.Random(3)
        a, b = small(generator, 256), small(generator, 256)
        c = floats([0.0] * 256)
        kernels("products").launch("fragments", 1, 32, [f16(a), f16(b), c])
        self.assertEqual(list(c), [2 * value for value in product(a, b, 16, 16, 16, True)])


class Threads(unittest.TestCase):
    def test_sums_are_the_same_in_every_schedule(self):
        generator = random.Random(4)
        data = floats([generator.uniform(-1, 1) for _ in range(1000)])
        answers = set()
        for seed in SCHEDULES:
            sums = floats([0.0] * 3)
            kernels("threads").launch("sums", 3, 128, [data, sums, ctypes.c_int(1000)], seed=seed)
            answers.add(tuple(sums))
        self.assertEqual(len(answers), 1)
        self.assertAlmostEqual(sum(answers.pop()), sum(data), places=4)

    def test_atomics(self):
        data = array.array("B", [random.Random(5).randrange(256) for _ in range(500)])
        for seed in SCHEDULES:
            counts = array.array("I", [0] * 8)
            kernels("threads").launch("histogram", 2, 64, [data, counts, ctypes.c_int(500)], seed=seed)
            self.assertEqual(list(counts), [2 * sum(one & 7 == value for one in data) for value in range(8)])

    def test_shuffles_and_votes(self):
        for seed in SCHEDULES:
            out = array.array("I", [0] * 32)
            kernels("threads").launch("votes", 1, 32, [out], seed=seed)
            expected = [(lane ^ 1) * 10000 + (lane - 2 if lane % 8 >= 2 else lane) * 100 + (lane < 16) for lane in range(32)]
            self.assertEqual(list(out), expected)

    def test_shared_memory_static_and_dynamic(self):
        data = floats(range(64))
        kernels("threads").launch("reverse64", 1, 64, [data])
        self.assertEqual(list(data), list(range(63, -1, -1)))
        data = floats(range(64))
        kernels("threads").launch("shifted", 1, 64, [data], shared_bytes=128)
        self.assertEqual(list(data), [*range(1, 32), 0, *range(32, 64)])


class Wrong(unittest.TestCase):
    def refused(self, name, text, arguments=None, threads=64, grid=1, seeds=SCHEDULES, checks=em.ALL):
        for seed in seeds:
            given = arguments() if arguments else [floats([1.0] * 64)]
            with self.assertRaises(em.Failure, msg=f"{name}, schedule {seed}") as told:
                kernels("wrong", checks).launch(name, grid, threads, given, seed=seed)
            self.assertIn(text, str(told.exception))

    def test_a_race_is_told_in_every_schedule(self):
        self.refused("races", "race: ")
        self.refused("races_in_a_warp", "race: ", threads=32)
        self.refused("races_between_blocks", "of another block", grid=2)

    def test_a_race_changes_the_answer_in_some_schedule(self):
        answers = set()
        for seed in SCHEDULES:
            data = floats(range(64))
            kernels("wrong", em.NOTHING).launch("races", 1, 64, [data], seed=seed)
            answers.add(struct.pack("<64f", *data))
        self.assertGreater(len(answers), 1)

    def test_what_a_warp_does_behind_its_barrier_is_no_race(self):
        for seed in SCHEDULES:
            data = floats(range(32))
            kernels("wrong").launch("keeps_to_the_warp", 1, 32, [data], seed=seed)
            self.assertEqual(list(data), [one ^ 1 for one in range(32)])

    def test_out_of_bounds(self):
        arguments = lambda: [floats([1.0] * 10), floats([0.0]), ctypes.c_int(10)]  # noqa: E731
        self.refused("reads_beyond", "out of bounds: read of 4 bytes at byte 40 of argument 0, which has 40", arguments, 1)
        self.refused("writes_beyond_shared", "of kept, which has 128", threads=32, seeds=[0])
        self.refused("reads_beyond", "out of bounds", arguments, 1, checks=em.BOUNDS)

    def test_misaligned(self):
        self.refused("misaligned", "misaligned", lambda: [floats([1.0] * 8), floats([0.0])], 1)

    def test_copies_that_have_not_come(self):
        self.refused("does_not_wait", "not complete", lambda: [floats([1.0] * 4), floats([0.0])], 1)
        self.refused("waits_alone", "race: ", lambda: [floats([1.0] * 256), floats([0.0] * 64)], 64)
        out = floats([0.0])
        kernels("wrong", em.NOTHING).launch("does_not_wait", 1, 1, [floats([1.0] * 4), out], seed=1)
        self.assertNotEqual(out[0], out[0], "without checks it reads what shared memory begins with: no number")

    def test_threads_that_never_meet(self):
        self.refused("half_a_warp_meets", "different operations", threads=32)
        self.refused("never_meets", "deadlock", threads=64)

    def test_limits(self):
        self.refused("takes_too_much", "49156 bytes of static shared memory", threads=1)
        self.refused("narrow", "__launch_bounds__", threads=64)
        self.refused("narrow", "no such block", threads=2048)
        self.refused("narrow", "no such grid", threads=1, grid=(1, 65536))

    def test_an_illegal_address_without_checks(self):
        self.refused("follows_null", "illegal address", threads=1, checks=em.NOTHING)


class TensorMap(ctypes.Structure):
    """include/emulator/tensor_map.h"""
    _fields_ = [("magic", ctypes.c_uint32), ("is_im2col", ctypes.c_uint8), ("element_bytes", ctypes.c_uint8),
                ("rank", ctypes.c_uint8), ("swizzle", ctypes.c_uint8), ("base", ctypes.c_uint64), ("sizes", ctypes.c_uint64 * 5),
                ("strides", ctypes.c_uint64 * 4), ("box", ctypes.c_uint16 * 5), ("steps", ctypes.c_uint8 * 5),
                ("lower", ctypes.c_int8 * 3), ("upper", ctypes.c_int8 * 3), ("fills_nan", ctypes.c_uint8),
                ("channels", ctypes.c_uint16), ("pixels", ctypes.c_uint16), ("rest", ctypes.c_uint8 * 14)]


class Barriers(unittest.TestCase):
    def map_of(self, data, sizes, **more):
        strides, bytes_so_far = [], 4
        for size in sizes[:-1]:
            bytes_so_far *= size
            strides.append(bytes_so_far)
        made = TensorMap(magic=0x70614D54, element_bytes=4, rank=len(sizes), base=data.buffer_info()[0])
        self.assertEqual(ctypes.sizeof(made), 128)
        for name, values in (("sizes", sizes), ("strides", strides), ("steps", [1] * 5), *more.items()):
            if isinstance(values, int):
                setattr(made, name, values)
            else:
                for at, value in enumerate(values):
                    getattr(made, name)[at] = value
        return made

    def test_a_ring_of_bulk_copies(self):
        data = floats(range(64 * 5))
        for checks in (em.ALL, em.NOTHING):
            for seed in SCHEDULES:
                out = floats([0.0] * 32)
                kernels("barriers", checks).launch("ring", 1, 64, [data, out, ctypes.c_int(5)], seed=seed)
                expected = [sum(data[64 * piece + lane] + data[64 * piece + lane + 32] for piece in range(5)) for lane in range(32)]
                self.assertEqual(list(out), expected, f"schedule {seed}")

    def test_a_box_is_zero_outside(self):
        nx, ny, nz = 12, 7, 3
        data = floats(range(1, nx * ny * nz + 1))
        for x, y, z in ((0, 0, 0), (8, 5, 2), (-3, -1, 1)):
            for swizzle in (0, 32):
                out = floats([-1.0] * 64)
                with_box = self.map_of(data, (nx, ny, nz), box=(8, 4, 2), swizzle=swizzle)
                kernels("barriers").launch("box", 1, 64, [with_box, out, *map(ctypes.c_int, (x, y, z))], checks=em.NOTHING, seed=2)
                for at in range(64):
                    i, j, k = x + at % 8, y + at // 8 % 4, z + at // 32
                    inside = 0 <= i < nx and 0 <= j < ny and 0 <= k < nz
                    lies = at ^ (4 if swizzle and at * 4 & 128 else 0)  # bit 4 by bit 7 of the byte
                    self.assertEqual(out[lies], data[(k * ny + j) * nx + i] if inside else 0.0)

    def test_columns_of_an_image(self):
        # 3 x 3 filters with a border of one: pixels from -1 to size - 2, moved by 0 to 2.
        channels, width, height = 4, 5, 3
        data = floats(range(1, channels * width * height + 1))
        made = self.map_of(data, (channels, width, height, 1), is_im2col=1, channels=channels, pixels=8,
                           lower=(-1, -1), upper=(-1, -1))
        for dw, dh in ((0, 0), (1, 1), (2, 0)):
            out = floats([-1.0] * 32)
            given = [made, out, ctypes.c_int(-1), ctypes.c_int(-1), ctypes.c_ushort(dw), ctypes.c_ushort(dh)]
            kernels("barriers").launch("columns", 1, 32, given, checks=em.NOTHING, seed=3)
            for pixel in range(8):
                w, h = pixel % width - 1 + dw, pixel // width - 1 + dh
                for channel in range(channels):
                    inside = 0 <= w < width and 0 <= h < height
                    expected = data[(h * width + w) * channels + channel] if inside else 0.0
                    self.assertEqual(out[pixel * channels + channel], expected)


class Interfaces(unittest.TestCase):
    def test_pipeline_and_barrier(self):
        for seed in SCHEDULES:
            data, out = floats(range(256)), floats([0.0] * 64)
            kernels("interfaces").launch("pipeline", 1, 64, [data, out], seed=seed)
            self.assertEqual(list(out), [sum(data[4 * (63 - one):4 * (64 - one)]) for one in range(64)])
            kernels("interfaces").launch("barrier_object", 1, 64, [data, out], seed=seed)
            self.assertEqual(list(out), list(data[63::-1]))

    def test_matrices_are_transposed(self):
        out = array.array("I", [0] * 128)
        kernels("interfaces").launch("matrices", 1, 32, [out])
        stored = {}
        for lane in range(32):
            for matrix in range(4):
                for high in range(2):
                    stored[matrix, lane // 4, 2 * (lane % 4) + high] = (lane * 4 + matrix) >> 16 * high & 0xFFFF
        for lane in range(32):
            for matrix in range(4):
                low, high = (stored[matrix, 2 * (lane % 4) + one, lane // 4] for one in range(2))
                self.assertEqual(out[4 * lane + matrix], low | high << 16)

    def test_registers(self):
        data = floats([float(one * 37 % 19) for one in range(128)])
        for seed in SCHEDULES:
            out, counts = floats([-1.0] * 64), array.array("I", [0])
            kernels("interfaces").launch("registers", 1, 32, [data, out, counts], seed=seed)
            self.assertEqual(counts[0], 5)
            for lane in range(32):
                *three, last = data[4 * lane:4 * lane + 4]
                most = max(three)
                self.assertEqual(list(out[2 * lane:2 * lane + 2]), [most, -1.0] if most > last else [-1.0, last])

    def test_halves_are_packed_as_by_nvidias_functions(self):
        out = array.array("I", [0, 0])
        kernels("interfaces").launch("halves", 1, 1, [floats([1.0, -2.5]), out])
        self.assertEqual(list(out), [0xC0203F80] * 2)


class Translation(unittest.TestCase):
    def test_what_is_not_known_names_its_line(self):
        source = '\n\n__global__ void k(int *p) {\n  asm volatile("wgmma.fence.sync.aligned;");\n}\n'
        with self.assertRaises(Unknown) as told:
            translate(source)
        self.assertEqual(str(told.exception), "line 4: instruction wgmma.fence.sync.aligned")
        with self.assertRaises(Unknown):
            translate("__global__ void __cluster_dims__(2, 1, 1) k() {}\n")
        with self.assertRaises(Unknown):
            translate("__device__ void k() {}\n")

    def test_comments_and_strings_are_left_alone(self):
        source = '// asm("x"); __shared__ int a;\n__global__ void k(const char **p) { *p = "__shared__ asm("; }\n'
        self.assertIn(source, translate(source))

    def test_lines_stay(self):
        source = '__global__ void k(int *p) {\n  asm("mov.u32 %0,\\n"\n      "%1;"\n  : "=r"(*p)\n  : "r"(3));\n  __shared__ int\n  a[4]; a[0] = 1;\n  *p += a[0];\n}\n'
        translated = translate(source).split("\n")
        begin = translated.index('#line 1 "kernel.cu"') + 1
        self.assertEqual(translated[begin + 7].strip(), "*p += a[0];")
        out = array.array("i", [0])
        EMULATOR.compile(source).launch("k", 1, 1, [out])
        self.assertEqual(out[0], 4)


if __name__ == "__main__":
    unittest.main()
