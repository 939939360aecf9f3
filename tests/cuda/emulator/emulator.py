"""Kernels of CUDA C++ on the CPU: compiles a source for the emulator, and launches what is in it.

  emulator = Emulator()
  kernels = emulator.compile("scale.cu", defines={"FACTOR": 2})
  kernels.launch("scale", grid=(4, 1, 1), block=(64, 1, 1), arguments=[data, ctypes.c_int(len(data))])

Arguments are scalars of ctypes, or anything with a writable buffer (array.array, numpy.ndarray), which the
kernel gets as a pointer. Failure is what a launch raises when a kernel does something wrong.
"""

import ctypes
import glob
import hashlib
import os
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(os.path.dirname(HERE)))
sys.path.insert(0, HERE)

from translate import translate  # noqa: E402

NOTHING, ALL, BOUNDS = 0, 1, 2
COMPILER = os.environ.get("CXX", "g++")
# As NVRTC: products and sums are contracted.
FLAGS = ["-std=c++20", "-fmax-errors=5", "-fPIC", "-fvisibility=hidden", "-fno-strict-aliasing", "-ffp-contract=fast", "-mfma", "-mf16c"]
KERNEL_FLAGS = [*FLAGS, "-w"]
# A vector is loaded as one, so that its alignment is looked at.
CHECKED = ["-O1", "-fno-tree-sra", "-fno-tree-fre", "-fno-tree-forwprop", "-fsanitize=thread"]
SPEED = {NOTHING: ["-O2"], BOUNDS: CHECKED, ALL: CHECKED}


class Failure(Exception):
    pass


class Shape(ctypes.Structure):
    _fields_ = [("grid", ctypes.c_uint * 3), ("block", ctypes.c_uint * 3), ("shared_bytes", ctypes.c_uint),
                ("most_threads", ctypes.c_uint), ("seed", ctypes.c_uint64), ("check", ctypes.c_int)]


def find_headers():
    """A folder with NVIDIA's cuda_fp16.h: a toolkit's, or what tests/cuda/toolkit has fetched."""
    target = os.environ.get("CARGO_TARGET_DIR", os.path.join(ROOT, "target"))
    for folder in (os.environ.get("CUDA_PATH"), os.path.join(target, "cuda-toolkit"), "/usr/local/cuda"):
        if folder and os.path.isfile(os.path.join(folder, "include", "cuda_fp16.h")):
            return os.path.join(folder, "include")
    raise Failure("no cuda_fp16.h: run tests/cuda/toolkit, or set CUDA_PATH to a CUDA toolkit")


def run(words):
    done = subprocess.run(words, capture_output=True, text=True)
    if done.returncode:
        raise Failure(f"{' '.join(words)}\n{done.stdout}{done.stderr}")


class Emulator:
    """The runtime's library, compiled once into `folder`."""

    def __init__(self, folder=None, headers=None):
        target = os.environ.get("CARGO_TARGET_DIR", os.path.join(ROOT, "target"))
        self.headers = headers or find_headers()
        sources = sorted(glob.glob(os.path.join(HERE, "**", "*"), recursive=True))
        digest = hashlib.sha256(self.headers.encode())
        for path in sources:
            if os.path.isfile(path) and not path.endswith((".md", ".pyc")) and f"{os.sep}tests{os.sep}" not in path[len(HERE):]:
                with open(path, "rb") as file:
                    digest.update(file.read())
        self.folder = os.path.join(folder or os.path.join(target, "cuda-emulator"), digest.hexdigest()[:16])
        os.makedirs(self.folder, exist_ok=True)
        self.includes = ["-I", os.path.join(HERE, "include"), "-isystem", self.headers]
        self.library = os.path.join(self.folder, "libemulator.so")
        if not os.path.exists(self.library):
            part = f"{self.library}.{os.getpid()}"
            run([COMPILER, *FLAGS, "-O2", "-shared", "-Wall", "-Wextra", "-fno-threadsafe-statics", "-Wl,-soname,libemulator.so",
                 "-fvisibility=default", *self.includes, "-o", part, *glob.glob(os.path.join(HERE, "runtime", "*.cpp"))])
            os.replace(part, self.library)
        self.runtime = None

    def compile_file(self, source, checks=ALL, defines=None, name="kernel.cu", architecture=900):
        """A shared library of a source's text, kept by its hash."""
        words = [f"-DEMULATOR_ARCHITECTURE={architecture}"]
        words += [f"-D{key}={value}" for key, value in sorted((defines or {}).items())]
        flags = [*KERNEL_FLAGS, *SPEED[checks]]
        text = translate(source, name)
        digest = hashlib.sha256("\0".join([text, *words, *flags]).encode()).hexdigest()[:24]
        library = os.path.join(self.folder, f"{digest}.so")
        if not os.path.exists(library):
            begun = os.path.join(self.folder, f"{digest}.{os.getpid()}")
            with open(f"{begun}.cpp", "w") as file:
                file.write(text)
            run([COMPILER, *flags, *words, *self.includes, "-include", self.precompiled(checks, architecture),
                 "-c", "-o", f"{begun}.o", f"{begun}.cpp"])
            # Apart, so that the sanitizer's own runtime is not linked.
            run([COMPILER, "-shared", "-o", f"{begun}.so", f"{begun}.o", self.library, f"-Wl,-rpath,{self.folder}"])
            os.remove(f"{begun}.o")
            os.replace(f"{begun}.cpp", os.path.join(self.folder, f"{digest}.cpp"))
            os.replace(f"{begun}.so", library)
        return library

    def precompiled(self, checks, architecture):
        """emulator.h as the compiler reads it fastest."""
        folder = os.path.join(self.folder, f"header-{checks}-{architecture}")
        header = os.path.join(folder, "emulator.h")
        if not os.path.exists(f"{header}.gch"):
            os.makedirs(folder, exist_ok=True)
            part = os.path.join(folder, f"part.{os.getpid()}")
            run([COMPILER, *KERNEL_FLAGS, *SPEED[checks], f"-DEMULATOR_ARCHITECTURE={architecture}", *self.includes, "-x", "c++-header",
                 "-o", part, os.path.join(HERE, "include", "emulator.h")])
            os.replace(part, f"{header}.gch")
        return header

    def compile(self, source, checks=ALL, defines=None, architecture=900):
        """The kernels of a .cu file, or of a text with several lines."""
        name = "kernel.cu"
        if "\n" not in source:
            name = source
            with open(source) as file:
                source = file.read()
        return Kernels(self, self.compile_file(source, checks, defines, name, architecture), checks)

    def loaded(self):
        if self.runtime is None:
            self.runtime = ctypes.CDLL(self.library, mode=ctypes.RTLD_GLOBAL)
            self.runtime.emulator_report.restype = ctypes.c_char_p
            self.runtime.emulator_static_shared_bytes.restype = ctypes.c_size_t
        return self.runtime


class Kernels:
    """The kernels of one source."""

    def __init__(self, emulator, path, checks):
        self.runtime, self.checks = emulator.loaded(), checks
        self.library = ctypes.CDLL(path)

    def launch(self, name, grid, block, arguments, shared_bytes=0, seed=0, checks=None):
        """One launch in the schedule `seed`: 0 threads and blocks in ascending order, 1 descending, others shuffled."""
        try:
            kernel = getattr(self.library, f"emulator_kernel_{name}")
        except AttributeError:
            raise Failure(f"there is no kernel {name}") from None
        wanted = ctypes.c_int.in_dll(self.library, f"emulator_parameters_{name}").value
        if wanted != len(arguments):
            raise Failure(f"{name} has {wanted} parameters, not {len(arguments)}")
        shape = Shape((ctypes.c_uint * 3)(*whole(grid)), (ctypes.c_uint * 3)(*whole(block)), shared_bytes,
                      ctypes.c_uint.in_dll(self.library, f"emulator_threads_{name}").value, seed,
                      self.checks if checks is None else checks)
        values, pointers, kept = (ctypes.c_void_p * len(arguments))(), [], []
        for number, argument in enumerate(arguments):
            if isinstance(argument, (ctypes._SimpleCData, ctypes.Structure)):
                values[number] = ctypes.addressof(argument)
                continue
            view = memoryview(argument)
            begin = ctypes.addressof((ctypes.c_char * view.nbytes).from_buffer(argument)) if view.nbytes else 0
            held = ctypes.c_void_p(begin)
            kept.append(held)
            pointers.append((begin, view.nbytes, f"argument {number}"))
            values[number] = ctypes.addressof(held)
        for begin, size, called in pointers:
            self.runtime.emulator_buffer(ctypes.c_void_p(begin), ctypes.c_size_t(size), called.encode())
        try:
            wrong = self.runtime.emulator_launch(kernel, values, ctypes.byref(shape))
        finally:
            for begin, _, _ in pointers:
                self.runtime.emulator_forget_buffer(ctypes.c_void_p(begin))
        if wrong:
            raise Failure(f"{name}: {self.runtime.emulator_report().decode()}")

    def static_shared_bytes(self):
        """What the last launch took; a card gives 48 KB."""
        return self.runtime.emulator_static_shared_bytes()


def whole(extent):
    extent = (extent,) if isinstance(extent, int) else tuple(extent)
    return (*extent, 1, 1)[:3]
