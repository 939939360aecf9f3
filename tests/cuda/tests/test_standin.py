"""The stand-in for a driver: what it refuses, what it records, and kernels run by the emulator behind it.

python3 -m unittest discover -s tests/cuda/tests
"""

import array
import ctypes
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
CUDA = os.path.dirname(HERE)
sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(CUDA, "emulator"))

import emulator as em  # noqa: E402

SOURCE = b"""
extern "C" __global__ void __launch_bounds__(64) add(const float* a, float* b, const __grid_constant__ int n) {
  int at = blockIdx.x * 64 + threadIdx.x;
  if (at < n) b[at] += a[at];
}
"""
INVALID_VALUE, OUT_OF_MEMORY, INVALID_HANDLE, ILLEGAL_ADDRESS = 1, 2, 400, 700


class Standin:
    """Loaded into this process under settings of its own, and unloaded at the end."""

    def __init__(self, folder, **settings):
        self.settings, self.folder = {f"STANDIN_{name}": str(value) for name, value in settings.items()}, folder
        self.settings["STANDIN_RECORD"] = os.path.join(folder, "record")

    def __enter__(self):
        subprocess.run([os.path.join(CUDA, "standin", "build"), self.folder], check=True)
        for name in [one for one in os.environ if one.startswith("STANDIN_")]:
            del os.environ[name]
        os.environ.update(self.settings)
        # The C library's own environment, too: it reads what was set through os.environ.
        self.driver = ctypes.CDLL(os.path.join(self.folder, "lib64", "libcuda.so.1"))
        self.nvrtc = ctypes.CDLL(os.path.join(self.folder, "lib64", "libnvrtc.so"))
        return self

    def __exit__(self, *_):
        for library in (self.driver, self.nvrtc):
            ctypes.CDLL(None).dlclose(ctypes.c_void_p(library._handle))
        for name in self.settings:
            del os.environ[name]

    def allocate(self, size):
        at = ctypes.c_uint64()
        return self.driver.cuMemAlloc_v2(ctypes.byref(at), ctypes.c_size_t(size)), at

    def kernel(self, source, name):
        program, module, function = ctypes.c_void_p(), ctypes.c_void_p(), ctypes.c_void_p()
        self.nvrtc.nvrtcCreateProgram(ctypes.byref(program), source, None, 0, None, None)
        options = (ctypes.c_char_p * 1)(b"--gpu-architecture=sm_90a")
        if self.nvrtc.nvrtcCompileProgram(program, 1, options):
            raise AssertionError("not compiled")
        size = ctypes.c_size_t()
        self.nvrtc.nvrtcGetPTXSize(program, ctypes.byref(size))
        ptx = ctypes.create_string_buffer(size.value)
        self.nvrtc.nvrtcGetPTX(program, ptx)
        self.driver.cuModuleLoadData(ctypes.byref(module), ptx)
        if self.driver.cuModuleGetFunction(ctypes.byref(function), module, name):
            raise AssertionError("no such kernel")
        return function

    def launch(self, function, grid, block, arguments, shared=0, stream=None):
        pointers = (ctypes.c_void_p * len(arguments))(*[ctypes.addressof(one) for one in arguments])
        return self.driver.cuLaunchKernel(function, *map(ctypes.c_uint, (*grid, *block)), ctypes.c_uint(shared),
                                          ctypes.c_void_p(stream), pointers, None)


class Rules(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="standin-")
        self.addCleanup(shutil.rmtree, self.folder)

    def test_architectures(self):
        for version, shared in ((80, 166912), (90, 232448), (100, 232448), (120, 101376)):
            with Standin(os.path.join(self.folder, str(version)), ARCHITECTURE=version) as standin:
                value = ctypes.c_int()
                for attribute, expected in ((75, version // 10), (76, 0), (97, shared)):
                    standin.driver.cuDeviceGetAttribute(ctypes.byref(value), attribute, 0)
                    self.assertEqual(value.value, expected)

    def test_memory_ends_and_copies_stay_in_it(self):
        with Standin(self.folder, MEMORY_MIB=64) as standin:
            error, at = standin.allocate(40 << 20)
            self.assertEqual((error, standin.allocate(40 << 20)[0]), (0, OUT_OF_MEMORY))
            host = ctypes.create_string_buffer(64)
            copy = standin.driver.cuMemcpyHtoDAsync_v2
            end = at.value + (40 << 20)
            self.assertEqual(copy(ctypes.c_uint64(end - 64), host, ctypes.c_size_t(64), None), 0)
            self.assertEqual(copy(ctypes.c_uint64(end - 60), host, ctypes.c_size_t(64), None), INVALID_VALUE)
            self.assertEqual(standin.driver.cuMemFree_v2(at), 0)
            self.assertEqual(standin.driver.cuMemFree_v2(at), INVALID_VALUE)
            self.assertEqual(copy(at, host, ctypes.c_size_t(64), None), INVALID_VALUE)
            self.assertEqual(standin.allocate(40 << 20)[0], 0)

    def test_launches(self):
        with Standin(self.folder) as standin:
            function = standin.kernel(SOURCE, b"add")
            (_, a), (_, b) = standin.allocate(400), standin.allocate(400)
            given = [a, b, ctypes.c_int(100)]
            self.assertEqual(standin.launch(function, (2, 1, 1), (64, 1, 1), given), 0)
            for grid, block in (((0, 1, 1), (64, 1, 1)), ((1, 65536, 1), (64, 1, 1)), ((1, 1, 1), (65, 1, 1)), ((1, 1, 1), (1, 1, 65))):
                self.assertEqual(standin.launch(function, grid, block, given), INVALID_VALUE)
            self.assertEqual(standin.launch(function, (2, 1, 1), (64, 1, 1), given, shared=49153), INVALID_VALUE)
            self.assertEqual(standin.driver.cuFuncSetAttribute(function, 8, 232449), INVALID_VALUE)
            self.assertEqual(standin.driver.cuFuncSetAttribute(function, 8, 49153), 0)
            self.assertEqual(standin.launch(function, (2, 1, 1), (64, 1, 1), given, shared=49153), 0)
            self.assertEqual(standin.launch(function, (2, 1, 1), (64, 1, 1), given, stream=160), INVALID_HANDLE)
            standin.driver.cuMemFree_v2(a)
            self.assertEqual(standin.launch(function, (2, 1, 1), (64, 1, 1), given), ILLEGAL_ADDRESS)

    def test_streams_and_events(self):
        with Standin(self.folder) as standin:
            stream, begin, end = ctypes.c_void_p(), ctypes.c_void_p(), ctypes.c_void_p()
            standin.driver.cuStreamCreate(ctypes.byref(stream), 0)
            for event in (begin, end):
                standin.driver.cuEventCreate(ctypes.byref(event), 0)
            took = ctypes.c_float()
            self.assertEqual(standin.driver.cuEventElapsedTime(ctypes.byref(took), begin, end), INVALID_HANDLE)
            for event in (begin, end):
                self.assertEqual(standin.driver.cuEventRecord(event, stream), 0)
            self.assertEqual(standin.driver.cuEventElapsedTime(ctypes.byref(took), begin, end), 0)
            self.assertEqual(standin.driver.cuStreamDestroy_v2(stream), 0)
            self.assertEqual(standin.driver.cuStreamSynchronize(stream), INVALID_HANDLE)
            self.assertEqual(standin.driver.cuEventDestroy_v2(end), 0)
            self.assertEqual(standin.driver.cuEventSynchronize(end), INVALID_HANDLE)

    def test_tensor_maps(self):
        with Standin(self.folder) as standin:
            _, at = standin.allocate(4 * 64 * 32)

            def encode(base=None, sizes=(64, 32), strides=(256,), box=(32, 8), steps=(1, 1), kind=7, swizzle=0):
                u64, u32 = lambda v: (ctypes.c_uint64 * len(v))(*v), lambda v: (ctypes.c_uint32 * len(v))(*v)  # noqa: E731
                return standin.driver.cuTensorMapEncodeTiled(
                    ctypes.create_string_buffer(128), kind, ctypes.c_uint(len(sizes)), ctypes.c_uint64(at.value if base is None else base),
                    u64(sizes), u64(strides), u32(box), u32(steps), 0, swizzle, 0, 0)

            self.assertEqual(encode(), 0)
            self.assertEqual(encode(swizzle=3), 0)
            for wrong in ({"base": at.value + 8}, {"strides": (252,)}, {"strides": (128,)}, {"box": (257, 8)}, {"box": (3, 8)},
                          {"steps": (1, 9)}, {"kind": 13}, {"swizzle": 2}, {"sizes": (64, 33)}):
                self.assertEqual(encode(**wrong), INVALID_VALUE, wrong)

    def test_a_record_has_each_call(self):
        with Standin(self.folder) as standin:
            function = standin.kernel(SOURCE, b"add")
            (_, a), (_, b) = standin.allocate(400), standin.allocate(400)
            standin.launch(function, (2, 1, 1), (64, 1, 1), [a, b, ctypes.c_int(100)])
            standin.driver.cuMemcpyDtoHAsync_v2(ctypes.create_string_buffer(400), b, ctypes.c_size_t(400), None)
            standin.driver.cuStreamSynchronize(None)
        with open(os.path.join(self.folder, "record")) as file:
            letters = [line.split() for line in file]
        self.assertEqual([line[0] for line in letters], ["k", "a", "a", "l", "d", "s"])
        self.assertEqual([letters[0][1], *letters[0][3:]], ["1", "add", "[no-tensor-core", "plain]"])
        self.assertEqual(letters[3][1:], ["1", "2x1x1", "64x1x1", "0"])


    def test_a_wait_has_its_thread_and_who_called(self):
        with Standin(self.folder, STACKS=1) as standin:
            function = standin.kernel(SOURCE, b"add")
            (_, a), (_, b) = standin.allocate(400), standin.allocate(400)
            standin.launch(function, (2, 1, 1), (64, 1, 1), [a, b, ctypes.c_int(100)])
            standin.driver.cuStreamSynchronize(None)
            beside = threading.Thread(target=standin.driver.cuStreamSynchronize, args=(None,))
            beside.start()
            beside.join()
        with open(os.path.join(self.folder, "record")) as file:
            lines = [line.split() for line in file]
        waits = [at for at, line in enumerate(lines) if line[0] == "s"]
        self.assertEqual([lines[at][1:4] for at in waits], [["stream", "0", "held"], ["stream", "0", "beside"]])
        with open("/proc/self/comm") as file:
            self.assertEqual(lines[waits[0]][4:], file.read().split())
        for at in waits:
            self.assertEqual(lines[at + 1][0], "b")
            self.assertTrue(all(int(place, 16) for place in lines[at + 1][1:]))


class Emulated(unittest.TestCase):
    def run_add(self, count, source=SOURCE):
        """b += a over 100 numbers, with `count` said to the kernel."""
        folder = tempfile.mkdtemp(prefix="standin-")
        self.addCleanup(shutil.rmtree, folder)
        emulator = em.Emulator()
        with Standin(folder, EMULATOR=emulator.library, SOURCES=folder, CHECK=1,
                     TRANSLATE=f"{sys.executable} {os.path.join(CUDA, 'emulator', 'compile')}") as standin:
            function = standin.kernel(source, b"add")
            host = array.array("f", range(100))
            (_, a), (_, b) = standin.allocate(400), standin.allocate(400)
            for at in (a, b):
                standin.driver.cuMemcpyHtoDAsync_v2(at, ctypes.c_void_p(host.buffer_info()[0]), ctypes.c_size_t(400), None)
            error = standin.launch(function, (2, 1, 1), (64, 1, 1), [a, b, ctypes.c_int(count)])
            standin.driver.cuMemcpyDtoHAsync_v2(ctypes.c_void_p(host.buffer_info()[0]), b, ctypes.c_size_t(400), None)
            for at in (a, b):
                standin.driver.cuMemFree_v2(at)
        return error, list(host)

    def test_a_kernel_computes(self):
        self.assertEqual(self.run_add(100), (0, [2.0 * value for value in range(100)]))

    def test_what_leaves_its_memory_is_an_illegal_address(self):
        self.assertEqual(self.run_add(101)[0], ILLEGAL_ADDRESS)


if __name__ == "__main__":
    unittest.main()
