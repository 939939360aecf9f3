#!/usr/bin/env python3
"""Counts the instructions of what costs most, and holds them against the committed counts.

    scripts/count_instructions.py --check PROGRAM    fails where a count is 3 % above its baseline
    scripts/count_instructions.py --bless PROGRAM    writes the counts as the new baseline
    scripts/count_instructions.py PROGRAM [WORK ...] prints the counts

PROGRAM is `benches/counted/program.rs`, which scripts/count-instructions builds. Counts do
not depend on the machine's speed or on what else it does. They do depend on the compiler, on valgrind and on
the C library: under other versions than those of the baseline a count is printed and nothing fails.
Valgrind knows no AVX-512, so it is the AVX2 path that is counted.
"""

import argparse
import json
import re
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

BASELINE = Path(__file__).resolve().parents[1] / "benches" / "instructions.json"
ALLOWED = 1.03
# Works that need no case.
NETWORKS = {"step", "window"}
# Function whose calls are collected, mangled in one way or the other.
MEASURED = "*measured_work*"


def answer_of(*command):
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def tool_versions():
    libc = answer_of("ldd", "--version").splitlines()[0].split()[-1]
    return {
        "rustc": answer_of("rustc", "--version"),
        "valgrind": answer_of("valgrind", "--version"),
        "libc": libc,
    }


def count_work(program, work, folder):
    """Instructions that the work takes."""
    with tempfile.TemporaryDirectory() as outputs:
        command = [
            "valgrind", "--tool=callgrind", f"--callgrind-out-file={outputs}/out",
            "--collect-atstart=no", f"--toggle-collect={MEASURED}",
            program, work, folder,
        ]
        run = subprocess.run(command, capture_output=True, text=True)
    if run.returncode != 0:
        sys.exit(f"{work} failed under valgrind:\n{run.stderr}{run.stdout}")
    count = int(re.search(r"Collected : (\d+)", run.stderr)[1])
    if count == 0:
        sys.exit(f"{work}: nothing was collected; is the program built without symbols?")
    return count


def count_all(program, works):
    with tempfile.TemporaryDirectory() as folder:
        if not NETWORKS.issuperset(works):
            subprocess.run([program, "prepare", folder], check=True)
        # One for each core: a count does not depend on what runs beside it.
        with ThreadPoolExecutor(2) as pool:
            counts = pool.map(lambda work: count_work(program, work, folder), works)
            return dict(zip(works, counts))


def print_counts(counts, baseline):
    """Prints each count beside its baseline; the works that are dearer than allowed."""
    dearer = []
    for work, count in counts.items():
        known = baseline.get(work)
        ratio = count / known if known else None
        beside = f"{ratio:8.4f} of {known:15,}" if known else "  no baseline"
        print(f"{work:16} {count:15,}  {beside}")
        if ratio is None or ratio > ALLOWED:
            dearer.append(work)
    return dearer


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--bless", action="store_true")
    parser.add_argument("program")
    parser.add_argument("works", nargs="*", metavar="WORK")
    options = parser.parse_args()
    works = options.works or answer_of(options.program, "list").split()
    baseline = json.loads(BASELINE.read_text()) if BASELINE.exists() else {"counts": {}}
    counts = count_all(options.program, works)
    dearer = print_counts(counts, baseline["counts"])
    versions = tool_versions()
    if options.bless:
        counts = {**baseline["counts"], **counts}
        BASELINE.write_text(json.dumps({"versions": versions, "counts": counts}, indent=2) + "\n")
        return
    if not options.check:
        return
    if versions != baseline.get("versions"):
        print(f"not compared: the baseline is of {baseline.get('versions')}, these are {versions}")
    elif dearer:
        sys.exit(
            f"{', '.join(dearer)}: more than {ALLOWED - 1:.0%} above benches/instructions.json; make it"
            " cheaper, or show what the instructions buy and change the baseline with --bless"
        )


if __name__ == "__main__":
    main()
