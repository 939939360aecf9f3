#!/usr/bin/env python3
"""Seconds that a training step would take on an H200, by counted quantities and fixed constants:
tests/cuda/kernels/roofline.py [--layers] [--write] [--check]

Counted: blocks and steps of each pass of each layer at 128^3, divided as written down here, instructions of the main
loop and of all else from the machine code for sm_90a, bytes read and written once, launches. A pass takes the longest
of twice the time that its instructions need at one a cycle and scheduler, of its bytes at 3 TB/s, and of 1.5 us for
each step that one block makes after another. It is a model: nothing here was measured on a card.
"""

import argparse
import functools
import itertools
import json
import os
import sys
import tempfile

import cubecl_step
from kernels import ROOT, product, source_of
from launches import Case, bricks_of, classes_of, correlate_grid, gradient_rows, packed_bytes, steps_of
from test_architectures import COUNTED, Toolkit

MULTIPROCESSORS, SCHEDULERS, CLOCK = 132, 4, 1.755e9
BYTES, STEP, LAUNCH = 3e12, 1.5e-6, 5e-6
WARPS = 4
# Blocks that keep every multiprocessor busy; steps that a block has at least where several share a sum; bytes of
# channels that groups are merged up to.
BLOCKS_WANTED, STEPS_AT_LEAST, MERGED = 528, 16, 64


def unet(side=128, width=30, levels=5):
    def pair(name, channels, level):
        return [(f"{name}.{at}", channels[at], channels[at + 1], side >> level, 3, 1, 1) for at in (0, 1)]
    layers, bottom = [], levels - 1
    for level in range(bottom):
        layers += pair(f"encoder {level}", (4 if level == 0 else width << level - 1, width << level, width << level), level)
    layers += pair("bottom", (width << bottom - 1, width << bottom, width << bottom - 1), bottom)
    for level in reversed(range(bottom)):
        below = width << max(level - 1, 0)
        layers += pair(f"decoder {level}", (2 * (width << level), width << level, below), level)
    return 2, [*layers, ("head", width, 3, side, 1, 1, 1)]


def resunet_vae(side=128, width=32, units=(1, 2, 2, 4)):
    def unit(name, channels, level):
        return [(f"{name}.{at}", channels, channels, side >> level, 3, 1, 1) for at in (1, 2)]
    layers, bottom = [], len(units) - 1
    for level, count in enumerate(units):
        channels = (4 if level == 0 else width << level - 1, width << level)
        layers.append((f"encoder {level}", *channels, side >> level, 3, 1 if level == 0 else 2, 1))
        for at in range(count):
            layers += unit(f"encoder {level}.{at}", width << level, level)
    layers += [("vae in", width << bottom, 16, side >> bottom + 1, 3, 2, 1), ("vae out", 16, width << bottom, side >> bottom + 1, 1, 1, 1)]
    for name in ("decoder", "vae"):
        for level in reversed(range(bottom)):
            layers.append((f"{name} {level}", width << level + 1, width << level, side >> level + 1, 1, 1, 1))
            layers += unit(f"{name} {level}", width << level, level)
    return 2, [*layers, ("head", width, 3, side, 1, 1, 1), ("vae end", width, 4, side, 1, 1, 1)]


def cascaded(side=128, features=4, levels=4, stages=3):
    layers = []
    for stage in reversed(range(stages)):
        decoder = [2 * features << stage + level for level in range(levels)]
        encoder, merged = [2 * width for width in decoder], [width // 2 for width in decoder]
        name = f"stage {stage} "
        layers.append((name + "in", 4, encoder[0], side >> stage, 3, 1, 4))
        for level in range(levels):
            extent = side >> stage + level
            if level:
                layers.append((f"{name}down {level}", encoder[level - 1], encoder[level], extent, 3, 2, 4))
            layers += [(f"{name}encoder {level}.{at}", encoder[level], encoder[level], extent, 3, 1, 4) for at in (1, 2)]
        for level in reversed(range(levels - 1)):
            extent = side >> stage + level
            below = merged[level + 1] if level + 2 == levels else decoder[level + 1]
            layers.append((f"{name}up {level}", decoder[level], below, extent // 2, 2, 2, 1))
            more = 3 if level > 0 and stage + level < stages else 0
            layers.append((f"{name}fuse {level}", decoder[level] + merged[level] + more, decoder[level], extent, 1, 1, 1))
            layers += [(f"{name}decoder {level}.{at}", decoder[level], decoder[level], extent, 3, 1, 1) for at in (1, 2)]
        layers.append((name + "head", decoder[0], 3, side >> stage, 1, 1, 1))
    return 4, layers


NETWORKS = {"U-Net": unet, "Residual U-Net with VAE": resunet_vae, "Cascaded U-Net": cascaded}
NAMES = {"U-Net": "unet", "Residual U-Net with VAE": "resunet_vae", "Cascaded U-Net": "cascaded"}
# How often a norm goes over its volume: twice read and written once forward, four times read and written once backward.
NORM_PASSES = 8
# Bytes of a parameter in Adam's step: weights, two moments and gradient read, all but that written, and the gradient read
# for its norm; of a voxel in the loss: logits and targets of three regions read twice, the gradient written.
OPTIMISER_BYTES, LOSS_BYTES = 8 * 4, 2 * (4 + 3) * 4 + 4 * 4


def rest_bytes(name, batch, layers, width):
    """Bytes that the passes beside convolutions read and write, of a step."""
    def volume(channels, side):
        return batch * side**3 * -(-channels * width // 16) * 16
    moved = sum(outputs * (inputs // groups) * side**3 for _, inputs, outputs, _, side, _, groups in layers) * OPTIMISER_BYTES
    moved += batch * layers[-1][3] ** 3 * LOSS_BYTES
    for layer, inputs, outputs, target, side, stride, groups in layers:
        normed = side == 3 if name == "U-Net" else side == 3 and inputs == outputs and stride == 1
        moved += NORM_PASSES * volume(outputs, target) if normed else 0
        if name == "U-Net" and layer.startswith("encoder") and layer.endswith(".1"):
            # The pooled volume both ways, and its gradient added to that of the skip.
            moved += volume(outputs, target) * (3 + 2 / 8) + 3 * volume(outputs, target)
        if (name == "U-Net" and layer.startswith("decoder") and layer.endswith(".0")) or " fuse" in layer:
            # Concatenated and taken apart; half of it is up-sampled.
            moved += 4 * volume(inputs, target) + 2 * volume(inputs // 2, target)
        if name != "U-Net" and normed and layer.endswith(".2"):
            # The sum at a residual unit's end, and that of its gradients.
            moved += 6 * volume(outputs, target)
        if name == "Cascaded U-Net" and " encoder" in layer and layer.endswith(".2"):
            # The largest of four encoders, both ways.
            moved += volume(outputs, target) * (1 + 1 / 4 + 2 + 1 / 4)
    return moved


def launches_of(name, precision):
    with open(os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "figures.json")) as file:
        return json.load(file)["sm_90 full own"][f"{NAMES[name]} {precision}"]["launches"]


def brick_of(extent):
    def cost(powers):
        bricks = product(-(-size // (1 << power)) for size, power in zip(extent, powers))
        return bricks, product((1 << power) + 2 for power in powers)
    return min(((z, y, 7 - z - y) for z in range(8) for y in range(8 - z)), key=cost)


@functools.cache
def instructions(file, macros):
    """Instructions of the main loop and of all of a kernel."""
    toolkit = Toolkit()
    with tempfile.TemporaryDirectory() as folder:
        cubin, _ = toolkit.assemble(toolkit.ptx(source_of(file, dict(macros)), COUNTED), COUNTED, folder)
        return toolkit.main_loop(cubin)[0], toolkit.instructions(cubin)


def seconds(file, macros, blocks, steps, moved):
    loop, whole = instructions(file, tuple(sorted(macros.items())))
    issued = blocks * WARPS * (steps * loop + whole - loop)
    issuing = 2 * issued / (MULTIPROCESSORS * SCHEDULERS * CLOCK)
    return max((issuing, "instructions"), (moved / BYTES, "bytes"), (steps * STEP, "steps"))


def passes(case):
    """Name, seconds, blocks and the longest of the three, of the forward pass and both gradients."""
    width, sizes = case.width, [case.samples * product(case.extent) * case.input_pitch, case.samples * product(case.target) * case.output_pitch]
    moved = sum(sizes) * width
    granule, target_granule = case.granule(case.inputs, case.input_pitch), case.granule(case.outputs, case.output_pitch)
    for name, geometry, read, written, size in (
            ("forward", case.forward(), granule, target_granule, sizes[1]),
            ("input's gradient", case.volume_gradient(), target_granule, granule, sizes[0])):
        extent = [-(-extent // (2 if classes_of(geometry) == 8 else 1)) for extent in geometry.target]
        geometry.brick = brick_of(extent)
        columns = case.columns_of(geometry.to)
        steps = steps_of(geometry, read, width)
        each = -(-steps // classes_of(geometry))
        blocks = bricks_of(geometry) * geometry.samples * -(-geometry.to // columns) * geometry.groups * classes_of(geometry)
        splits = max(1, min(-(-BLOCKS_WANTED // blocks), each // STEPS_AT_LEAST if classes_of(geometry) == 1 else 1))
        geometry.splits = splits
        macros = {"BF16": int(case.bf16), "COLUMNS": columns, "GRANULE": read, "TARGET_GRANULE": written, "BIAS": 0}
        parts = 2 * 4 * size * splits if splits > 1 else 0
        total = product(correlate_grid(geometry, columns))
        time, bound = seconds("correlate", macros, total, -(-each // splits), moved + parts + packed_bytes(geometry, read, columns, width))
        yield name, time, total, bound
    geometry = case.forward()
    geometry.brick = brick_of(geometry.target)
    columns, rows = case.columns_of(geometry.to), gradient_rows(geometry, granule, width)
    tiles = -(-geometry.to // columns)
    bricks = bricks_of(geometry) * geometry.samples
    blocks = rows // 128 * tiles * geometry.groups
    splits = max(1, min(-(-BLOCKS_WANTED // blocks), -(-bricks // 4)))
    macros = {"BF16": int(case.bf16), "COLUMNS": columns, "GRANULE": granule, "TARGET_GRANULE": target_granule}
    parts = 2 * 4 * splits * geometry.groups * rows * tiles * columns
    steps = -(-bricks // splits) * (4 if case.bf16 else 8)
    time, bound = seconds("kernel_gradient", macros, blocks * splits, steps, moved + parts)
    yield "kernel's gradient", time, blocks * splits, bound


def tables():
    """The table of networks, and rows for each layer and pass."""
    text = ["| network, batch | precision | GFLOP forward | forward, ms | input's gradient | kernel's gradient | convolutions | all else | launches | step |",
            "|" + "---|" * 10]
    rows = []
    for (name, network), bf16 in itertools.product(NETWORKS.items(), (True, False)):
        batch, layers = network()
        times, work = {}, 0.0
        for layer, inputs, outputs, target, side, stride, groups in layers:
            unit = 8 if bf16 else 4
            merged = 1
            while groups % (2 * merged) == 0 and 2 * merged * max(inputs, outputs) // groups * (2 if bf16 else 4) <= MERGED:
                merged *= 2
            case = Case(batch, (target * stride,) * 3, inputs, outputs, side=side, stride=stride, groups=groups, merged=merged, bf16=bf16,
                        input_pitch=-(-inputs // unit) * unit, output_pitch=-(-outputs // unit) * unit)
            flops = 2 * batch * target**3 * inputs // groups * outputs * side**3
            work += flops
            for way, time, blocks, bound in passes(case):
                times[way] = times.get(way, 0.0) + time
                rows.append((name, "bf16" if bf16 else "f32", layer, way, flops, blocks, time, bound))
        precision = "bf16" if bf16 else "f32"
        columns = " | ".join(f"{1e3 * time:.1f}" for time in times.values())
        whole, rest = sum(times.values()), rest_bytes(name, batch, layers, 2 if bf16 else 4) / BYTES
        launches = launches_of(name, precision)
        text.append(f"| {name}, {batch} | {precision} | {work / 1e9:.0f} | {columns} | {1e3 * whole:.1f} | {1e3 * rest:.1f} | {launches} "
                    f"| {1e3 * (whole + rest + launches * LAUNCH):.0f} |")
    return text, rows


def layer_table(rows):
    text = ["| network | precision | layer | pass | GFLOP | blocks | ms | TFLOP/s | bound by |", "|" + "---|" * 9]
    for name, precision, layer, way, flops, blocks, time, bound in rows:
        text.append(f"| {name} | {precision} | {layer} | {way} | {flops / 1e9:.1f} | {blocks} | {1e3 * time:.2f} | {flops / time / 1e12:.0f} | {bound} |")
    return text


def longest(rows):
    """The four passes of each network in bf16 that take longest."""
    chosen = []
    for name in NETWORKS:
        of_it = [row for row in rows if row[:2] == (name, "bf16")]
        chosen += sorted(of_it, key=lambda row: -row[6])[:4]
    return layer_table(chosen)


def replaced(text, mark, lines):
    """A document with what stands between two marks written anew."""
    begin, end = f"<!-- roofline.py: {mark} -->\n", f"<!-- roofline.py: end of {mark} -->"
    head, rest = text.split(begin)
    return head + begin + "\n".join(lines) + "\n" + end + rest.split(end)[1]


LAYERS_HEAD = """# The convolutions of a CUDA step, layer by layer

Written by `tests/cuda/kernels/roofline.py --write`, from counted quantities; a model, nothing here was measured on a card. What
is counted and with which constants is in [docs/cuda.md](cuda.md). "bound by" says which of the three is the longest: the
instructions that the kernel issues, its bytes, or the steps that one block makes after another.
"""


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--layers", action="store_true", help="a row for each layer and pass")
    parser.add_argument("--write", action="store_true", help="write the tables of docs/cuda.md and docs/cuda-layers.md")
    parser.add_argument("--check", action="store_true", help="end with 1 if --write would change them")
    options = parser.parse_args()
    networks, rows = tables()
    print("\n".join(networks), flush=True)
    if options.layers:
        print("\n" + "\n".join(layer_table(rows)))
    documents = {name: os.path.join(ROOT, "docs", name) for name in ("cuda.md", "cuda-layers.md")}
    with open(documents["cuda.md"]) as file:
        document = replaced(replaced(file.read(), "networks", networks), "longest", longest(rows))
        written = {"cuda.md": replaced(document, "CubeCL's", cubecl_step.table(sys.modules[__name__])),
                   "cuda-layers.md": LAYERS_HEAD + "\n" + "\n".join(layer_table(rows)) + "\n"}
    stale = []
    for name, path in documents.items():
        known = ""
        if os.path.exists(path):
            with open(path) as file:
                known = file.read()
        if known != written[name]:
            stale.append(name)
            if options.write:
                with open(path, "w") as file:
                    file.write(written[name])
    if options.check and stale:
        print(f"roofline: docs/{' and docs/'.join(stale)} say otherwise; run it with --write", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
