"""Makes the fixtures of `tests/fixtures/{oracles,statistics,nifti}`, or checks those that are there.

    python scripts/oracles/make.py [NAME ...]            writes them
    python scripts/oracles/make.py --check [NAME ...]    makes them elsewhere and compares
    python scripts/oracles/make.py --out FOLDER ...      writes them there

A NAME is one of the scripts beside this one; without names, all are run.
"""

import argparse
import gzip
import importlib
import json
import sys
import tempfile
import warnings
from pathlib import Path

import numpy as np
from safetensors.numpy import load

FOLDERS = {
    "networks": "oracles",
    "losses": "oracles",
    "optimisers": "oracles",
    "upsampling": "oracles",
    "sliding": "oracles",
    "zscore": "oracles",
    "resampling": "oracles",
    "augmentation": "oracles",
    "segresnet": "oracles",
    "measures": "oracles",
    "instances": "oracles",
    "signed_rank": "statistics",
    "nifti": "nifti",
}
COMMITTED = Path(__file__).resolve().parents[2] / "tests" / "fixtures"
# Another release or processor may round the last digits of a float32 in another way.
ABSOLUTE, RELATIVE = 2e-6, 1e-5


def numbers(value, path=""):
    """`(path, value)` of each leaf of a JSON value."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from numbers(inner, f"{path}/{key}")
    elif isinstance(value, list):
        for place, inner in enumerate(value):
            yield from numbers(inner, f"{path}/{place}")
    else:
        yield path, value


def leaves(path):
    """The content of a fixture as `{place: value or array}`; versions are left out."""
    content = path.read_bytes()
    if path.suffix == ".json":
        found = dict(numbers(json.loads(content)))
        return {k: v for k, v in found.items() if "made_with" not in k and "versions" not in k}
    if path.name.endswith(".safetensors.gz"):
        return load(gzip.decompress(content))
    try:
        return {"content": gzip.decompress(content)}
    except (OSError, EOFError):
        return {"content": content}


def difference(old, new):
    """How far two leaves lie apart, in tolerances; infinite where they cannot be compared."""
    if isinstance(old, (int, float, np.ndarray)) and isinstance(new, (int, float, np.ndarray)):
        old, new = np.asarray(old, np.float64), np.asarray(new, np.float64)
        if old.shape == new.shape:
            apart = np.abs(old - new) / (ABSOLUTE + RELATIVE * np.abs(old))
            return float(apart.max(initial=0.0))
    return 0.0 if old == new else float("inf")


def check(committed, made):
    """Prints how far each file that was made is from the committed one; whether all agree."""
    agree = True
    for path in sorted(p for p in made.rglob("*") if p.is_file()):
        name = path.relative_to(made)
        new, old = leaves(path), {}
        if (committed / name).is_file():
            old = leaves(committed / name)
        if old.keys() != new.keys():
            worst, where = float("inf"), "what it holds"
        else:
            worst, where = max((difference(old[k], new[k]), k) for k in new)
        agree &= worst <= 1
        if worst > 1 or name.parts[0] != "nifti":
            verdict = "agrees" if worst <= 1 else f"DIFFERS at {where}"
            print(f"{str(name):45} {worst:10.3g} tolerances  {verdict}")
    return agree


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", choices=[[], *FOLDERS])
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--out", type=Path, default=COMMITTED)
    options = parser.parse_args()
    warnings.simplefilter("ignore", FutureWarning)
    with tempfile.TemporaryDirectory() as elsewhere:
        root = Path(elsewhere) if options.check else options.out
        for name in options.names or FOLDERS:
            folder = root / FOLDERS[name]
            folder.mkdir(parents=True, exist_ok=True)
            importlib.import_module(name).make(folder)
        if options.check and not check(options.out, root):
            sys.exit("the fixtures are not what the scripts make")


if __name__ == "__main__":
    main()
