"""Native half of the package."""

import os
from collections.abc import Iterator
from typing import Any

class DataError(RuntimeError):
    """A case, a label file or a dataset cannot be used; the text names the file and the way out."""

class Array:
    """Array in the loader's own memory, without a copy.

    numpy.asarray(array), torch.from_dlpack(array) and memoryview(array) give a view of the same memory,
    which may be written to. The memory goes back to the loader when the last view is gone, and is never
    used again before.
    """

    @property
    def shape(self) -> tuple[int, ...]: ...
    @property
    def dtype(self) -> str: ...
    @property
    def address(self) -> int: ...
    def __len__(self) -> int: ...
    def __buffer__(self, flags: int, /) -> memoryview: ...
    def __dlpack_device__(self) -> tuple[int, int]: ...
    def __dlpack__(
        self,
        *,
        stream: None = None,
        max_version: tuple[int, int] | None = None,
        dl_device: tuple[int, int] | None = None,
        copy: bool | None = None,
    ) -> Any: ...

class BatchStream(Iterator[dict[str, Any]]):
    """Stream of batches as dicts; gliaflow.Loader is its documented front."""

    def __init__(self, settings: str, next_sample: int = 0, next_batch: int = 0) -> None: ...
    def __iter__(self) -> BatchStream: ...
    def __next__(self) -> dict[str, Any]: ...
    @property
    def position(self) -> tuple[int, int]: ...
    @property
    def samples_per_epoch(self) -> int: ...
    @property
    def cases(self) -> list[str]: ...
    @property
    def cases_fingerprint(self) -> str: ...
    @property
    def excluded(self) -> list[tuple[str, str]]: ...
    @property
    def skipped(self) -> list[tuple[str, str]]: ...
    @property
    def label_values(self) -> list[tuple[int, int]]: ...
    @property
    def modalities(self) -> list[str]: ...
    @property
    def regions(self) -> list[str]: ...
    def close(self) -> None: ...

def write_phantoms(
    folder: str | os.PathLike[str], cases: int, shape: tuple[int, int, int]
) -> list[str]:
    """Writes phantom cases, to try the package without data; returns their names."""

def score_files(truth: str, prediction: str, options: str) -> str:
    """Scores label files; options and document are JSON."""

def score_labels(
    truth: Any,
    prediction: Any,
    spacing_mm: tuple[float, float, float],
    labels: str | None,
    hd95: str,
) -> str:
    """Scores labels [d, h, w] in memory against true ones; the document is JSON."""
