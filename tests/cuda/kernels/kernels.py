"""The kernels of src/nets/cuda on the emulator of tests/cuda/emulator, and memory for them.

Every launch goes through several schedules of its threads and blocks, with each access checked, and has to
leave the same bits each time.
"""

import ctypes
import os
import re
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(os.path.dirname(HERE)))
SOURCES = os.path.join(ROOT, "src", "nets", "cuda", "kernels")
sys.path.insert(0, os.path.join(HERE, "..", "emulator"))

import emulator  # noqa: E402

# Ascending, descending, shuffled.
SCHEDULES = (0, 1, 7)
ALIGNMENT = 256


def read_kernel_files():
    """The table of kernel.rs: what stands ahead of each kernel's file."""
    with open(os.path.join(SOURCES, os.pardir, "kernel.rs")) as opened:
        rows = re.findall(r'^    \w+, "(\w+)", \d+, \[([\w, ]*)\];$', opened.read(), re.MULTILINE)
    return {file: [name.lower() for name in re.findall(r"\w+", ahead)] for file, ahead in rows}


AHEAD = read_kernel_files()


def source_of(file, macros):
    """The text that NVRTC gets of a kernel."""
    text = "".join(f"#define {name} {value}\n" for name, value in macros.items())
    for part in [f"{name}.cuh" for name in AHEAD[file]]:
        with open(os.path.join(SOURCES, part)) as opened:
            text += opened.read()
    with open(os.path.join(SOURCES, f"{file}.cu")) as opened:
        return text + "".join(repeated(line, macros) for line in opened)


def repeated(line, macros):
    """A line for each slot where it has an @, for each moment of each with a % beside it (kernel.rs)."""
    if "SLOTS" not in macros or "@" not in line:
        return line
    moments = range(macros["MOMENTS"]) if "%" in line else (0,)
    return "".join(line.replace("@", str(slot)).replace("%", str(moment)) for slot in range(macros["SLOTS"]) for moment in moments)


def allocate(size):
    """`size` bytes at the alignment of a GPU's memory, all of them not a number."""
    memory = (ctypes.c_char * (size + ALIGNMENT))()
    start = -ctypes.addressof(memory) % ALIGNMENT
    ctypes.memset(memory, 0xFF, size + ALIGNMENT)
    return (ctypes.c_char * size).from_buffer(memory, start)


class Library:
    """The kernels, compiled as they are asked for."""

    def __init__(self):
        self.emulator = emulator.Emulator()
        self.compiled = {}

    def launch(self, file, macros, grid, arguments, answers, name=None, threads=256):
        """Launches a kernel; `answers` are those of its arguments that it writes."""
        key = (file, tuple(sorted(macros.items())))
        if key not in self.compiled:
            self.compiled[key] = self.emulator.compile(source_of(file, macros))
        kernels = self.compiled[key]
        before = [bytes(answer) for answer in answers]
        first = None
        for schedule in SCHEDULES:
            for answer, content in zip(answers, before):
                ctypes.memmove(answer, content, len(content))
            kernels.launch(name or file, grid, (threads, 1, 1), arguments, seed=schedule)
            found = [bytes(answer) for answer in answers]
            first = first or found
            if found != first:
                raise AssertionError(f"{file}: schedule {schedule} leaves other bits than schedule {SCHEDULES[0]}")
        if kernels.static_shared_bytes() > 48 * 1024:
            raise AssertionError(f"{file}: {kernels.static_shared_bytes()} bytes of shared memory")


def reference():
    """reference.cpp, compiled."""
    folder = os.path.join(os.environ.get("CARGO_TARGET_DIR", os.path.join(ROOT, "target")), "cuda-kernels")
    os.makedirs(folder, exist_ok=True)
    library = os.path.join(folder, f"reference.{os.getpid()}.so")
    words = [os.environ.get("CXX", "g++"), "-O2", "-std=c++20", "-shared", "-fPIC", "-o", library]
    subprocess.run([*words, os.path.join(HERE, "reference.cpp")], check=True)
    loaded = ctypes.CDLL(library)
    os.remove(library)
    loaded.worst_error.restype = ctypes.c_double
    return loaded


def drawn(library, shape, channels, pitch, bf16, seed):
    """A volume of [*shape, channels] as a flat list, and as it lies in memory."""
    rows, width = product(shape), 2 if bf16 else 4
    values, memory = floats(rows * channels), allocate(rows * pitch * width)
    library.draw(values, ctypes.c_long(len(values)), seed, int(bf16), ctypes.c_float(0))
    library.lay_out(values, memory, ctypes.c_long(rows), channels, pitch, int(bf16))
    return list(values), memory


def floats(count):
    return (ctypes.c_float * count)()


def doubles(count):
    return (ctypes.c_double * count)()


def product(extents):
    count = 1
    for extent in extents:
        count *= extent
    return count
