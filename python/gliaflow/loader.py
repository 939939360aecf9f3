"""Iterator of batches."""

from __future__ import annotations

import itertools
import json
import math
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Literal, TypedDict

from gliaflow._gliaflow import Array, BatchStream

__all__ = ["Batch", "Loader", "LoaderState"]

Path = str | os.PathLike[str]

# Those that decide which batches there are; threads, memory and the form of the arrays are not among them.
DECIDING_SETTINGS = (
    "seed",
    "batch",
    "patch",
    "patches_per_case",
    "foreground_share",
    "augment",
    "label_scheme",
    "preprocess",
)


class Batch(TypedDict):
    """Batch of patches.

    `image` and `label` are NumPy arrays, or what the loader's `arrays` makes of them.
    """

    image: Any
    label: Any
    case: list[str]
    key: list[tuple[int, int]]
    number: int


class LoaderState(TypedDict):
    """Place of a loader in its sequence of batches, and what the sequence depends on. Plain numbers and texts."""

    version: int
    next_sample: int
    next_batch: int
    cases: str
    settings: dict[str, Any]


class Loader(Iterator[Batch]):
    """Endless iterator of batches of augmented patches.

    Threads make the batches ahead, outside Python's lock, within `memory_mib`. The order of the samples and all that
    is drawn for them depend on the seed and the cases alone: not on threads, memory or time. Iterate over `epoch()`
    for an epoch at a time.

    Each batch is a dict:

    image   [b, c, d, h, w]: z-scores of the modalities T1, T1ce, T2, FLAIR (`modalities`), float16 or float32
    label   [b, 1, d, h, w] uint8: 0 background, 1 NCR, 2 ED, 3 ET (4 resection cavity, 255 no label), whatever values
            the files have; or, with label="regions", [b, k, d, h, w] float32: 1 inside each of `regions`, 0 outside,
            -1 where there is no label
    case    names of the cases, one per sample
    key     (epoch, index) of each sample, by which it can be made again
    number  number of the batch, from 0

    The arrays lie in the loader's memory; nothing is copied. A batch's memory is used again once the last view of it
    is gone, so keep a batch for as long as you like, and not for longer than you need.

    Args:
        data: Folder of the dataset, in any layout that `gliaflow inspect` finds.
        cache: Folder of the preprocessed cases, made at the first use; None decodes every case anew.
        patch: Extent of a patch in voxels, (d, h, w).
        batch: Samples in a batch.
        seed: Seed of order, windows and augmentation.
        image: Type of the images, "float16" or "float32" (converted, so one copy).
        label: Content of `label`, "labels" or "regions".
        arrays: "numpy", "torch", or a function that gets each `gliaflow.Array`, such as `jax.dlpack.from_dlpack`;
            "gliaflow" leaves them as they are.
        augment: "paper" (nnU-Net's of 2018 for BraTS), "nnunet" (of nnU-Net 2.6), "none", or settings of the section
            `augment` in docs/settings.md as a dict; "light" and "full" are those of `gliaflow drain`.
        patches_per_case: Patches drawn from each case in an epoch.
        foreground_share: Share of the patches that are centred on tumour.
        prefetch: Finished batches that may wait to be taken.
        memory_mib: Memory for samples and batches, in MiB.
        workers: Threads of each stage, {"augment": 4}, or "auto"; one per core where nothing is said.
        cases: Names of the cases to draw from, such as those of a fold; all without it.
        description: File that describes the dataset (docs/datasets.md), in place of the one beside the data.
        label_scheme: Meaning of the label values, such as "brats2023", where the dataset leaves it open.
        preprocess: Settings of the section `preprocess` in docs/settings.md.

    Raises:
        ValueError: If an argument is out of its range or unknown.
        gliaflow.DataError: If no case is usable; a single bad case is left out (`excluded`, `skipped`).
        RuntimeError: If `memory_mib` does not hold two batches, or the disk or a thread fails.

    Example:
        >>> import gliaflow, tempfile
        >>> folder = tempfile.TemporaryDirectory()
        >>> cases = gliaflow.write_phantoms(folder.name + "/data", 3, (32, 32, 32))
        >>> loader = gliaflow.Loader(folder.name + "/data", folder.name + "/cache", patch=(16, 16, 16))
        >>> batch = next(loader)
        >>> batch["image"].shape, batch["image"].dtype, batch["label"].shape
        ((2, 4, 16, 16, 16), dtype('float16'), (2, 1, 16, 16, 16))
        >>> loader.close()
    """

    def __init__(
        self,
        data: Path,
        cache: Path | None = "cache",
        *,
        patch: tuple[int, int, int] = (128, 128, 128),
        batch: int = 2,
        seed: int = 0,
        image: Literal["float16", "float32"] = "float16",
        label: Literal["labels", "regions"] = "labels",
        arrays: Literal["numpy", "torch", "gliaflow"] | Callable[[Array], Any] = "numpy",
        augment: str | Mapping[str, Any] = "paper",
        patches_per_case: int = 1,
        foreground_share: float = 0.5,
        prefetch: int = 2,
        memory_mib: int = 4096,
        workers: Literal["auto"] | Mapping[str, int] | None = None,
        cases: Iterable[str] | None = None,
        description: Path | None = None,
        label_scheme: str | None = None,
        preprocess: Mapping[str, Any] | None = None,
    ) -> None:
        self._stream: BatchStream | None = None
        self._convert = _choose_conversion(arrays)
        self._batch = batch
        settings = {
            "data": os.fspath(data),
            "cache": None if cache is None else os.fspath(cache),
            "patch": list(patch),
            "batch": batch,
            "seed": seed,
            "image": image,
            "label": label,
            "augment": augment if isinstance(augment, str) else dict(augment),
            "patches_per_case": patches_per_case,
            "foreground_share": foreground_share,
            "prefetch": prefetch,
            "memory_mib": memory_mib,
            "workers": dict(workers) if isinstance(workers, Mapping) else workers,
            "cases": None if cases is None else list(cases),
            "description": None if description is None else os.fspath(description),
            "label_scheme": label_scheme,
            "preprocess": None if preprocess is None else dict(preprocess),
        }
        self._settings = json.dumps(settings)
        self._deciding = {name: json.loads(self._settings)[name] for name in DECIDING_SETTINGS}
        self._stream = BatchStream(self._settings)

    def __iter__(self) -> Loader:
        return self

    def __next__(self) -> Batch:
        batch = next(self._opened())
        if self._convert is not None:
            batch["image"] = self._convert(batch["image"])
            batch["label"] = self._convert(batch["label"])
        return batch  # type: ignore[return-value]

    def epoch(self) -> Iterator[Batch]:
        """Returns an iterator over the next `batches_per_epoch` batches."""
        return itertools.islice(self, self.batches_per_epoch)

    @property
    def samples_per_epoch(self) -> int:
        """Number of samples in which every case came up `patches_per_case` times."""
        return self._opened().samples_per_epoch

    @property
    def batches_per_epoch(self) -> int:
        """Number of batches that hold an epoch's samples; the last one may begin the next epoch."""
        return math.ceil(self.samples_per_epoch / self._batch)

    @property
    def modalities(self) -> list[str]:
        """Names of the image's channels."""
        return self._opened().modalities

    @property
    def regions(self) -> list[str]:
        """Names of the channels of label="regions"."""
        return self._opened().regions

    @property
    def label_values(self) -> dict[int, int]:
        """Labels of label="labels", each with the value that the dataset's files have for it."""
        return dict(self._opened().label_values)

    @property
    def cases(self) -> list[str]:
        """Names of the cases that samples are drawn from, sorted."""
        return self._opened().cases

    @property
    def excluded(self) -> dict[str, str]:
        """Cases that were left out at the start, with the reason."""
        return dict(self._opened().excluded)

    @property
    def skipped(self) -> list[tuple[str, str]]:
        """Samples that could not be made, with the reason; the next sample has taken the place of each."""
        return self._opened().skipped

    def state_dict(self) -> LoaderState:
        """Returns the place behind the last batch that was taken, to be kept in a checkpoint."""
        stream = self._opened()
        next_sample, next_batch = stream.position
        return {
            "version": 1,
            "next_sample": next_sample,
            "next_batch": next_batch,
            "cases": stream.cases_fingerprint,
            "settings": dict(self._deciding),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Goes on from a place that `state_dict` returned, with the very batches that followed there.

        Raises:
            ValueError: If the sequence is another one: other cases, another seed, patches of another size.
        """
        if state.get("version") != 1:
            raise ValueError(f"state: version = {state.get('version')!r}, and this package reads 1; load it with its own")
        kept = {"cases": state.get("cases"), **state.get("settings", {})}
        for name, own in {"cases": self._opened().cases_fingerprint, **self._deciding}.items():
            if kept.get(name) != own:
                raise ValueError(
                    f"state: {name} = {kept.get(name)!r}, and this loader has {own!r}; make the loader with the "
                    "arguments and cases that the state is of"
                )
        place = int(state["next_sample"]), int(state["next_batch"])
        if place != self._opened().position:
            self.close()
            self._stream = BatchStream(self._settings, *place)

    def close(self) -> None:
        """Ends the loader and its threads. Batches that were taken stay as they are."""
        if self._stream is not None:
            self._stream.close()
            self._stream = None

    def __enter__(self) -> Loader:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        if self._stream is None:
            return "<gliaflow.Loader, closed>"
        return f"<gliaflow.Loader of {len(self.cases)} cases, {self.batches_per_epoch} batches an epoch>"

    def _opened(self) -> BatchStream:
        if self._stream is None:
            raise RuntimeError("the loader is closed; make another, and load its state_dict()")
        return self._stream


def _choose_conversion(arrays: str | Callable[[Array], Any]) -> Callable[[Array], Any] | None:
    if callable(arrays):
        return arrays
    if arrays == "gliaflow":
        return None
    if arrays == "numpy":
        import numpy

        return numpy.asarray
    if arrays == "torch":
        import torch

        return torch.from_dlpack
    raise ValueError(f"arrays = {arrays!r}; write numpy, torch or gliaflow, or give a function of a gliaflow.Array")
