#!/usr/bin/env python3
"""Leads the package for a GPU machine from beginning to end without a card.

  tests/cuda/rehearse.py PACKAGE [--short] [--seconds 560] [--out DIR]

PACKAGE is what scripts/gpu-pack makes, or a gliaflow built with --features cuda (this checkout's scripts are
used then). A stand-in takes the place of the driver and of NVRTC (tests/cuda/standin): everything is
launched and nothing is computed. So the stage that compares the device with the CPU has to fail, and all
others have to come to their end: first undisturbed, then with one that hangs and one that crashes. Before
that the trial's answers to an old and to a broken driver are looked at. --short takes tiny networks.

Ends with 1 if anything is otherwise. What this cannot prove is in docs/cuda.md.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.dont_write_bytecode = True
sys.path[:0] = [os.path.join(ROOT, "scripts"), os.path.join(ROOT, "tests", "gpu_check")]

from expect import differences  # noqa: E402
from gpu_check.machine import unpacked  # noqa: E402


class Rehearsal:
    def __init__(self, options):
        self.options, self.wrong = options, []
        self.folder = tempfile.mkdtemp(prefix="rehearsal-")
        self.standin = os.path.join(self.folder, "standin")
        subprocess.run([os.path.join(HERE, "standin", "build"), self.standin], check=True)
        packed = self.packed = os.path.isdir(options.package)
        scripts = options.package if packed else ROOT
        self.gpu_check = os.path.join(scripts, "scripts", "gpu-check")
        archived = os.path.join(options.package, "gliaflow.xz") if packed else options.package
        self.given = [] if packed else [archived]
        self.binary = unpacked(archived, self.folder)

    def environment(self, library="lib64", **more):
        libraries = f"{os.path.join(self.standin, library)}:{os.path.join(self.standin, 'lib64')}"
        clean = {name: value for name, value in os.environ.items() if not name.startswith("STANDIN_")}
        return {**clean, "CUDA_PATH": self.standin, "LD_LIBRARY_PATH": libraries, "XDG_CACHE_HOME": os.path.join(self.folder, "cache"), **more}

    def expect(self, is_so, problem):
        print(f"rehearse: {'as it should be' if is_so else 'WRONG'}: {problem}", flush=True)
        if not is_so:
            self.wrong.append(problem)

    def trial(self):
        """A driver that cannot serve is exit 4 with a way out; one that can is used."""
        words = [self.binary, "bench-step", "--model", "unet", "--device", "cuda", "--patch", "8"]
        words += ["--set", "model.settings={base_width=2,levels=2}", "--steps", "1", "--warmup", "0", "--json"]
        for what, environment, code, texts in (
            ("a driver of CUDA 11.8", self.environment(STANDIN_VERSION="11080"), 4, ["CUDA 11.8", "CUDA 12.0 is needed"]),
            ("a driver without a function", self.environment("lacking"), 4, ["no cuEventElapsedTime", "update the driver"]),
            ("a driver of CUDA 12.4", self.environment(STANDIN_VERSION="12040"), 0, ["products"]),
        ):
            done = subprocess.run(words, env=environment, cwd=self.folder, capture_output=True, text=True, timeout=600)
            said = done.stdout + done.stderr
            missing = [text for text in texts if text not in said]
            self.expect(done.returncode == code and not missing, f"{what}: exit {done.returncode}, {missing or texts}")
            self.expect("panicked" not in said, f"{what}: no panic is told")

    def check(self, name, expected, **disturbance):
        """One gpu-check, with its table compared with the states that it should show."""
        out, work = os.path.join(self.folder, name), os.path.join(self.folder, f"{name}-work")
        words = [sys.executable, self.gpu_check, "--seconds", str(self.options.seconds), "--out", out, "--work", work]
        words += ["--tiny"] if self.options.short else []
        stage = os.path.join(work, "stage")
        begun = time.monotonic()
        limit = self.options.seconds + 30
        environment = self.environment(STANDIN_STAGE_FILE=stage, **disturbance)
        done = subprocess.run([*words, *self.given], env=environment, cwd=self.folder, timeout=limit, stdout=subprocess.DEVNULL)
        seconds = time.monotonic() - begun
        self.expect(seconds <= self.options.seconds, f"{name}: ended after {seconds:.0f} of {self.options.seconds:.0f} s")
        self.expect(done.returncode == 1, f"{name}: exit {done.returncode}, as a stage failed")
        for line in differences(out, expected):
            self.expect(False, f"{name}: {line}")
        with open(os.path.join(out, "table.md")) as file:
            table = file.read()
        print(table, flush=True)
        if self.options.out:
            shutil.copytree(out, os.path.join(self.options.out, name), dirs_exist_ok=True)
        return table

    def run(self):
        self.trial()
        torch, tools = ["done", "skipped"], ["done", "skipped", "FAILED", "CUT OFF"]
        # Training is the host's as well: on few cores its limit comes before the last step.
        done = {**{key: ["done"] for key in "bdegh"}, "f": ["done", "CUT OFF"]}
        # It computes nothing, and check-device says so.
        table = self.check("undisturbed", {**done, "a": ["FAILED"], "c": torch, "i": tools})
        self.expect(" 0 comparisons" not in table and "comparisons agree" in table, "undisturbed: check-device compared")
        self.expect(re.search(r"^\| f \|.* [1-9][0-9]* steps", table, re.M), "undisturbed: steps were trained")
        self.expect("| kernel | launches |" in table, "undisturbed: kernels are told with their launches")
        if self.packed and not self.options.short:
            # The tuner's candidates depend on how long it has waited.
            missing = {key: int(count) for key, count in re.findall(r"^\| ([begh]) \|.*; kernels not carried: (\d+)", table, re.M)}
            self.expect(len(missing) == 4 and max(missing.values()) <= 4, f"undisturbed: kernels that the package lacks, by stage: {missing}")
        # Each of the two costs the next stage a new process, so the last may come to its limit while tuning.
        late = {"f": ["done", "CUT OFF"], "h": ["done", "CUT OFF"], "i": [*tools, "not begun"]}
        hanging = {**done, "a": ["FAILED"], "c": torch, "d": ["CUT OFF"], "g": ["FAILED"], **late}
        table = self.check("disturbed", hanging, STANDIN_HANG_IN="d", STANDIN_CRASH_IN="g")
        self.expect("SIGSEGV" in table, "disturbed: the crash is told by its signal")
        shutil.rmtree(self.folder, ignore_errors=True)
        for problem in self.wrong:
            print(f"rehearse: WRONG: {problem}", file=sys.stderr)
        return 1 if self.wrong else 0


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("package")
    parser.add_argument("--short", action="store_true", help="tiny networks")
    parser.add_argument("--seconds", type=float, default=560, help="for each gpu-check (560)")
    parser.add_argument("--out", help="a folder for both tables and archives")
    options = parser.parse_args()
    options.package = os.path.abspath(options.package)
    return Rehearsal(options).run()


if __name__ == "__main__":
    sys.exit(main())
