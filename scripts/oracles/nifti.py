"""Small NIfTI files, valid and broken, written by nibabel: `tests/fixtures/nifti`.

`variants/` holds valid files with what nibabel reads from them (`expected.json`); `bad/` holds broken
files and defective cases with what is wrong (`README.json`).
"""

import gzip
import io
import json
import logging
import struct

import nibabel as nib
import numpy as np
from nibabel.orientations import axcodes2ornt, inv_ornt_aff, io_orientation, ornt_transform

from counters import uniform, units

SHAPE = (11, 13, 9)
AFFINE = np.array([[-1.0, 0, 0, -76], [0, -1, 0, 166], [0, 0, 1, 87], [0, 0, 0, 1]])
MODALITIES = {"flair": 0, "t1": 1, "t1ce": 2, "t2": 3}


def squares():
    axes = np.meshgrid(*map(np.arange, SHAPE), indexing="ij")
    return sum(((a - n / 2) / n) ** 2 for a, n in zip(axes, SHAPE))


def image(place):
    """Int16 intensities of one modality: some below zero, 0 outside of the head."""
    values = np.round(uniform(SHAPE, 90 + place, -38.0, 1105.0)).astype(np.int16)
    return np.where(squares() < 0.2, values, 0).astype(np.int16)


def labels():
    """Edema (2) around a core (1), uint8."""
    outer, inner = squares() < 0.08, squares() < 0.02
    ragged = units(int(np.prod(SHAPE)), 97).reshape(SHAPE) < 0.9
    return np.where(inner, 1, np.where(outer & ragged, 2, 0)).astype(np.uint8)


T1CE, SEG = image(MODALITIES["t1ce"]), labels()


def nifti(values, affine=AFFINE, cls=nib.Nifti1Image, order="<", codes=(1, 2), extension=None):
    """The bytes of a file; `codes` are those of qform and sform."""
    values = np.asarray(values)
    header = cls.header_class(endianness=order)
    picture = cls(values, affine, header, dtype=values.dtype)
    picture.header.set_data_dtype(values.dtype.newbyteorder(order))
    picture.set_qform(affine, codes[0])
    picture.set_sform(affine, codes[1])
    if extension:
        picture.header.extensions.append(nib.nifti1.Nifti1Extension("comment", extension))
    return picture.to_bytes()


def squeeze(content):
    return gzip.compress(content, 9, mtime=0)


def patched(content, *edits):
    """`content` with little-endian numbers put at places of the header: (place, format, value)."""
    content = bytearray(content)
    for place, form, value in edits:
        struct.pack_into(f"<{form}", content, place, value)
    return bytes(content)


# Places of a NIfTI-1 header.
DIM, DATATYPE, BITPIX, PIXDIM, VOX_OFFSET = 40, 70, 72, 76, 108
SLOPE, INTER, QFORM_CODE, SFORM_CODE, SROW, MAGIC = 112, 116, 252, 254, 280, 344


def turned(codes):
    """The same head, stored along other axes."""
    turn = ornt_transform(io_orientation(AFFINE), axcodes2ornt(codes))
    values = nib.orientations.apply_orientation(T1CE, turn)
    return nifti(values, AFFINE @ inv_ornt_aff(turn, SHAPE))


def oblique():
    angle = np.deg2rad(12)
    turn = np.eye(4)
    turn[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    return turn @ AFFINE


def pair():
    """A header and its voxels in two files."""
    picture = nib.Nifti1Pair(T1CE, AFFINE)
    picture.set_qform(AFFINE, 1)
    picture.set_sform(AFFINE, 2)
    files = {part: nib.fileholders.FileHolder(fileobj=io.BytesIO()) for part in ("header", "image")}
    picture.to_file_map(files)
    return [files[part].fileobj.getvalue() for part in ("header", "image")]


def holes():
    """Float32 with a NaN and an infinity."""
    values = T1CE.astype(np.float32)
    values[0, 0, 0], values[1, 1, 1] = np.nan, np.inf
    return values


def variants():
    """`(name, bytes, expectation, tolerance)` of each valid file.

    `ref`: the voxels are `reference_t1ce.npy`, after turning or squeezing where it says so; `seg`: they
    are `reference_seg.npy`; `own`: only the figures count.
    """
    reference = nifti(T1CE)
    clipped = T1CE.clip(0)
    eighth = np.round(clipped / clipped.max() * 120)
    scaled = lambda slope, inter: patched(reference, (SLOPE, "f", slope), (INTER, "f", inter))
    header, voxels = pair()
    half = len(reference) // 2
    found = [
        ("ref_int16.nii.gz", squeeze(reference), "ref", 0),
        ("ref_int16.nii", reference, "ref", 0),
        ("ref_pair.hdr", header, "ref", 0),
        ("bigendian_int16.nii.gz", squeeze(nifti(T1CE, order=">")), "ref", 0),
        ("nifti2_int16.nii.gz", squeeze(nifti(T1CE, cls=nib.Nifti2Image)), "ref", 0),
        ("nifti2_bigendian.nii.gz", squeeze(nifti(T1CE, cls=nib.Nifti2Image, order=">")), "ref", 0),
    ]
    for name in ("float32", "float64", "int32", "int64"):
        found.append((f"dtype_{name}.nii.gz", squeeze(nifti(T1CE.astype(name))), "ref", 0))
    for name, values in [("uint16", clipped), ("int8", eighth), ("uint8", eighth), ("uint32", clipped)]:
        found.append((f"dtype_{name}.nii.gz", squeeze(nifti(values.astype(name))), "own", 0))
    almost_one = patched(nifti(SEG.astype(np.int16)), (SLOPE, "f", 0.99999997), (INTER, "f", 0.0))
    found += [
        ("scl_slope_0.5_inter_-10.nii.gz", squeeze(scaled(0.5, -10.0)), "own", 0),
        ("scl_slope_0.nii.gz", squeeze(scaled(0.0, 7.0)), "ref", 0),
        ("scl_slope_nan.nii.gz", squeeze(scaled(np.nan, 0.0)), "ref", 0),
        ("scl_slope_1.nii.gz", squeeze(scaled(1.0, 0.0)), "ref", 0),
        ("seg_uint8.nii.gz", squeeze(nifti(SEG)), "seg", 0),
        ("seg_float32.nii.gz", squeeze(nifti(SEG.astype(np.float32))), "seg", 0),
        ("seg_float64.nii.gz", squeeze(nifti(SEG.astype(np.float64))), "seg", 0),
        ("seg_int_slope_almost1.nii.gz", squeeze(almost_one), "seg", 1e-5),
        ("qform_only.nii.gz", squeeze(nifti(T1CE, codes=(1, 0))), "ref", 0),
        ("sform_only.nii.gz", squeeze(nifti(T1CE, codes=(0, 2))), "ref", 0),
        ("no_qform_no_sform.nii.gz", squeeze(nifti(T1CE, codes=(0, 0))), "ref", 0),
    ]
    for codes in ("RAS", "LAS", "PIR", "ASL", "SPL"):
        found.append((f"orient_{codes}.nii.gz", squeeze(turned(codes)), "ref_after_reorient", 0))
    channels = np.stack([image(place) for place in range(4)], -1).astype(np.float32)
    msd = np.array([0, 2, 1], np.uint8)[SEG]
    members = squeeze(reference[:half]) + squeeze(reference[half:])
    extended = nifti(T1CE, extension=b"an extension moves the voxels")
    return found + [
        ("oblique_12deg.nii.gz", squeeze(nifti(T1CE, oblique())), "ref", 0),
        ("msd/imagesTr/BRATS_001.nii.gz", squeeze(nifti(channels)), "own", 0),
        ("msd/labelsTr/BRATS_001.nii.gz", squeeze(nifti(msd)), "own", 0),
        ("dim4_singleton.nii.gz", squeeze(nifti(T1CE[..., None])), "ref_after_squeeze", 0),
        ("header_extension.nii.gz", squeeze(extended), "ref", 0),
        ("gzip_multimember.nii.gz", members, "ref", 0),
        ("qfac0.nii.gz", squeeze(patched(reference, (PIXDIM, "f", 0.0))), "ref", 0),
        ("negative_pixdim.nii.gz", squeeze(patched(reference, (PIXDIM + 4, "f", -1.0))), "ref", 0),
        ("nan_inf_float32.nii.gz", squeeze(nifti(holes())), "own", 0),
    ], voxels


def expected(path, expectation, tolerance):
    """What nibabel reads from a file."""
    picture = nib.load(path)
    values = np.asanyarray(picture.dataobj).astype(np.float64)
    affine = picture.affine.tolist()
    figures = {"shape": list(picture.shape), "affine": affine, "expect": expectation, "tol": tolerance}
    if np.isfinite(values).all():
        figures |= {"sum": values.sum(), "min": values.min(), "max": values.max()}
    return figures


def write(folder, name, content):
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def write_variants(folder):
    found, voxels = variants()
    write(folder, "ref_pair.img", voxels)
    figures = {}
    for name, content, expectation, tolerance in found:
        path = write(folder, name, content)
        figures[name] = expected(path, expectation, tolerance)
    np.save(folder / "reference_t1ce.npy", T1CE)
    np.save(folder / "reference_seg.npy", SEG)
    (folder / "expected.json").write_text(json.dumps(figures, indent=1) + "\n")


def broken():
    """`(name, bytes, what is wrong)` of each file."""
    reference = nifti(T1CE)
    packed = squeeze(reference)
    edited = lambda *edits: squeeze(patched(reference, *edits))
    srow = lambda *values: [(SROW + 4 * place, "f", value) for place, value in enumerate(values)]
    wrong_sum = bytearray(packed)
    wrong_sum[-8] ^= 0xFF
    noise = bytes((255 * units(4096, 98)).astype(np.uint8))
    pointer = (
        b"version https://git-lfs.github.com/spec/v1\n"
        b"oid sha256:4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393\n"
        b"size 1893938\n"
    )
    return [
        ("empty.nii.gz", b"", "zero bytes"),
        ("truncated_gz.nii.gz", packed[: len(packed) // 2], "the gzip stream ends at its half"),
        ("bad_crc.nii.gz", bytes(wrong_sum), "wrong gzip checksum"),
        ("truncated_data.nii.gz", squeeze(reference[:-1000]), "a thousand bytes of voxels missing"),
        ("truncated_header.nii", reference[:200], "the header ends after 200 bytes"),
        ("not_gzip.nii.gz", reference, "not compressed, but named so: to be read"),
        ("gz_named_nii.nii", packed, "compressed, but not named so: to be read"),
        ("garbage.nii.gz", squeeze(noise), "random bytes"),
        ("html.nii.gz", b"<!DOCTYPE html><html><body>404 Not Found</body></html>", "a web page"),
        ("lfs_pointer.nii.gz", pointer, "a pointer of Git LFS"),
        ("dim_negative.nii.gz", edited((DIM + 2, "h", -11)), "dim[1] below zero"),
        ("dim_zero.nii.gz", edited((DIM + 4, "h", 0)), "dim[2] is 0"),
        ("dim_huge.nii.gz", edited(*[(DIM + 2 * i, "h", 32767) for i in (1, 2, 3)]), "35 TB"),
        ("ndim_9.nii.gz", edited((DIM, "h", 9)), "dim[0] is 9"),
        ("ndim_0.nii.gz", edited((DIM, "h", 0)), "dim[0] is 0"),
        ("datatype_unknown.nii.gz", edited((DATATYPE, "h", 999)), "datatype 999"),
        ("bitpix_mismatch.nii.gz", edited((BITPIX, "h", 8)), "8 bits of int16"),
        ("magic_bad.nii.gz", edited((MAGIC, "4s", b"xxxx")), "no magic"),
        ("vox_offset_past_end.nii.gz", edited((VOX_OFFSET, "f", 1e9)), "voxels past the end"),
        ("vox_offset_nan.nii.gz", edited((VOX_OFFSET, "f", np.nan)), "vox_offset is NaN"),
        ("pixdim_zero.nii.gz", edited((PIXDIM + 4, "f", 0.0)), "a spacing of 0"),
        ("sform_nan.nii.gz", edited((SROW, "f", np.nan)), "NaN in the affine"),
        ("sform_singular.nii.gz", edited(*srow(*[0.0] * 12)), "a singular affine"),
        ("complex64_claim.nii.gz", edited((DATATYPE, "h", 32), (BITPIX, "h", 64)), "complex64"),
    ]


def cases():
    """Files by name of each defective case, and what is wrong."""
    shifted = AFFINE.copy()
    shifted[0, 3] += 5
    one_5, half = SEG.copy(), SEG.astype(np.float32)
    one_5[5, 6, 4] = 5
    half[half == 1] = 0.5
    yield "missing_flair", {"flair": None}, "one modality is absent"
    yield "missing_seg", {"seg": None}, "no labels: good for prediction"
    yield "affine_mismatch_t2", {"t2": nifti(image(3), shifted)}, "T2 lies 5 mm away"
    yield "shape_mismatch_t1", {"t1": nifti(image(1)[..., :-1])}, "T1 has a slice less"
    yield "label_5", {"seg": nifti(one_5)}, "a label 5"
    yield "label_fraction", {"seg": nifti(half)}, "a label 0.5"
    yield "seg_all_zero", {"seg": nifti(np.zeros_like(SEG))}, "healthy: no tumour, to be read"
    yield "seg_RAS_affine", {"seg": nifti(SEG, np.eye(4))}, "the labels have another affine"


def write_broken(folder):
    reasons = {}
    for name, content, reason in broken():
        write(folder, name, content)
        reasons[name] = reason
    whole = {name: nifti(image(place)) for name, place in MODALITIES.items()} | {"seg": nifti(SEG)}
    for case, changes, reason in cases():
        for name, content in (whole | changes).items():
            if content is not None:
                write(folder, f"cases/{case}/{case}_{name}.nii.gz", squeeze(content))
        reasons[f"cases/{case}"] = reason
    (folder / "README.json").write_text(json.dumps(reasons, indent=1) + "\n")


def make(folder):
    # It would tell of each negative spacing.
    logging.getLogger("nibabel.global").setLevel(logging.ERROR)
    write_variants(folder / "variants")
    write_broken(folder / "bad")
