"""Phantom dataset that the tests share."""

import atexit
import pathlib
import shutil
import tempfile

import gliaflow

FOLDER = pathlib.Path(tempfile.mkdtemp(prefix="gliaflow-python-"))
atexit.register(shutil.rmtree, FOLDER, ignore_errors=True)
DATA, CACHE = FOLDER / "data", FOLDER / "cache"
CASES = gliaflow.write_phantoms(DATA, 4, (48, 64, 64))
PATCH = (32, 32, 32)


def make_loader(**arguments):
    """Loader of the tests: as in examples/stream_batches.rs, unless told otherwise."""
    settings = {"patch": PATCH, "batch": 2, "patches_per_case": 4, "seed": 7, **arguments}
    return gliaflow.Loader(DATA, CACHE, **settings)
