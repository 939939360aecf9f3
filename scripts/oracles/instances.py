"""Scores of lesions matched one to one, by panoptica with the settings of BraTS 2025: `instances`.

The truth and four predictions are those of `lesionwise`; two more have one component over two lesions, and two
components in one lesion.
"""

import gzip
from pathlib import Path

import numpy as np
from panoptica import (
    ConnectedComponentsInstanceApproximator,
    InputType,
    MaxBipartiteMatching,
    Metric,
    Panoptica_Evaluator,
)
from panoptica.utils.edge_case_handling import (
    EdgeCaseHandler,
    EdgeCaseResult,
    MetricZeroTPEdgeCaseHandling,
)
from safetensors.numpy import load

from fixture import write_json, write_tensors

COMMITTED = Path(__file__).resolve().parents[2] / "tests" / "fixtures" / "oracles"
MEMBERS_2023 = {"ET": [3], "TC": [1, 3], "WT": [1, 2, 3]}
# BraTS/BraTS_evaluation: `matching_threshold` of its configurations, and the value in place of infinity of its parser.
THRESHOLD, PENALTY_MM = 1e-6, 373.0


def unmatched(value):
    """What a metric is where no instance is matched."""
    return MetricZeroTPEdgeCaseHandling(
        no_instances_result=EdgeCaseResult.NAN,
        empty_prediction_result=value,
        empty_reference_result=value,
        normal=value,
    )


def scores_of(evaluator, truth, prediction):
    result = evaluator.evaluate(prediction.astype(np.uint8), truth.astype(np.uint8))
    result = next(iter(result.values()))
    missed, spurious, found = int(result.fn), int(result.fp), int(result.tp)
    if found + missed + spurious == 0:
        return {"dice": None, "hd95": None, "found": 0, "missed": 0, "spurious": 0}
    return {
        "dice": float(result.sq_dsc),
        "hd95": PENALTY_MM if np.isinf(result.sq_hd95) else float(result.sq_hd95),
        "found": found,
        "missed": missed,
        "spurious": spurious,
    }


def make(folder):
    evaluator = Panoptica_Evaluator(
        expected_input=InputType.SEMANTIC,
        instance_approximator=ConnectedComponentsInstanceApproximator(),
        instance_matcher=MaxBipartiteMatching(matching_metric=Metric.DSC, matching_threshold=THRESHOLD),
        edge_case_handler=EdgeCaseHandler(
            listmetric_zeroTP_handling={
                Metric.DSC: unmatched(EdgeCaseResult.ZERO),
                Metric.HD95: unmatched(EdgeCaseResult.INF),
            },
            empty_list_std=EdgeCaseResult.NAN,
        ),
        instance_metrics=[Metric.DSC, Metric.HD95],
        global_metrics=[],
    )
    given = load(gzip.decompress((COMMITTED / "lesionwise.safetensors.gz").read_bytes()))
    truth = given.pop("gt")
    bridged = truth.copy()
    for at in np.linspace((11, 12, 15), (29, 28, 14), 40).round().astype(int):
        bridged[tuple(at)] = np.where(bridged[tuple(at)] == 0, 2, bridged[tuple(at)])
    split = given["both_found_plus_fp"].copy()
    split[12] = 0
    predictions = {**given, "bridged": bridged, "split": split}
    cases = {}
    for name, prediction in predictions.items():
        masks = {region: [np.isin(labels, values) for labels in (truth, prediction)]
                 for region, values in MEMBERS_2023.items()}
        cases[name] = {region: scores_of(evaluator, *pair) for region, pair in masks.items()}
    figures = {"threshold": THRESHOLD, "penalty": PENALTY_MM, "cases": cases}
    write_json(folder, "instances", figures, indent=1)
    write_tensors(folder, "instances", {"gt": truth, **predictions})
