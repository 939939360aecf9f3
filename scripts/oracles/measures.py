"""Overlap and distances by medpy, MONAI and DeepMind's surface-distance; BraTS 2023's lesion-wise
scores; averaged teachers: `metrics`, `hd95_anisotropic`, `surfel_areas`, `lesionwise`, `distill`.
"""

import numpy as np
import scipy
import surface_distance
import torch
from medpy.metric import binary
from monai.metrics import compute_hausdorff_distance
from scipy import ndimage
from surface_distance import lookup_tables

from counters import uniform, units
from fixture import write_json, write_tensors

# In the values of BraTS 2018; 2023 writes 3 where 2018 wrote 4.
MEMBERS_2018 = {"ET": [4], "TC": [1, 4], "WT": [1, 2, 4]}
MEMBERS_2023 = {"ET": [3], "TC": [1, 3], "WT": [1, 2, 3]}
DIAGONAL = float(np.linalg.norm([240, 240, 155]))
ONE_MM = (1.0, 1.0, 1.0)


def hd_surface(truth, prediction, spacing):
    distances = surface_distance.compute_surface_distances(truth, prediction, spacing)
    return float(surface_distance.compute_robust_hausdorff(distances, 95))


def surface_dice(truth, prediction, spacing, tolerance_mm):
    distances = surface_distance.compute_surface_distances(truth, prediction, spacing)
    return float(surface_distance.compute_surface_dice_at_tolerance(distances, tolerance_mm))


def hd_medpy(truth, prediction, spacing):
    return float(binary.hd95(prediction, truth, voxelspacing=spacing))


def hd_monai(truth, prediction, spacing):
    batch = lambda mask: torch.from_numpy(mask[None, None].astype(np.float32))
    return float(
        compute_hausdorff_distance(
            batch(prediction), batch(truth), percentile=95, spacing=spacing, include_background=True
        )
    )


def between(truth, prediction):
    """All figures of two masks at 1 mm, by BraTS' rules where one or both are empty."""
    hits = int((truth & prediction).sum())
    n_truth, n_prediction = int(truth.sum()), int(prediction.sum())
    outside = truth.size - n_truth
    both_empty = n_truth + n_prediction == 0
    one_empty = not both_empty and 0 in (n_truth, n_prediction)
    distance = lambda of: 0.0 if both_empty else DIAGONAL if one_empty else of(truth, prediction, ONE_MM)
    surface = lambda mm: float(both_empty) if 0 in (n_truth, n_prediction) else surface_dice(truth, prediction, ONE_MM, mm)
    return {
        "dice": 1.0 if both_empty else 2 * hits / (n_truth + n_prediction),
        "nsd_half": surface(0.5),
        "nsd_one": surface(1.0),
        "hd_medpy": distance(hd_medpy),
        "hd_monai": distance(hd_monai),
        "hd_surface": distance(hd_surface),
        "sens": hits / n_truth if n_truth else float(both_empty),
        "spec": (outside - (n_prediction - hits)) / outside,
        "n_gt": n_truth,
        "n_pred": n_prediction,
    }


def tumour(shape, centre, radii, stretch=(1.0, 1.0, 1.0)):
    """Nested ellipsoids of edema (2), enhancing tumour (4) and core (1), labels of BraTS 2018."""
    axes = np.meshgrid(*map(np.arange, shape), indexing="ij")
    squares = sum(((a - c) / s) ** 2 for a, c, s in zip(axes, centre, stretch))
    labels = np.zeros(shape, np.uint8)
    for radius, label in zip(radii, (2, 4, 1)):
        labels[squares < radius**2] = label
    return labels


def pairs():
    """Eleven pairs of truth and prediction, [32, 28, 24]."""
    shape, centre, radii = (32, 28, 24), (16, 14, 12), (9.0, 6.0, 2.8)
    whole = tumour(shape, centre, radii)
    empty = np.zeros(shape, np.uint8)
    without_et = np.where(whole == 4, 1, whole).astype(np.uint8)
    smaller = tumour(shape, centre, (8.0, 4.8, 1.8))
    smaller[1:3, 1:3, 1:3] = 2
    noisy = tumour(shape, (16, 15, 12), (9.0, 6.0, 2.8))
    draw = units(whole.size, 81).reshape(shape)
    noisy[draw > 0.99] = 2
    noisy[draw < 0.03] = 0
    single, apart = empty.copy(), empty.copy()
    single[10, 10, 10] = apart[10, 14, 10] = 4
    cut = [tumour(shape, (2, c, 3), radii) for c in (14, 16)]
    return {
        "identical": (whole, whole),
        "shift2": (whole, tumour(shape, (18, 14, 12), radii)),
        "smaller_plus_far_fp": (whole, smaller),
        "noisy": (whole, noisy),
        "both_no_et": (without_et, np.where(noisy == 4, 1, noisy).astype(np.uint8)),
        "gt_no_et_pred_et": (without_et, smaller),
        "gt_et_pred_no_et": (whole, without_et),
        "both_all_empty": (empty, empty),
        "pred_all_empty": (whole, empty),
        "single_voxels_4_apart": (single, apart),
        "touching_border": tuple(cut),
    }


def masks_of(labels, members):
    return {region: np.isin(labels, values) for region, values in members.items()}


def metrics_of(given):
    cases = {}
    for case, (truth, prediction) in given.items():
        masks = [masks_of(labels, MEMBERS_2018) for labels in (truth, prediction)]
        cases[case] = {region: between(masks[0][region], masks[1][region]) for region in masks[0]}
    averaged = ("dice", "nsd_half", "nsd_one", "hd_medpy", "hd_monai", "hd_surface", "sens", "spec")
    means = {
        region: {
            key: float(np.mean([case[region][key] for case in cases.values()])) for key in averaged
        }
        for region in MEMBERS_2018
    }
    return {"diag": DIAGONAL, "cases": cases, "mean_over_cases": means}


def metrics(folder):
    given = pairs()
    write_json(folder, "metrics", metrics_of(given), indent=1)
    tensors = {}
    for case, (truth, prediction) in given.items():
        tensors[f"{case}_gt"], tensors[f"{case}_pred"] = truth, prediction
    write_tensors(folder, "metrics", tensors)


def speckled(shape, seed):
    """A box with holes, and another with specks everywhere: the masks of `tests/measures.rs`."""
    count = int(np.prod(shape))
    noise = units(2 * count, seed).reshape(2, *shape)
    z, y, x = np.meshgrid(*map(np.arange, shape), indexing="ij")
    inside = lambda *box: np.all([(low <= a) & (a < high) for a, (low, high) in zip((z, y, x), box)], 0)
    truth = inside((2, 8), (1, 8), (2, 7)) & (noise[0] < 0.9)
    prediction = (inside((3, 9), (3, 10), (1, 7)) & (noise[1] < 0.85)) | (noise[1] > 0.985)
    return truth, prediction


def hd95_anisotropic(folder):
    shape, cases = (10, 12, 9), []
    for seed, spacing_mm in [
        (41, [0.7, 1.5, 3.0]),
        (42, [1.0, 1.0, 1.0]),
        (43, [0.9, 0.9, 5.0]),
        (44, [2.0, 1.2, 0.8]),
    ]:
        truth, prediction = speckled(shape, seed)
        by_axis = spacing_mm[::-1]  # of the arrays: z, y, x
        # MONAI computes in float32; its definition is medpy's distances, each way for itself.
        both_ways = [
            binary.__surface_distances(a, b, by_axis, 1)
            for a, b in ((truth, prediction), (prediction, truth))
        ]
        monai = max(float(np.percentile(one, 95)) for one in both_ways)
        assert abs(hd_monai(truth, prediction, by_axis) - monai) < 1e-5
        cases.append(
            {
                "seed": seed,
                "spacing_mm": spacing_mm,
                "truth_voxels": int(truth.sum()),
                "predicted_voxels": int(prediction.sum()),
                "medpy": hd_medpy(truth, prediction, by_axis),
                "monai": monai,
                "surface-distance": hd_surface(truth, prediction, by_axis),
                "nsd_half": surface_dice(truth, prediction, by_axis, 0.5),
                "nsd_one": surface_dice(truth, prediction, by_axis, 1.0),
            }
        )
    figures = {"shape_zyx": list(shape), "percent": 95, "cases": cases}
    write_json(folder, "hd95_anisotropic", figures, indent=1)


def surfel_areas(folder):
    """The area of each of the 256 cells; here corner [z, y, x] of a cell is bit 4z + 2y + x."""
    spacing_mm = [0.7, 1.5, 3.0]
    table = lookup_tables.create_table_neighbour_code_to_surface_area(spacing_mm[::-1])
    theirs = lambda code: sum(1 << (7 - bit) for bit in range(8) if code >> bit & 1)
    figures = {
        "source": "surface-distance 0.1, create_table_neighbour_code_to_surface_area",
        "bits": "corner [z, y, x] of the cell is bit 4z + 2y + x",
        "spacing_mm": spacing_mm,
        "area_mm2": [float(table[theirs(code)]) for code in range(256)],
    }
    write_json(folder, "surfel_areas", figures, indent=1)


DILATIONS, IGNORED_VOXELS, PENALTY_MM = 3, 50, 374
EIGHTEEN = ndimage.generate_binary_structure(3, 2)
TWENTY_SIX = ndimage.generate_binary_structure(3, 3)


def lesion_scores(truth, prediction):
    """The rules of BraTS-GLI 2023, of one region."""
    dilated = ndimage.binary_dilation(truth, EIGHTEEN, iterations=DILATIONS)
    lesions, n_lesions = ndimage.label(dilated, TWENTY_SIX)
    components, n_components = ndimage.label(prediction, TWENTY_SIX)
    dice, hd95, kept, touching = [], [], 0, set()
    for lesion in range(1, n_lesions + 1):
        own = truth & (lesions == lesion)
        found = set(np.unique(components[lesions == lesion])) - {0}
        touching |= found
        if own.sum() <= IGNORED_VOXELS:
            continue
        kept += 1
        match = np.isin(components, list(found))
        if not found:
            dice.append(0.0)
            hd95.append(float(PENALTY_MM))
            continue
        dice.append(2 * int((own & match).sum()) / int(own.sum() + match.sum()))
        hd95.append(hd_surface(own, match, ONE_MM))
    spurious = n_components - len(touching)
    mean = lambda values, of_spurious: float(np.mean(values + [of_spurious] * spurious))
    nothing = kept + spurious == 0
    return {
        "dice": 1.0 if nothing else mean(dice, 0.0),
        "hd95": 0.0 if nothing else mean(hd95, float(PENALTY_MM)),
        "n_gt": n_lesions,
        "kept": kept,
        "fp": spurious,
    }


def lesions_of(truth, predictions):
    cases = {}
    for name, prediction in predictions.items():
        masks = [masks_of(labels, MEMBERS_2023) for labels in (truth, prediction)]
        cases[name] = {region: lesion_scores(masks[0][region], masks[1][region]) for region in masks[0]}
    return {
        "dilation": DILATIONS,
        "struct": "18-neighbour",
        "cc": 26,
        "min_volume": f"> {IGNORED_VOXELS} kept",
        "penalty": PENALTY_MM,
        "cases": cases,
    }


def lesionwise(folder):
    """Two lesions that count and one of a few voxels; four predictions of them, [40, 40, 32]."""
    shape = (40, 40, 32)
    merge = lambda *parts: np.maximum.reduce([np.minimum(part, 3) for part in parts])
    large = tumour(shape, (11, 12, 15), (7.0, 5.2, 2.5))
    small = tumour(shape, (29, 28, 14), (5.5, 4.2, 1.5))
    crumb = tumour(shape, (33, 6, 26), (2.0, 1.6, 0.8))
    moved = tumour(shape, (13, 12, 16), (7.5, 5.0, 2.0))
    other = tumour(shape, (28, 29, 14), (5.0, 4.0, 1.0))
    spurious = tumour(shape, (8, 33, 8), (3.2, 2.4, 1.0))
    truth = merge(large, small, crumb)
    predictions = {
        "two_lesions_one_missed": merge(moved),
        "both_found_plus_fp": merge(moved, other, crumb, spurious),
        "perfect": truth,
        "empty_pred": np.zeros(shape, np.uint8),
    }
    write_json(folder, "lesionwise", lesions_of(truth, predictions), indent=1)
    write_tensors(folder, "lesionwise", {"gt": truth, **predictions})


def painted(mean):
    """Labels of BraTS 2018 of region probabilities ET, TC, WT: a half or more paints, ET last."""
    labels = np.zeros(mean.shape[1:], np.int32)
    for region, label in ((2, 2), (1, 1), (0, 4)):
        labels[mean[region] >= 0.5] = label
    return labels


def distill(folder):
    """Three teachers' probabilities [3, 6, 6, 6], averaged in float32 and painted."""
    teachers = [uniform((3, 6, 6, 6), 71 + teacher, 0.0, 1.0) for teacher in range(3)]
    mean = ((teachers[0] + teachers[1]) + teachers[2]) / np.float32(3)
    labels = painted(mean)
    removed = np.where(labels == 4, 1, labels).astype(np.int32)
    write_json(folder, "distill", {"et_voxels": int((labels == 4).sum())})
    tensors = {f"p{teacher}": values for teacher, values in enumerate(teachers)}
    tensors |= {"mean": mean, "labels": labels, "labels_et_removed": removed}
    write_tensors(folder, "distill", tensors)


def make(folder):
    for fixture in (metrics, hd95_anisotropic, surfel_areas, lesionwise, distill):
        fixture(folder)
