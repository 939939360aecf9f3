"""Peers of the loader for compare_loaders.py: a fused one in numba, DALI, nnU-Net's transforms and MONAI's.

All read what `prepare` there wrote, or the same in the layout that suits them, and make batches of two samples:
`light` mirrors by axis and scales and shifts the intensities of the brain, `full` also rotates and scales. numba and
DALI sample the whole case, as gliaflow does, by one matrix with the mirroring in it; nnU-Net and MONAI turn the crop,
so that its corners become empty. MONAI's shift has no mask and changes the background, too: less work than the rest.
"""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
from compare_loaders import BATCH, PATCH, SEED, WORKERS, draw_sample, open_cases, plain_loader, prepare_halves
from compare_python import Windows, draw_with_workers

try:
    import numba
    from llvmlite import ir
    from numba import float32, uint64
    from numba.extending import intrinsic

    # A sum may be contracted to fused multiply-adds, as torch's is. Values are compared with 0, so no more than that.
    fused = numba.njit(nogil=True, cache=True, error_model="numpy", fastmath={"contract", "nsz"})
except ImportError:
    numba, intrinsic, fused = None, lambda function: function, lambda function: function

SIDE, EDGE = PATCH, 1e-3


# numba has no half precision on a CPU. LLVM has, and both conversions become vector instructions.
@intrinsic
def to_half(typing, value):
    def generate(context, builder, signature, arguments):
        return builder.bitcast(builder.fptrunc(arguments[0], ir.HalfType()), ir.IntType(16))

    return numba.uint16(numba.float32), generate


@intrinsic
def from_half(typing, bits):
    def generate(context, builder, signature, arguments):
        return builder.fpext(builder.bitcast(arguments[0], ir.HalfType()), ir.FloatType())

    return numba.float32(numba.uint16), generate


@intrinsic
def fetch(typing, array, at):
    """Fetches what is at an index, in the array or not, ahead of its use: the processor foresees no row so short."""

    def generate(context, builder, signature, arguments):
        values = context.make_array(signature.args[0])(context, builder, arguments[0])
        byte, count = ir.IntType(8).as_pointer(), ir.IntType(32)
        kind = ir.FunctionType(ir.VoidType(), [byte, count, count, count])
        function = builder.module.declare_intrinsic("llvm.prefetch", [byte], kind)
        place = builder.bitcast(builder.gep(values.data, [arguments[1]]), byte)
        builder.call(function, [place, count(0), count(3), count(1)])
        return context.get_dummy_value()

    return numba.void(array, at), generate


# Indices are unsigned, or numba looks for negative ones, which no loop with vectors survives.
@fused
def row_span(place, step, size, span):
    """Narrows a span of a row to where all eight neighbours lie in a box of `size` along this axis."""
    low, high = EDGE, size - 1 - EDGE
    if abs(step) < 1e-9:
        return span if low <= place <= high else (1.0, 0.0)
    first, last = (low - place) / step, (high - place) / step
    return max(span[0], min(first, last)), min(span[1], max(first, last))


@fused
def place_row(place, step, height, width, first, end, cell, near, w):
    """Computes cells, nearest voxels and the weights of eight neighbours along a row."""
    (z0, y0, x0), (sz, sy, sx), half, one = place, step, float32(0.5), float32(1)
    w0, w1, w2, w3, w4, w5, w6, w7 = w
    for k in range(uint64(first), uint64(end)):
        x = uint64(k)
        t = float32(np.int32(x))
        pz, py, px = z0 + t * sz, y0 + t * sy, x0 + t * sx
        # Floats below 2^24 count exactly, and numba would widen the products of 32-bit integers.
        nz, ny, nx = np.floor(pz), np.floor(py), np.floor(px)
        cell[x] = np.int32((nz * height + ny) * width + nx)
        near[x] = np.int32((np.floor(pz + half) * height + np.floor(py + half)) * width + np.floor(px + half))
        fz, fy, fx = pz - nz, py - ny, px - nx
        gz, gy, gx = one - fz, one - fy, one - fx
        w0[x], w1[x], w2[x], w3[x] = gz * gy * gx, gz * gy * fx, gz * fy * gx, gz * fy * fx
        w4[x], w5[x], w6[x], w7[x] = fz * gy * gx, fz * gy * fx, fz * fy * gx, fz * fy * fx


@fused
def mix(voxels, at, line, plane, w0, w1, w2, w3, w4, w5, w6, w7):
    right, below = at + uint64(4), at + plane
    low = w0 * from_half(voxels[at]) + w1 * from_half(voxels[right])
    low += w2 * from_half(voxels[at + line]) + w3 * from_half(voxels[right + line])
    high = w4 * from_half(voxels[below]) + w5 * from_half(voxels[below + uint64(4)])
    high += w6 * from_half(voxels[below + line]) + w7 * from_half(voxels[below + line + uint64(4)])
    return low + high


@fused
def blend_row(voxels, cells, cell, near, w, line, plane, first, end, row, found):
    """Interpolates four modalities along a row, and takes the label of the nearest voxel."""
    w0, w1, w2, w3, w4, w5, w6, w7 = w
    for k in range(uint64(first), uint64(end)):
        x = uint64(k)
        at, to = uint64(np.uint32(cell[x])), x * uint64(4)
        if cells[at] >= 128:
            found[x] = cells[uint64(np.uint32(near[x]))] & np.uint8(7)
            at *= uint64(4)
            u0, u1, u2, u3, u4, u5, u6, u7 = w0[x], w1[x], w2[x], w3[x], w4[x], w5[x], w6[x], w7[x]
            # All are read before any is written: the arrays might overlap, and four become one vector.
            a = mix(voxels, at, line, plane, u0, u1, u2, u3, u4, u5, u6, u7)
            b = mix(voxels, at + uint64(1), line, plane, u0, u1, u2, u3, u4, u5, u6, u7)
            c = mix(voxels, at + uint64(2), line, plane, u0, u1, u2, u3, u4, u5, u6, u7)
            d = mix(voxels, at + uint64(3), line, plane, u0, u1, u2, u3, u4, u5, u6, u7)
        else:
            found[x], a, b, c, d = 0, float32(0), float32(0), float32(0), float32(0)
        row[to], row[to + uint64(1)], row[to + uint64(2)], row[to + uint64(3)] = a, b, c, d


@fused
def copy_row(source, at, back, out, to, factor, shift):
    """Copies a row of one modality, forwards or backwards; the brain's intensities scaled and shifted."""
    zero = float32(0)
    # Two loops, each of one direction, or neither has vectors.
    if back:
        for k in range(uint64(SIDE)):
            v = from_half(source[at - uint64(k)])
            out[to + uint64(k)] = to_half(v * factor + shift if v != 0 else zero)
    else:
        for k in range(uint64(SIDE)):
            v = from_half(source[at + uint64(k)])
            out[to + uint64(k)] = to_half(v * factor + shift if v != 0 else zero)


@fused
def write_regions(found, r0, r1, r2, to):
    for k in range(uint64(SIDE)):
        x, label = to + uint64(k), found[uint64(k)]
        r0[x], r1[x], r2[x] = label == 4, (label == 1) | (label == 4), label > 0


@fused
def copy_sample(planes, labels, shape, matrix, origin, factors, shifts, image, regions):
    """Makes a sample that lies on the voxels in its place in the batch, row by row and one modality after another."""
    (_, height, width), (sz, sy, sx) = shape, (matrix[0, 0], matrix[1, 1], matrix[2, 2])
    found, back = np.zeros(SIDE, np.uint8), sx < 0
    next_row = int(sy) * width - (SIDE - 1 if back else 0)
    for z in range(SIDE):
        for y in range(SIDE):
            start = (int(origin[0] + sz * z) * height + int(origin[1] + sy * y)) * width + int(origin[2])
            at, to = uint64(start), uint64((z * SIDE + y) * SIDE)
            for c in range(4):
                for n in range(0, SIDE + 31, 32):
                    fetch(planes[c], start + next_row + n)
                copy_row(planes[c], at, back, image[c], to, factors[c], shifts[c])
            if back:
                for k in range(uint64(SIDE)):
                    found[uint64(k)] = labels[at - uint64(k)]
            else:
                for k in range(uint64(SIDE)):
                    found[uint64(k)] = labels[at + uint64(k)]
            write_regions(found, *regions, to)


@fused
def write_row(row, factors, shifts, o0, o1, o2, o3, to):
    """Writes a row into the batch, the brain's intensities scaled and shifted."""
    (f0, f1, f2, f3), (s0, s1, s2, s3), zero = factors, shifts, float32(0)
    for k in range(uint64(SIDE)):
        x, at = to + uint64(k), uint64(k) * uint64(4)
        a, b, c, d = row[at], row[at + uint64(1)], row[at + uint64(2)], row[at + uint64(3)]
        o0[x] = to_half(a * f0 + s0 if a != 0 else zero)
        o1[x] = to_half(b * f1 + s1 if b != 0 else zero)
        o2[x] = to_half(c * f2 + s2 if c != 0 else zero)
        o3[x] = to_half(d * f3 + s3 if d != 0 else zero)


@fused
def turn_sample(voxels, cells, shape, matrix, origin, factors, shifts, image, regions):
    """Makes a rotated and scaled sample in its place in the batch, row by row."""
    (depth, height, width), (sz, sy, sx) = shape, (matrix[0, 2], matrix[1, 2], matrix[2, 2])
    cell, near, found = np.zeros(SIDE, np.int32), np.zeros(SIDE, np.int32), np.zeros(SIDE, np.uint8)
    row, w = np.zeros(SIDE * 4, np.float32), np.zeros((8, SIDE), np.float32)
    weights = (w[0], w[1], w[2], w[3], w[4], w[5], w[6], w[7])
    line, plane = uint64(width * 4), uint64(width * height * 4)
    step = (float32(sz), float32(sy), float32(sx))
    # Lines that the next row comes to.
    far = (2 if matrix[1, 1] > 0 else -1) * width * 4
    for z in range(SIDE):
        for y in range(SIDE):
            pz = origin[0] + matrix[0, 0] * z + matrix[0, 1] * y
            py = origin[1] + matrix[1, 0] * z + matrix[1, 1] * y
            px = origin[2] + matrix[2, 0] * z + matrix[2, 1] * y
            low, high = row_span(pz, sz, depth, (0.0, SIDE - 1.0))
            low, high = row_span(px, sx, width, row_span(py, sy, height, (low, high)))
            first, end = int(np.ceil(low)), int(np.floor(high)) + 1
            if first >= end:
                first = end = 0
            row[: 4 * first], row[4 * end :], found[:first], found[end:] = 0, 0, 0, 0
            place, to = (float32(pz), float32(py), float32(px)), uint64((z * SIDE + y) * SIDE)
            place_row(place, step, float32(height), float32(width), first, end, cell, near, weights)
            for n in range(first, end, 4):
                ahead = 4 * int(cell[n]) + far
                fetch(voxels, ahead), fetch(voxels, ahead - width * 4)
                ahead += width * height * 4
                fetch(voxels, ahead), fetch(voxels, ahead - width * 4)
            blend_row(voxels, cells, cell, near, weights, line, plane, first, end, row, found)
            write_row(row, factors, shifts, *image, to)
            write_regions(found, *regions, to)


def numba_samples(work, profile):
    """Function that makes the sample of an index in given arrays."""
    full = profile == "full"
    cases, tumours = open_cases(work, *(("voxels", "cells") if full else ("planes", "classes")))
    border = 1 if full else 0
    shapes = [tuple(side - 2 * border for side in labels.shape) for _, labels in cases]

    def make(index, image, regions):
        case, matrix, origin, factors, shifts = draw_sample(index, shapes, tumours, profile)
        voxels, labels = cases[case]
        places, flat = (labels.shape, matrix, origin + border), labels.reshape(-1)
        image, regions = image.view(np.uint16).reshape(4, -1), tuple(regions.reshape(3, -1))
        if full:
            turn_sample(voxels.reshape(-1), flat, *places, tuple(factors), tuple(shifts), tuple(image), regions)
        else:
            copy_sample(voxels.reshape(4, -1), flat, *places, factors, shifts, image, regions)

    return make


def draw_with_numba(work, profile, samples):
    """Two threads that fill batches, whose memory goes round: fresh memory costs more than a copy."""
    prepare_halves(work)
    make, cube = numba_samples(work, profile), (PATCH,) * 3
    memory = [(np.zeros((BATCH, 4, *cube), np.float16), np.zeros((BATCH, 3, *cube), np.uint8)) for _ in range(3)]
    drawn, coming = 0, []
    with ThreadPoolExecutor(WORKERS) as threads:
        for number in range(samples // BATCH):
            images, regions = memory[number % len(memory)]
            coming.append([threads.submit(make, number * BATCH + at, images[at], regions[at]) for at in range(BATCH)])
            if len(coming) == len(memory) - 1:
                drawn += len([job.result() for job in coming.pop(0)])
    return drawn + sum(len([job.result() for job in jobs]) for jobs in coming)


def draw_with_dali(work, profile, samples):
    """DALI's operators for the CPU on mapped arrays, which are not copied: crop and flip, or one warp for both."""
    import nvidia.dali as dali
    from nvidia.dali import fn, types

    full = profile == "full"
    for folder in (work / "plain").iterdir() if full else ():
        # The warp takes modalities together.
        if not (folder / "together.npy").exists():
            np.save(folder / "together.npy", np.ascontiguousarray(np.moveaxis(np.load(folder / "images.npy"), 0, -1)))
    cases, tumours = open_cases(work, "together" if full else "images", "labels")
    shapes, cube = [labels.shape for _, labels in cases], (PATCH,) * 3

    def draw(sample):
        case, matrix, origin, factors, shifts = draw_sample(sample.idx_in_epoch, shapes, tumours, profile)
        images, labels = cases[case]
        if full:
            # Its places are (x, y, z), and that of a voxel is its corner's.
            origin = origin + 0.5 - matrix @ np.full(3, 0.5)
            place = np.hstack([matrix[::-1, ::-1], origin[::-1, None]]).astype(np.float32)
            return images, labels[..., None], place, factors, shifts
        flips = (np.diag(matrix) < 0).astype(np.int32)
        corner = np.where(flips, origin - (PATCH - 1), origin).astype(np.float32)
        return images, labels[..., None], corner, factors.reshape(4, 1, 1, 1), shifts.reshape(4, 1, 1, 1), flips

    @dali.pipeline_def(batch_size=BATCH, num_threads=WORKERS, device_id=None)
    def pipeline():
        layouts = ["DHWC", "DHWC", "", "", ""] if full else ["CDHW", "DHWC", "", "", "", ""]
        given = {"source": draw, "num_outputs": len(layouts), "batch": False, "no_copy": True, "layout": layouts}
        image, label, place, factors, shifts, *flips = fn.external_source(**given)
        if full:
            warp = {"size": cube, "fill_value": 0}
            image = fn.warp_affine(image, place, interp_type=types.INTERP_LINEAR, **warp)
            label = fn.warp_affine(label, place, interp_type=types.INTERP_NN, **warp)
        else:
            window = {"axis_names": "DHW", "normalized_anchor": False, "normalized_shape": False}
            sides, axes = np.array(cube, np.float32), ("depthwise", "vertical", "horizontal")
            flip = {name: flips[0][axis] for axis, name in enumerate(axes)}
            image, label = (
                fn.flip(fn.slice(each, place, sides, out_of_bounds_policy="pad", **window), **flip)
                for each in (image, label)
            )
        image = (image * factors + shifts) * (image != 0)
        image = fn.transpose(image, perm=[3, 0, 1, 2]) if full else image
        label = fn.reshape(label, shape=cube, layout="DHW")
        regions = fn.stack(label == 4, (label == 1) | (label == 4), label > 0)
        return image, fn.cast(regions, dtype=types.UINT8)

    running = pipeline()
    running.build()
    return sum(len(running.run()[0]) for _ in range(samples // BATCH))


def keyed_seeds(index):
    """Seeds for libraries that draw by generators of their own."""
    return [int(seed) for seed in np.random.default_rng((SEED, index, 1)).integers(2**31, size=2)]


def nnunet_samples(work, profile, samples):
    """Dataset of windows under the transforms of nnU-Net (batchgeneratorsv2)."""
    import torch
    from batchgeneratorsv2.transforms.base.basic_transform import ImageOnlyTransform
    from batchgeneratorsv2.transforms.intensity.brightness import MultiplicativeBrightnessTransform
    from batchgeneratorsv2.transforms.spatial.mirroring import MirrorTransform
    from batchgeneratorsv2.transforms.spatial.spatial import SpatialTransform
    from batchgeneratorsv2.transforms.utils.compose import ComposeTransforms
    from batchgeneratorsv2.transforms.utils.seg_to_regions import ConvertSegmentationToRegionsTransform

    class ShiftBrain(ImageOnlyTransform):
        """Shift within the brain; BrightnessAdditiveTransform shifts all, by normal numbers."""

        def _apply_to_image(self, img, **params):
            return torch.where(img != 0, img + torch.empty(len(img), 1, 1, 1).uniform_(-0.1, 0.1), 0)

    turn = SpatialTransform(
        (PATCH,) * 3, 0, False, p_rotation=1, rotation=(-np.pi / 12, np.pi / 12), p_scaling=1,
        scaling=(1 / 1.25, 1 / 0.85), p_synchronize_scaling_across_axes=1, mode_seg="nearest",
    )
    steps = [turn] if profile == "full" else []
    steps += [MirrorTransform((0, 1, 2)), MultiplicativeBrightnessTransform((0.9, 1.1), False), ShiftBrain()]
    transform = ComposeTransforms([*steps, ConvertSegmentationToRegionsTransform(([4], [1, 4], [1, 2, 4]))])
    windows = Windows(work, samples, (PATCH,) * 3)

    class Patches(torch.utils.data.Dataset):
        def __len__(self):
            return samples

        def __getitem__(self, index):
            image, label = (torch.from_numpy(array) for array in windows[index])
            first, second = keyed_seeds(index)
            np.random.seed(first)
            torch.manual_seed(second)
            made = transform(image=image, segmentation=label)
            return {"image": made["image"], "label": made["segmentation"].view(torch.uint8)}

    return Patches()


def monai_samples(work, profile, samples):
    """Dataset of MONAI's dictionary transforms from mapped cases on; where to crop is looked up, not searched for."""
    import torch
    from monai import transforms
    from monai.data import set_track_meta

    set_track_meta(False)
    both, side = ["image", "label"], (PATCH,) * 3
    crop = {"pos": 1, "neg": 1, "fg_indices_key": "tumour", "bg_indices_key": "rest", "allow_smaller": True}
    scales = {"rotate_range": [np.pi / 12] * 3, "scale_range": [(1 / 1.25 - 1, 1 / 0.85 - 1)] * 3}
    turn = {"prob": 1, "mode": ("bilinear", "nearest"), "padding_mode": "zeros", **scales}
    steps = [transforms.RandCropByPosNegLabeld(both, "label", side, **crop), transforms.SpatialPadd(both, side)]
    steps += [transforms.RandAffined(both, **turn)] if profile == "full" else []
    steps += [transforms.RandFlipd(both, prob=0.5, spatial_axis=axis) for axis in range(3)]
    steps.append(transforms.RandScaleIntensityd("image", factors=0.1, prob=1, channel_wise=True))
    steps.append(transforms.RandShiftIntensityd("image", offsets=0.1, prob=1, channel_wise=True))
    transform = transforms.Compose([*steps, transforms.ConvertToMultiChannelBasedOnBratsClassesd("label")])
    arrays, tumours = open_cases(work, "images", "labels")
    places = [np.ravel_multi_index(tumour.T, labels.shape) for tumour, (_, labels) in zip(tumours, arrays)]
    rest = [np.flatnonzero(labels.reshape(-1)[::61] == 0) * 61 for _, labels in arrays]

    class Patches(torch.utils.data.Dataset):
        def __len__(self):
            return samples

        def __getitem__(self, index):
            case, seed = keyed_seeds(index)
            case %= len(arrays)
            images, labels = arrays[case]
            transform.set_random_state(seed)
            made = transform({"image": images, "label": labels[None], "tumour": places[case], "rest": rest[case]})[0]
            return {"image": made["image"], "label": made["label"].to(torch.uint8)}

    return Patches()


# Each peer's function, what it is in the table, samples of a longer run beyond the shorter one, and its packages.
PEERS = {
    "plain": (
        lambda work, *given: plain_loader(work / "plain", *given), "memory maps and torch, 2 workers", 40,
        {"torch": "torch"},
    ),
    "numba": (draw_with_numba, "numba, fused, 2 threads", 400, {"numba": "numba"}),
    "dali": (draw_with_dali, "DALI on the CPU, 2 threads", 40, {"nvidia.dali": "nvidia-dali-cuda120"}),
    "nnunet": (
        lambda *given: draw_with_workers(nnunet_samples(*given)), "nnU-Net's transforms, 2 workers", 40,
        {"torch": "torch", "batchgeneratorsv2": "batchgeneratorsv2"},
    ),
    "monai": (
        lambda *given: draw_with_workers(monai_samples(*given)), "MONAI's transforms, 2 workers", 40,
        {"torch": "torch", "monai": "monai"},
    ),
}
