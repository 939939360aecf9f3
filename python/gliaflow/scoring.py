"""Scores of predicted segmentations."""

from __future__ import annotations

import json
import os
from typing import Any, Literal

from gliaflow._gliaflow import score_files, score_labels

__all__ = ["score"]

LabelScheme = Literal["brats2018", "brats2023", "brats2024", "msd", "brats2024-ped"]


def score(
    truth: Any,
    prediction: Any,
    *,
    labels: LabelScheme | None = None,
    truth_labels: LabelScheme | None = None,
    prediction_labels: LabelScheme | None = None,
    spacing_mm: tuple[float, float, float] = (1.0, 1.0, 1.0),
    hd95: Literal["medpy", "monai", "surface-distance", "brats"] = "medpy",
    lesion_wise: bool = False,
    description: str | os.PathLike[str] | None = None,
    ignore_affine: bool = False,
) -> dict[str, Any]:
    """Scores predicted labels against true ones: Dice, HD95 in mm, sensitivity and specificity of each region.

    Two paths are label files, or folders of them that are paired by case; the result is the document of
    `gliaflow score --json`: `cases`, means, and the meaning that the label values were taken to have.

    Two arrays [d, h, w] of whole numbers are one case; the result is the scores by region. Their values are those that
    a loader gives, 1 NCR, 2 ED, 3 ET, unless `labels` names another scheme.

    Args:
        truth: True labels, a path or an array.
        prediction: Predicted labels, likewise.
        labels: Meaning of the label values; of files it is found out where nothing is said.
        truth_labels: Meaning of the truth's, where the prediction's is another (files only).
        prediction_labels: Meaning of the prediction's (files only).
        spacing_mm: Edges of a voxel (z, y, x) of arrays; files have their own.
        hd95: Definition of the 95 % Hausdorff distance.
        lesion_wise: Scores lesion by lesion as well, as BraTS does since 2023 (files only).
        description: File that describes the truth's folder (files only).
        ignore_affine: Compares voxels by their order in the files.

    Raises:
        ValueError: If shapes differ or an argument is unknown.
        gliaflow.DataError: If a file cannot be read, a case has no partner, or grids differ.

    Example:
        >>> import gliaflow, numpy
        >>> truth = numpy.zeros((8, 8, 8), numpy.uint8)
        >>> truth[2:6, 2:6, 2:6] = 3
        >>> gliaflow.score(truth, truth)["WT"]["dice"]
        1.0
    """
    if _is_path(truth) != _is_path(prediction):
        raise ValueError("truth and prediction: one is a path and one is not; give two paths or two arrays")
    if _is_path(truth):
        options = {
            "labels": labels,
            "truth_labels": truth_labels,
            "prediction_labels": prediction_labels,
            "description": None if description is None else os.fspath(description),
            "ignore_affine": ignore_affine,
            "hd95": hd95,
            "lesion_wise": lesion_wise,
        }
        return json.loads(score_files(os.fspath(truth), os.fspath(prediction), json.dumps(options)))
    if truth_labels or prediction_labels or description or lesion_wise or ignore_affine:
        raise ValueError("an option that is of files alone was given for arrays; leave it out, or give paths")
    return json.loads(score_labels(_to_bytes(truth), _to_bytes(prediction), tuple(spacing_mm), labels, hd95))


def _is_path(value: Any) -> bool:
    return isinstance(value, (str, os.PathLike))


def _to_bytes(labels: Any) -> Any:
    import numpy

    values = numpy.asarray(labels)
    if values.dtype.kind not in "biu":
        raise ValueError(f"labels of type {values.dtype} are no whole numbers; give those, not probabilities")
    narrow = numpy.ascontiguousarray(values, dtype=numpy.uint8)
    if not numpy.array_equal(narrow, values):
        raise ValueError("a label is below 0 or above 255; give label values, not scores")
    return narrow
