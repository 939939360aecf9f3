#!/usr/bin/env python3
"""Compares what scripts/gpu-check left in a folder with what it should have.

  tests/gpu_check/expect.py OUT a=done c=done,skipped b='CUT OFF' …

Every stage that is named has one of its states, every one that is done has a result, and the table in
the archive is the table beside it. Ends with 1 and the differences otherwise.
"""

import os
import sys
import tarfile

LARGEST = 16 * 1024 * 1024


def stages_of(table):
    """State and result of every stage, by its letter."""
    found = {}
    for line in table.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if len(cells) == 5 and len(cells[0]) == 1:
            found[cells[0]] = (cells[2], cells[4])
    return found


def differences(out, expected):
    with open(os.path.join(out, "table.md")) as file:
        table = file.read()
    found = stages_of(table)
    for key, states in expected.items():
        state, result = found.get(key, ("absent", "-"))
        if state not in states:
            yield f"stage {key} is {state} and should be {' or '.join(states)}: {result}"
        elif state == "done" and result == "-":
            yield f"stage {key} is done without a result"
    archive = os.path.join(out, "gpu-check.tar.gz")
    if os.path.getsize(archive) >= LARGEST:
        yield f"the archive has {os.path.getsize(archive)} bytes"
    with tarfile.open(archive) as tar:
        if tar.extractfile("gpu-check/table.md").read().decode() != table:
            yield "the archive's table is another than the one beside it"
    surplus = sorted(set(os.listdir(out)) - {"table.md", "gpu-check.tar.gz"})
    if surplus:
        yield f"the folder has more than a table and an archive: {surplus}"
    done = [key for key, (state, _) in found.items() if state == "done"]
    if "b" in done and "| gliaflow | unet " not in table:
        yield "no row of the U-Net's steps"
    if "d" in done and "| weight gradient |" not in table:
        yield "no rows of single convolutions"


def main():
    out, *pairs = sys.argv[1:]
    expected = {key: states.split(",") for key, states in (pair.split("=") for pair in pairs)}
    wrong = list(differences(out, expected))
    for line in wrong:
        print(f"expect: {line}", file=sys.stderr)
    return 1 if wrong or not expected else 0


if __name__ == "__main__":
    sys.exit(main())
