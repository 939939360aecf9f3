#!/usr/bin/env python3
"""The division of BraTS 2018 of MONAI's bundle `brats_mri_segmentation`, as a file for `data.split`.

Given the dataset's folder (with HGG and LGG), it draws the bundle's 200, 42 and 43 cases: the bundle sorts the
case folders by path and divides them with scikit-learn's `train_test_split`, twice, from NumPy's global generator
seeded with 123. Both divisions are a permutation each, so NumPy alone does. Given a datalist in MONAI's format
(`training`, `validation`, `testing` with `label` paths), it takes the names from there. Writes JSON to stdout.
"""

import argparse
import json
import sys
from pathlib import Path

import numpy

SEED = 123
TRAINING = 200


def draw_division(names):
    """Divides as `train_test_split(train_size=200)`, then `train_test_split(train_size=0.5)` of the rest."""
    generator = numpy.random.RandomState(SEED)
    order = generator.permutation(len(names))
    rest = len(names) - TRAINING
    training = [names[at] for at in order[rest:]]
    others = [names[at] for at in order[:rest]]
    order = generator.permutation(rest)
    validation = rest // 2
    tested = rest - validation
    return {
        "train": training,
        "validation": [others[at] for at in order[tested:]],
        "test": [others[at] for at in order[:tested]],
    }


def division_of_datalist(path):
    datalist = json.loads(path.read_text())
    parts = {"train": "training", "validation": "validation", "test": "testing"}
    case = lambda entry: Path(entry["label"]).name.split("_seg.nii")[0]
    return {part: [case(entry) for entry in datalist.get(name, [])] for part, name in parts.items()}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=Path, help="folder of BraTS 2018 with HGG and LGG, or a datalist (.json)")
    source = parser.parse_args().source
    if source.is_file():
        division = division_of_datalist(source)
    else:
        folders = sorted(str(path) for path in source.glob("*/*") if path.is_dir())
        if len(folders) != 285:
            sys.exit(f"{source}: has {len(folders)} case folders in its folders, not the 285 of HGG and LGG")
        division = draw_division([Path(folder).name for folder in folders])
    json.dump(division, sys.stdout, indent=1)
    print()


if __name__ == "__main__":
    main()
