"""Batches of augmented brain tumour MRI patches, ready for PyTorch, MONAI, nnU-Net or NumPy.

    import gliaflow

    with gliaflow.Loader("data/BraTS2020", "cache", patch=(128, 128, 128), batch=2) as loader:
        for batch in loader.epoch():
            batch["image"]  # [2, 4, 128, 128, 128], z-scores as float16
            batch["label"]  # [2, 1, 128, 128, 128], labels as uint8

Loader   an endless iterator of batches, made by threads of its own in memory of its own
score    Dice, HD95, sensitivity and specificity of predicted label files
replay   samples again: those of a loader, or those that a run of the command `gliaflow` trained on
"""

from gliaflow._gliaflow import Array, DataError, write_phantoms
from gliaflow.loader import Batch, Loader, LoaderState
from gliaflow.replaying import Sample, replay
from gliaflow.scoring import score

__all__ = [
    "Array",
    "Batch",
    "DataError",
    "Loader",
    "LoaderState",
    "Sample",
    "replay",
    "score",
    "write_phantoms",
]
