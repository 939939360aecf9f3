#!/usr/bin/env python3
"""Leads the three networks along the CUDA path without a card and compiles every kernel that they ask for.

  tests/cuda/compile.py BINARY [--short] [--networks unet,cascaded] [--precisions bf16] [--bless] [--seconds S] [--jobs 2]

BINARY is a gliaflow built with --features cuda. Four optimiser steps and a window of inference of each network, at full
width, 128^3, f32 and bf16, run on a stand-in for the driver as an sm_90 (tests/cuda/standin), which checks each call
against the driver's rules and counts it. Then NVRTC and ptxas 13.0 (tests/cuda/toolkit) compile each source that
was asked for, with own kernels for sm_80, sm_90, sm_100 and sm_120, and the kernels' registers and shared memory are compared
with what the cards have. All is kept under target/cuda-compile by hash, so that a second run compiles only what is new.

The counts are compared with tests/cuda/figures.json: none may get worse; --bless writes better ones. --short takes
small networks, in an order of minutes, and compares with figures of their own. Ends with 1 if a rule was broken, a kernel did
not compile, a figure got worse, or the time did not suffice (what is compiled by then is kept).
"""

import argparse
import concurrent.futures
import itertools
import json
import os
import shutil
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.dont_write_bytecode = True
sys.path.insert(0, HERE)

from kept_kernels import environment_with_nvrtc  # noqa: E402
from nvrtc import Compiler, architecture_of  # noqa: E402
from record import Record  # noqa: E402

FIGURES = os.path.join(HERE, "figures.json")
BATCH = {"unet": 2, "resunet_vae": 2, "cascaded": 4}
# Depth and channels that still take every path: several levels, groups, attention to more than one region.
SHORT = {
    "unet": ["base_width=8", "levels=2"],
    "resunet_vae": ["base_width=8", "groups=4", "encoder_units=[1,1]"],
    "cascaded": ["base_width=2", "levels=2"],
}
HELD = ["launches", "synchronisations", "late_waits", "freeing_waits", "holding_waits", "layout_copies", "uploads", "downloads", "uploaded_bytes", "window_launches",
        "window_layout_copies", "peak_bytes", "largest_allocation", "kernels", "out_of_memory"]
# Candidates of the few kernels that are CubeCL's depend on how long the tuner has waited for them.
SLACK = {"kernels": 4}
# Share by which a count of CubeCL's may grow: which candidates win differs from run to run, and what the winners launch with them.
CUBECL_SLACK = 0.1
# To the end of the first step from kept kernels.
START_UP_SECONDS = 20
# What own kernels are compiled for; CubeCL's candidates are made for the architecture that they are led along on.
ARCHITECTURES = {"80": "sm_80", "90": "sm_90a", "100": "sm_100a", "120": "sm_120a"}
REGISTERS, SHARED_BYTES = 65536, {"80": 166912, "90": 232448, "100": 232448, "120": 101376}


def tell(text):
    print(f"cuda-compile: {text}", flush=True)


class Run:
    def __init__(self, options):
        self.options, self.wrong = options, []
        self.begun = time.monotonic()
        target = os.environ.get("CARGO_TARGET_DIR", os.path.join(ROOT, "target"))
        self.folder = os.path.abspath(os.path.join(target, "cuda-compile"))
        self.sources, self.standin = os.path.join(self.folder, "sources"), os.path.join(self.folder, "standin")
        self.toolkit = os.path.join(target, "cuda-toolkit")
        os.makedirs(self.sources, exist_ok=True)

    def left(self):
        return self.options.seconds - (time.monotonic() - self.begun)

    def problem(self, text):
        tell(f"WRONG: {text}")
        self.wrong.append(text)

    def patch(self):
        return 32 if self.options.short else 128

    def fresh_cache(self, name):
        """A user's cache folder without kernels: each network asks for all of its own."""
        folder = os.path.join(self.folder, "cache", name)
        shutil.rmtree(folder, ignore_errors=True)
        return folder

    def step_words(self, network, precision):
        words = [self.options.binary, "bench-step", "--model", network, "--device", "cuda", "--precision", precision,
                 "--patch", str(self.patch()), "--batch", str(BATCH[network])]
        return words + (["--set", "model.settings={" + ",".join(SHORT[network]) + "}"] if self.options.short else [])

    def lead(self, network, precision):
        """bench-step of one network on the stand-in; its record."""
        record = os.path.join(self.folder, f"record-{self.options.kernels}-{network}-{precision}" + ("-short" if self.options.short else ""))
        if self.options.kept and os.path.exists(record):
            return Record(record)
        environment = {**{name: value for name, value in os.environ.items() if not name.startswith("STANDIN_")},
                       "CUDA_PATH": self.standin, "LD_LIBRARY_PATH": os.path.join(self.standin, "lib64"),
                       "STANDIN_ARCHITECTURE": str(self.options.architecture), "STANDIN_SOURCES": self.sources,
                       "STANDIN_RECORD": record, "XDG_CACHE_HOME": self.fresh_cache(f"{network}-{precision}")}
        if self.options.memory_mib:
            environment["STANDIN_MEMORY_MIB"] = str(self.options.memory_mib)
        words = [*self.step_words(network, precision), "--warmup", "1", "--steps", "3", "--json", "--set", f"kernels={self.options.kernels}"]
        begun = time.monotonic()
        try:
            done = subprocess.run(words, env=environment, capture_output=True, text=True, timeout=max(1.0, self.left()))
        except subprocess.TimeoutExpired:
            self.problem(f"{network} in {precision}: the time did not suffice")
            return None
        if done.returncode:
            self.problem(f"{network} in {precision}: exit {done.returncode}: {done.stderr[-2000:]}")
            return None
        tell(f"{network} in {precision}: {time.monotonic() - begun:.0f} s")
        return Record(record)

    def check_kernels(self, name, record, results):
        """Whether a card would have taken each kernel: it compiles, and its block fits a multiprocessor."""
        asked = record.shared_bytes()
        for source, architecture in itertools.product(sorted(record.sources()), ARCHITECTURES.values()):
            path = os.path.join(self.sources, f"{source}.cu")
            result = results.get((path, architecture))
            if result is None:
                continue
            if not result["compiled"] or not result["assembled"]:
                self.problem(f"{name}: {path} is refused for {architecture}: {result['log'][:300]}")
                continue
            shared, threads = asked.get(source, (0, 0))
            registers = (result["registers"] + 7) // 8 * 8 * ((threads + 31) // 32 * 32)
            if registers > REGISTERS:
                self.problem(f"{name}: {path} takes {registers} registers a block on {architecture}, of {REGISTERS}")
            most = SHARED_BYTES[next(number for number, known in ARCHITECTURES.items() if known == architecture)]
            if shared + result["shared_bytes"] > most or result["shared_bytes"] > 49152:
                self.problem(f"{name}: {path} takes {shared} and {result['shared_bytes']} bytes of shared memory")

    def figures_of(self, name, record, results):
        # Images go over in f16, four modalities.
        figures = record.figures(BATCH[name.split()[0]] * 4 * self.patch() ** 3 * 2)
        known = [results.get((path, architecture_of(path))) for path in
                 (os.path.join(self.sources, f"{source}.cu") for source in record.sources())]
        known = [one for one in known if one]
        whole = len(known) == len(record.sources())
        for field in ("nvrtc_seconds", "ptxas_seconds"):
            # Of this machine's, and only of all kernels; so never held.
            figures[field] = round(sum(one.get(field, 0.0) for one in known)) if whole else None
        for text in record.wrong:
            self.problem(f"{name}: {text}")
        return figures

    def start_up(self, network, precision):
        """Seconds to the first step with the real NVRTC, on a driver that computes nothing: without kept kernels, and with those
        that the first process has kept."""
        cache, seconds, kept = self.fresh_cache("start-up"), [], []
        for _ in range(2):
            environment = environment_with_nvrtc(self.folder, self.standin, cache, self.options.architecture)
            words = [*self.step_words(network, precision), "--warmup", "0", "--steps", "1", "--json", "--set", "kernels=own"]
            done = subprocess.run(words, env=environment, capture_output=True, text=True, timeout=max(1.0, self.left()))
            if done.returncode:
                self.problem(f"{network} in {precision} with NVRTC: exit {done.returncode}: {done.stderr[-2000:]}")
                return
            seconds.append(json.loads(done.stdout)["first_step_seconds"])
            kept.append(sum(len(files) for _, _, files in os.walk(os.path.join(cache, "gliaflow", "cuda"))))
        tell(f"{network} in {precision}: {seconds[0]:.1f} s to the end of the first step without kept kernels, {seconds[1]:.1f} s with {kept[0]} kept entries")
        if not kept[0] or kept[1] != kept[0]:
            self.problem(f"{network} in {precision}: {kept[0]} entries were kept, and {kept[1]} after the second start: kernels were compiled again")
        if seconds[1] > START_UP_SECONDS:
            self.problem(f"{network} in {precision}: the first step took {seconds[1]:.0f} s from kept kernels, {START_UP_SECONDS} at most")

    def run(self):
        subprocess.run([os.path.join(HERE, "standin", "build"), self.standin], check=True)
        if self.options.start_up:
            subprocess.run([os.path.join(HERE, "toolkit"), self.toolkit], check=True)
            for network in self.options.networks.split(","):
                for precision in self.options.precisions.split(","):
                    self.start_up(network, precision)
            return 1 if self.wrong else 0
        if not self.options.count_only:
            subprocess.run([os.path.join(HERE, "toolkit"), self.toolkit], check=True)
        # A network takes one core for minutes.
        wanted = list(itertools.product(self.options.networks.split(","), self.options.precisions.split(",")))
        with concurrent.futures.ThreadPoolExecutor(self.options.jobs) as pool:
            led = pool.map(lambda one: self.lead(*one), wanted)
            records = {f"{network} {precision}": record for (network, precision), record in zip(wanted, led) if record}
        results = self.compile({os.path.join(self.sources, f"{source}.cu") for record in records.values()
                                for source in record.sources()})
        figures = {}
        for name, record in records.items():
            self.check_kernels(name, record, results)
            figures[name] = self.figures_of(name, record, results)
        self.compare(figures)
        print(table_of(figures), flush=True)
        return 1 if self.wrong else 0

    def compile(self, paths):
        """NVRTC's and ptxas's results: of all sources, or only those that are kept."""
        if not os.path.exists(os.path.join(self.toolkit, "wheels.txt")):
            return {}
        compiler = Compiler(self.toolkit, os.path.join(self.folder, "compiled"), self.options.jobs)
        architectures = ARCHITECTURES.values() if self.options.kernels == "own" else []
        jobs = {(path, architecture) for path in paths for architecture in {architecture_of(path), *architectures}}
        if self.options.count_only:
            return compiler.kept(jobs)
        results = compiler.compile_all(jobs, tell, self.left)
        if len(results) < len(jobs):
            self.problem(f"the time sufficed for {len(results)} of {len(jobs)} kernels; run it again for the rest")
        return results

    def compare(self, figures):
        try:
            with open(FIGURES) as file:
                committed = json.load(file)
        except FileNotFoundError:
            committed = {}
        size = "short" if self.options.short else "full"
        part = f"sm_{self.options.architecture} {size}" + (f" {self.options.memory_mib} MiB" if self.options.memory_mib else "")
        part += " own" if self.options.kernels == "own" else ""
        share = 0.0 if self.options.kernels == "own" else CUBECL_SLACK
        held = committed.setdefault(part, {})
        for name, measured in figures.items():
            for field in HELD if name in held else []:
                if measured[field] > held[name].get(field, measured[field]) * (1 + share) + SLACK.get(field, 0):
                    self.problem(f"{name}: {field} is {measured[field]}, it was {held[name][field]}")
        if self.options.bless and not self.wrong:
            for name, measured in figures.items():
                # Without compiling, what it took stays.
                known = {field: held.get(name, {}).get(field) for field in ("nvrtc_seconds", "ptxas_seconds")}
                held[name] = {**measured, **{field: value for field, value in known.items() if measured[field] is None}}
            with open(FIGURES, "w") as file:
                json.dump(committed, file, indent=1, sort_keys=True)
                file.write("\n")
            write_document(committed)


NAMES = {"unet": "U-Net", "resunet_vae": "Residual U-Net with VAE", "cascaded": "cascade"}
MARKS = ["<!-- compile.py: counts -->\n", "<!-- compile.py: end of counts -->"]


def write_document(committed):
    """The table of docs/cuda.md, of all figures at full width with own kernels."""
    rows = ["| card | network | launches a step | late waits | CubeCL's, to free | held | copies of layout | up, MiB | launches a window | peak, GiB | largest, GiB "
            "| kernels | NVRTC and ptxas, s |", "|" + "---|" * 13]
    for part in sorted(part for part in committed if part.startswith("sm_90 full") and part.endswith(" own")):
        card = f"{int(part.split()[2]) // 1024} GiB" if "MiB" in part else "H200"
        for name, one in sorted(committed[part].items(), key=lambda item: (list(NAMES).index(item[0].split()[0]), item[0].endswith("bf16"))):
            network, precision = name.split()
            seconds = "-" if one["nvrtc_seconds"] is None else one["nvrtc_seconds"] + one["ptxas_seconds"]
            cells = [card, f"{NAMES[network]}, {precision}", one["launches"], one["late_waits"], one["freeing_waits"], one["holding_waits"], one["layout_copies"],
                     round(one["uploaded_bytes"] / 2**20), one["window_launches"], f"{one['peak_bytes'] / 2**30:.1f}",
                     f"{one['largest_allocation'] / 2**30:.1f}", one["kernels"], seconds]
            rows.append("| " + " | ".join(map(str, cells)) + " |")
    path = os.path.join(ROOT, "docs", "cuda.md")
    with open(path) as file:
        head, rest = file.read().split(MARKS[0])
    with open(path, "w") as file:
        file.write(head + MARKS[0] + "\n".join(rows) + "\n" + MARKS[1] + rest.split(MARKS[1])[1])


def table_of(figures):
    def mebibytes(value):
        return f"{value / 2**20:.0f}"
    rows = ["| network | launches a step | late waits | CubeCL's, to free | held | over | copies of layout | up MiB | launches a window | peak MiB | largest MiB | kernels "
            "| NVRTC s | ptxas s |", "|" + "---|" * 14]
    for name, one in figures.items():
        cells = [name, one["launches"], one["late_waits"], one["freeing_waits"], one["holding_waits"], one["settled_waits"], one["layout_copies"], mebibytes(one["uploaded_bytes"]),
                 one["window_launches"], mebibytes(one["peak_bytes"]), mebibytes(one["largest_allocation"]), one["kernels"],
                 one["nvrtc_seconds"], one["ptxas_seconds"]]
        rows.append("| " + " | ".join("-" if cell is None else str(cell) for cell in cells) + " |")
    return "\n".join(rows)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("binary")
    parser.add_argument("--short", action="store_true", help="small networks")
    parser.add_argument("--networks", default=",".join(BATCH))
    parser.add_argument("--precisions", default="f32,bf16")
    parser.add_argument("--kernels", choices=("own", "cubecl"), default="own")
    parser.add_argument("--architecture", type=int, default=90)
    parser.add_argument("--memory-mib", type=int, help="of the card, otherwise than the architecture's")
    parser.add_argument("--kept", action="store_true", help="take the records of the last run where they are there")
    parser.add_argument("--start-up", action="store_true", help="no counts: seconds to the first step with NVRTC, with and without kept kernels")
    parser.add_argument("--count-only", action="store_true", help="compile nothing")
    parser.add_argument("--bless", action="store_true", help="write the figures, if none got worse")
    parser.add_argument("--seconds", type=float, default=4500)
    parser.add_argument("--jobs", type=int, default=2)
    options = parser.parse_args()
    options.binary = os.path.abspath(options.binary)
    return Run(options).run()


if __name__ == "__main__":
    sys.exit(main())
