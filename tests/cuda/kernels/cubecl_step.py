#!/usr/bin/env python3
"""The model of roofline.py on CubeCL's U-Net in bf16: is it near what others say of those kernels?

  tests/cuda/kernels/cubecl_step.py            the step, by the counts below
  tests/cuda/kernels/cubecl_step.py --count    counts again, out of what this has left in target/cuda-compile:
                                               tests/cuda/compile.py BINARY --kernels cubecl --networks unet --precisions bf16

Counted: instructions and products of the main loops of the kernels that CubeCL's tuner is offered for the first convolutions at
128^3, launches of a step (figures.json), and of all that is neither convolution nor product the bytes of the arguments that its
threads have. Assumed: which candidate wins (the one that issues least), the tile that its grid shows, and that columns of the
kernel's gradient are written once and read once.
"""

import argparse
import collections
import json
import os
import re
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(HERE))

from kernels import ROOT, product  # noqa: E402
from record import Record  # noqa: E402
from test_architectures import COUNTED, Toolkit  # noqa: E402

# Instructions of the main loop on sm_90a, of them products, by unit and way to shared memory. A step of K is 32, a tile 32 columns
# of 128 rows (wmma) or 64 (mma), of four warps.
LOOPS = {"[wmma plain]": (733, 16), "[mma plain]": (283, 8), "[wmma cp.async]": (793, 16), "[mma cp.async]": (474, 8),
         "[wmma tma]": (248, 16), "[mma tma]": (145, 8)}
# Of the launches of a step beside convolutions and products. Threads of a reduction read more than their arguments: that is
# not in it.
REST_BYTES = 69.1e9
BLOCKS_AT_LEAST = 8192
PRODUCT, TILE, STEP_OF_K = 16 * 8 * 16, 32, 32
# No gradient is loaded by TMA in cubek 0.3.1.
FORWARD, BACKWARD = min(LOOPS.values(), key=lambda loop: loop[0] / loop[1]), LOOPS["[mma plain]"]
COMPUTES = re.compile(r"matmul|conv|gemm")
WIDTHS = {"float": 4, "__nv_bfloat16": 2, "__nv_bfloat162": 4, "__half": 2, "uint8_t": 1, "int8_t": 1, "bool": 1, "uint32_t": 4, "int32_t": 4,
          "uint64_t": 8, "int64_t": 8}


def whole(size, unit):
    return -(-size // unit) * unit


def step(roofline):
    """Seconds of the passes of all convolutions, of all else and of the launches."""
    batch, layers = roofline.unet()
    rate = roofline.MULTIPROCESSORS * roofline.SCHEDULERS * roofline.CLOCK
    times = collections.Counter()

    def gemm(rows, columns, depth, loop, moved, serial=True):
        products = whole(rows, 128) * whole(columns, TILE) * whole(depth, STEP_OF_K) / PRODUCT
        steps = whole(depth, STEP_OF_K) // STEP_OF_K * roofline.STEP if serial else 0
        return max(2 * products * loop[0] / loop[1] / rate, moved / roofline.BYTES, steps)

    for _, inputs, outputs, target, side, _, _ in layers:
        voxels, taps = batch * target**3, side**3
        moved, columns = 2 * voxels * (inputs + outputs), 2 * voxels * inputs * taps
        times["forward"] += gemm(voxels, outputs, taps * inputs, FORWARD, moved)
        times["input's gradient"] += gemm(voxels, inputs, taps * outputs, BACKWARD, moved)
        # Without a split of the sum one block goes over all voxels; with columns, a product of matrices is split.
        times["kernel's gradient"] += min(gemm(taps * inputs, outputs, voxels, FORWARD, moved),
                                          gemm(taps * inputs, outputs, voxels, FORWARD, moved + 2 * columns, serial=False))
    with open(os.path.join(HERE, os.pardir, "figures.json")) as file:
        launches = json.load(file)["sm_90 full"]["unet bf16"]["launches"]
    return times, REST_BYTES / roofline.BYTES, launches, launches * roofline.LAUNCH


def table(roofline):
    times, rest, launches, launching = step(roofline)
    cells = [f"{1e3 * seconds:.1f}" for seconds in (*times.values(), rest)]
    return ["| forward, ms | input's gradient | kernel's gradient | all else | launches | step |", "|" + "---|" * 6,
            f"| {' | '.join(cells)} | {launches} | {1e3 * (sum(times.values()) + rest + launching):.0f} |"]


def argument_bytes(source):
    """Bytes that one thread has of a kernel's tensors, by their types."""
    parameters = re.search(r"__launch_bounds__\(\d+\)\s+\w+\((.*?)\)\s*\{", source, re.S)[1].split(",")
    types = [one.split()[0] for one in parameters if "*" in one and "dynamic_meta" not in one]
    sizes = [re.fullmatch(r"(\w+?)(?:_(\d+))?", one) for one in types]
    return sum(WIDTHS[size[1]] * int(size[2] or 1) for size in sizes)


def count():
    """Loops and bytes, as the last run of compile.py has left them."""
    import nvrtc

    folder = os.path.join(os.environ.get("CARGO_TARGET_DIR", os.path.join(ROOT, "target")), "cuda-compile")
    record, toolkit = Record(os.path.join(folder, "record-cubecl-unet-bf16")), Toolkit()
    library = nvrtc.library_of(toolkit.folder)

    def source_of(number):
        with open(os.path.join(folder, "sources", f"{record.kernels[number][0]}.cu")) as file:
            return file.read()

    loops, rest = {}, 0
    for letter, line in record.events:
        if letter != "l":
            continue
        number, grid = line.split()[:2]
        kind = record.kinds[number]
        if kind in LOOPS and kind not in loops and product(map(int, grid.split("x"))) >= BLOCKS_AT_LEAST and ("tma" not in kind or "im2col" in source_of(number)):
            with tempfile.TemporaryDirectory() as scratch:
                ptx, _ = nvrtc.compile_source(library, toolkit.folder, source_of(number).encode(), COUNTED)
                loops[kind] = toolkit.main_loop(toolkit.assemble(ptx, COUNTED, scratch)[0])
    uploads = record.uploads(2 * 4 * 128**3 * 2)
    for letter, line in record.events[uploads[3] : uploads[4]]:
        if letter == "l":
            number, grid, block = line.split()[:3]
            if not COMPUTES.search(record.kernels[number][1]):
                rest += product(map(int, f"{grid}x{block}".split("x"))) * argument_bytes(source_of(number))
    return loops, rest


def main():
    import roofline

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", action="store_true")
    if parser.parse_args().count:
        loops, rest = count()
        print(loops, rest)
        if loops != LOOPS or abs(rest - REST_BYTES) > 0.05 * REST_BYTES:
            print("cubecl_step: other counts are written down here", file=sys.stderr)
            return 1
    print("\n".join(table(roofline)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
