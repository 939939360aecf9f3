"""Samples made again."""

from __future__ import annotations

import json
import os
import pathlib
import subprocess
import tempfile
from typing import Any, TypedDict

from gliaflow._gliaflow import BatchStream, DataError
from gliaflow.loader import Loader

__all__ = ["Sample", "replay"]


class Sample(TypedDict):
    """Sample of a training, made again."""

    image: Any
    label: Any
    case: str
    key: tuple[int, int]


def replay(
    source: Loader | str | os.PathLike[str],
    epoch: int,
    index: int = 0,
    count: int = 1,
    *,
    program: str | os.PathLike[str] = "gliaflow",
) -> list[Sample]:
    """Makes samples of a training again, to the bit, in the order of training.

    Of a loader, `epoch` and `index` are a sample's `key`; image and label are as its batches have them, without the
    batch's axis. The loader itself does not move.

    Of a folder, it is the run that `gliaflow train` wrote there, and `index` the place in its epoch; image is
    [c, d, h, w] float16 of the run's modalities, label [k, d, h, w] float32, the probabilities of its regions. The
    command makes them, so it must be installed.

    Args:
        source: A loader, or the folder of a run.
        epoch: Epoch, from 0.
        index: Place in the epoch, from 0.
        count: Number of samples.
        program: The command, for the folder of a run.

    Raises:
        ValueError: If there is no such sample.
        gliaflow.DataError: If the run's cases are gone or are others now.
    """
    if epoch < 0 or index < 0 or count < 1:
        raise ValueError(f"epoch {epoch}, index {index}, count {count}; write 0 or more, and a count of 1 or more")
    if isinstance(source, Loader):
        return _replay_of_loader(source, epoch, index, count)
    return _replay_of_run(os.fspath(source), epoch, index, count, os.fspath(program))


def _replay_of_loader(loader: Loader, epoch: int, index: int, count: int) -> list[Sample]:
    samples = loader.samples_per_epoch
    if index >= samples:
        raise ValueError(f"index {index}: an epoch of this loader has {samples} samples; write 0 to {samples - 1}")
    import numpy

    settings = {**json.loads(loader._settings), "batch": 1, "prefetch": 1}
    stream = BatchStream(json.dumps(settings), epoch * samples + index, 0)
    convert = loader._convert or numpy.asarray
    made: list[Sample] = []
    try:
        for batch, _ in zip(stream, range(count)):
            image, label = convert(batch["image"])[0], convert(batch["label"])[0]
            made.append({"image": image, "label": label, "case": batch["case"][0], "key": batch["key"][0]})
    finally:
        stream.close()
    return made


def _replay_of_run(run: str, epoch: int, index: int, count: int, program: str) -> list[Sample]:
    import numpy

    with tempfile.TemporaryDirectory() as folder:
        words = ["--epoch", str(epoch), "--index", str(index), "--count", str(count)]
        line = [program, "replay", "--run", run, *words, "--arrays", "--out", folder, "--json"]
        try:
            done = subprocess.run(line, capture_output=True, text=True)
        except FileNotFoundError as error:
            raise FileNotFoundError(
                f"{program}: the command that makes a run's samples is not installed; install it, or name it with "
                "`program`"
            ) from error
        if done.returncode != 0:
            failure = ValueError if done.returncode == 2 else DataError
            raise failure(done.stderr.strip())
        told = json.loads(done.stdout)
        made: list[Sample] = []
        for sample in told.get("samples", [told]):
            images, targets = (numpy.load(pathlib.Path(file)) for file in sample["files"])
            key = sample["key"]["epoch"], sample["key"]["index"]
            label = targets.astype(numpy.float32) / 255
            made.append({"image": images, "label": label, "case": sample["case"], "key": key})
    return made
