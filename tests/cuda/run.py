#!/usr/bin/env python3
"""Runs the CUDA path on the CPU: kernels by the emulator, behind the stand-in for a driver.

  tests/cuda/run.py BINARY [--kernels own|cubecl|auto] [--strict] [--short] [--seeds 0,1,2] [--check] [--seconds S]

BINARY is a gliaflow built with --features cuda. First `check-device --tiles`: each operation at sizes of more than one
tile, compared with the CPU, in each schedule. CubeCL's kernels are tuned first on the driver that computes nothing, and
then run in rounds, until each candidate of each operation has been its fastest, schedules by turns. Then small
networks are trained for some steps on the same batch on both devices, and their losses compared, step by step.
--check looks at each access of each kernel as well (bounds and races), and is slower. Libraries of kernels are kept under
target/cuda-emulator by hash, so that a second run compiles only what is new. Ends with 1 if anything differs.
"""

import argparse
import concurrent.futures
import json
import os
import re
import shutil
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.dont_write_bytecode = True
sys.path[:0] = [HERE, os.path.join(HERE, "emulator")]

from emulator import Emulator  # noqa: E402
from record import Record  # noqa: E402
from tuned import TunedOperations  # noqa: E402

# Kernels that measure the card ahead of all tuning, or make room and operands for a measurement.
PROBE = re.compile("_throughput|^prime_buffer|^launch_overhead|^unary_numeric|^copy_kernel")
# Operations that are tuned in a round, at most: sums that one candidate alone is made of.
TUNED_LATE = 2
# Kernels that the tuning alone runs, at most: one of partial sums that are asked for before they are tuned themselves.
TUNING_ALONE = 1
# One sample of each candidate: the stand-in's clock is always right. And all candidates: a tuner is content with the first that
# is as fast as it has measured the card to be.
TUNING = "[autotune]\ndisable_short_circuit = true\n[autotune.bench]\nmin_samples = 1\nmax_samples = 1\nshort_circuit_samples = 1\n"
# Extent of a patch, steps, and settings.
NETWORKS = {
    "unet": (16, 10, ["base_width=4", "levels=2"]),
    "resunet_vae": (16, 10, ["base_width=4", "groups=2", "encoder_units=[1,1]"]),
    "cascaded": (16, 1, ["base_width=2", "levels=2"]),
}
# Launches a step of own kernels: each convolution once forward, once for its input's gradient (not of images) and once for its
# kernel's, each norm once each way.
OWN_PASSES = {
    "unet": {"correlate": 13, "kernel_gradient": 7, "norm_apply": 12},
    "resunet_vae": {"correlate": 31, "kernel_gradient": 16, "norm_apply": 20},
    "cascaded": {"correlate": 63, "kernel_gradient": 33, "norm_apply": 36},
}
# For kernels = "auto": channels in and out, and side.
CONVOLUTION = "4:4:4"
# Relative differences of a step's loss from the CPU's in f32: TF32 has 10 bits, bf16 has 8.
TOLERANCE = {"f32": 2e-3, "bf16": 3e-2}


def tell(text):
    print(f"cuda-run: {text}", flush=True)


class Run:
    def __init__(self, options):
        self.options, self.wrong = options, []
        self.begun = time.monotonic()
        target = os.environ.get("CARGO_TARGET_DIR", os.path.join(ROOT, "target"))
        self.folder = os.path.abspath(os.path.join(target, "cuda-run"))
        self.sources, self.standin = os.path.join(self.folder, "sources"), os.path.join(self.folder, "standin")
        self.packages = os.path.join(self.folder, "packages")
        os.makedirs(self.sources, exist_ok=True)
        with open(os.path.join(self.folder, "cubecl.toml"), "w") as file:
            file.write(TUNING)
        subprocess.run([os.path.join(HERE, "standin", "build"), self.standin], check=True)
        subprocess.run([os.path.join(HERE, "toolkit"), "--headers"], check=True)
        self.emulator = Emulator()
        self.translated = os.path.join(self.emulator.folder, "checked" if options.check else "fast")
        os.makedirs(self.translated, exist_ok=True)

    def problem(self, text):
        tell(f"WRONG: {text}")
        self.wrong.append(text)

    def left(self):
        return self.options.seconds - (time.monotonic() - self.begun)

    def environment(self, seed, folder=None):
        """For kernels that the CPU runs; `folder` has the record and the cache."""
        # The stand-in's own headers are empty.
        translate = f"CUDA_PATH={os.path.dirname(self.emulator.headers)} {sys.executable} {os.path.join(HERE, 'emulator', 'compile')}" + ("" if self.options.check else " --fast")
        return {**self.idle_environment(folder or self.folder), "STANDIN_TRANSLATE": translate, "STANDIN_TRANSLATED": self.translated,
                "STANDIN_EMULATOR": self.emulator.library, "STANDIN_SEED": str(seed), "STANDIN_CHECK": "1" if self.options.check else "0"}

    def idle_environment(self, folder):
        """For kernels that are launched and compute nothing, on the same device by its name."""
        return {**{name: value for name, value in os.environ.items() if not name.startswith("STANDIN_")},
                "CUDA_PATH": self.standin, "LD_LIBRARY_PATH": os.path.join(self.standin, "lib64"), "STANDIN_NAME": "stand-in",
                "STANDIN_ARCHITECTURE": str(self.options.architecture), "STANDIN_SOURCES": self.sources,
                "STANDIN_RECORD": os.path.join(folder, "record"), "XDG_CACHE_HOME": os.path.join(folder, "cache")}

    def call(self, words, environment, name, with_kept=False):
        # Each run asks for all of its kernels: what a record says of them is the stand-in's.
        if not with_kept:
            shutil.rmtree(os.path.join(self.folder, "cache"), ignore_errors=True)
        try:
            return subprocess.run([self.options.binary, *words, "--json"], env=environment, cwd=self.folder, capture_output=True,
                                  text=True, timeout=max(1.0, self.left()))
        except subprocess.TimeoutExpired:
            self.problem(f"{name}: the time did not suffice")
            return None

    def check_words(self):
        size = "--tiny" if self.options.small_operations else "--tiles"
        return ["check-device", "--device", "cuda", "--kernels", self.options.kernels, size, *(["--strict"] if self.options.strict else [])]

    def operations(self, name, environment, with_kept=False):
        """The record of a comparison of all operations with the CPU."""
        begun = time.monotonic()
        done = self.call(self.check_words(), environment, name, with_kept)
        if done is None:
            return None
        record = Record(environment["STANDIN_RECORD"])
        for text in record.wrong:
            self.problem(f"{name}: {text}")
        differing = re.findall(r"^.*DIFFERS$", done.stderr, re.M)
        for line in differing:
            self.problem(f"{name}: {line}")
        if done.returncode and not differing:
            self.problem(f"{name}: exit {done.returncode}: {done.stderr[-1500:]}")
        agreeing = len(re.findall(r"agrees", done.stderr))
        launched = sum(letter == "l" for letter, _ in record.events)
        tell(f"{name}: {agreeing} operations agree, {len(record.sources())} kernels, {launched} launches, {time.monotonic() - begun:.0f} s")
        if self.options.show:
            print(done.stderr, flush=True)
        return record

    def candidates(self):
        """CubeCL's operations, tuned on a driver that computes nothing, then run by each candidate of the tuner."""
        name, begun, idle = "tuning", time.monotonic(), self.idle_environment(self.folder)
        done = self.call(self.check_words(), idle, name)
        if done is None:
            return
        # Nothing was computed, and it says so.
        if done.returncode != 4:
            self.problem(f"{name}: exit {done.returncode}: {done.stderr[-1500:]}")
        record, tuned = Record(idle["STANDIN_RECORD"]), TunedOperations(idle["XDG_CACHE_HOME"], self.packages)
        tell(f"{name}: {len(tuned.operations)} operations, {sum(tuned.candidates().values())} candidates of {len(tuned.candidates())} names, "
             f"{len(record.sources())} kernels, {time.monotonic() - begun:.0f} s")
        if tuned.rounds() < 2:
            self.problem(f"{name}: {tuned.rounds()} candidates of an operation at most")
        rounds = range(tuned.rounds())[: self.options.rounds]
        with concurrent.futures.ThreadPoolExecutor(self.options.jobs) as pool:
            ran = set().union(*pool.map(lambda number: self.round(tuned, number), rounds))
        left = {name for source, name in record.kernels.values() if source not in ran and not PROBE.search(name)}
        tell(f"{len(rounds)} rounds: {len(ran)} kernels, {time.monotonic() - begun:.0f} s; in the tuning alone: {sorted(left)[:5]}")
        if len(left) > TUNING_ALONE and len(rounds) == tuned.rounds():
            self.problem(f"{len(left)} kernels that were tuned did not run: {sorted(left)}")

    def round(self, tuned, number):
        """The sources of the kernels that ran."""
        folder, seed = os.path.join(self.folder, f"round-{number}"), self.options.seeds[number % len(self.options.seeds)]
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(tuned.cache, os.path.join(folder, "cache"))
        tuned.write_round(number, os.path.join(folder, "cache"))
        name = f"round {number}, schedule {seed}"
        record = self.operations(name, self.environment(seed, folder), with_kept=True)
        if record is None:
            return set()
        # What one candidate alone asks for is tuned then.
        more = TunedOperations(os.path.join(folder, "cache"), self.packages).names() - tuned.names()
        if len(more) > TUNED_LATE:
            self.problem(f"{name}: {len(more)} operations were tuned anew")
        return record.sources()

    def winners(self):
        """`kernels = "auto"`: one process times both kernels of each pass and keeps the faster; later ones take what is kept,
        whichever it says."""
        begun, timed = time.monotonic(), None
        for expected in ("", "own", "cubecl"):
            name = f"auto, {expected or 'nothing'} kept"
            for path, document in (timed or {}).items():
                with open(path, "w") as file:
                    json.dump({**document, "winner": expected}, file)
            words = ["bench-convolution", "--device", "cuda", "--kernels", "auto", "--repeats", "1", CONVOLUTION]
            done = self.call(words, self.environment(self.options.seeds[0]), name, with_kept=bool(expected))
            if done is None:
                return
            record = Record(os.path.join(self.folder, "record"))
            for text in [*record.wrong, *([f"exit {done.returncode}: {done.stderr[-1500:]}"] if done.returncode else [])]:
                self.problem(f"{name}: {text}")
            kept = self.kept_winners()
            own = record.launched("correlate") + record.launched("kernel_gradient")
            tell(f"{name}: {len(kept)} winners, {own} launches of own convolutions, {time.monotonic() - begun:.0f} s")
            timed = timed or kept
            # Forward and both gradients.
            if len(kept) != 3 or {one["winner"] for one in kept.values()} != ({expected} if expected else {one["winner"] for one in timed.values()}):
                self.problem(f"{name}: {kept} is kept")
            if expected and (own > 0) != (expected == "own"):
                self.problem(f"{name}: {own} launches of own convolutions")

    def kept_winners(self):
        kept = {}
        for folder, _, files in os.walk(os.path.join(self.folder, "cache", "gliaflow", "cuda", "winners")):
            for name in files:
                with open(os.path.join(folder, name)) as file:
                    kept[os.path.join(folder, name)] = json.load(file)
        return kept

    def training(self, network, precision):
        side, steps, settings = NETWORKS[network]
        steps = min(steps, 5) if self.options.short else steps
        words = ["bench-step", "--model", network, "--precision", precision, "--patch", str(side), "--batch", "1", "--warmup", "0",
                 "--steps", str(max(1, steps - 1)), "--set", "model.settings={" + ",".join(settings) + "}", "--set", f"kernels={self.options.kernels}"]
        name, begun = f"{network} in {precision}", time.monotonic()
        exact = self.call([part if part != precision else "f32" for part in words] + ["--device", "cpu"], dict(os.environ), name)
        done = self.call([*words, "--device", "cuda"], self.environment(self.options.seeds[0]), name)
        if done is None or exact is None:
            return
        record = Record(os.path.join(self.folder, "record"))
        for text in record.wrong:
            self.problem(f"{name}: {text}")
        for one in (done, exact):
            if one.returncode:
                self.problem(f"{name}: exit {one.returncode}: {one.stderr[-1500:]}")
                return
        losses, expected = json.loads(done.stdout)["losses"], json.loads(exact.stdout)["losses"]
        if len(losses) != len(expected):
            self.problem(f"{name}: {len(losses)} losses, {len(expected)} on the CPU")
            return
        # Images go over in f16, four modalities; the first step is not under the clock.
        self.check_step(network, name, *record.launches_of_step(4 * 2 * side**3, len(losses) - 1))
        differences = [abs(one - other) / abs(other) for one, other in zip(losses, expected)]
        tell(f"{name}: {len(losses)} steps, loss {losses[0]:.4f} to {losses[-1]:.4f} (CPU: {expected[-1]:.4f}), differences at most "
             f"{max(differences):.1e}, {time.monotonic() - begun:.0f} s")
        if not max(differences) <= TOLERANCE[precision]:
            self.problem(f"{name}: losses differ by {max(differences):.1e}, more than {TOLERANCE[precision]:.0e}: {losses} {expected}")

    def checkpointing(self, network, precision):
        """Gradient checkpointing: more launches, and the losses of a training without it, to the bit."""
        side, _, settings = NETWORKS[network]
        words = ["bench-step", "--model", network, "--precision", precision, "--patch", str(side), "--batch", "1", "--warmup", "0", "--steps", "2",
                 "--set", "model.settings={" + ",".join(settings) + "}", "--device", "cuda"]
        name, losses, launches = f"{network} in {precision}, gradient checkpointing", [], []
        for is_on in ("false", "true"):
            done = self.call([*words, "--set", f"train.gradient_checkpointing={is_on}"], self.environment(self.options.seeds[0]), name)
            if done is None or done.returncode:
                self.problem(f"{name}: {done.stderr[-1500:] if done else 'no answer'}")
                return
            losses.append(json.loads(done.stdout)["losses"])
            launches.append(sum(Record(os.path.join(self.folder, "record")).launches_of_step(4 * 2 * side**3, 2)[0].values()))
        tell(f"{name}: {launches[1]} launches a step, {launches[0]} without it; losses {losses[1]}")
        if losses[0] != losses[1] or launches[1] <= launches[0]:
            self.problem(f"{name}: losses {losses}, launches {launches}")

    def check_step(self, network, name, launches, measurements):
        """A step behind all tuning: with own kernels, each of their passes and none of CubeCL's convolutions."""
        passes = {kernel: launches[kernel] for kernel in OWN_PASSES[network]}
        tell(f"{name}: {sum(launches.values())} launches a step, of them {passes}")
        if measurements:
            self.problem(f"{name}: kernels were timed in the step whose launches are counted")
        # In few steps, uploads do not yet lie between the same launches.
        if self.options.kernels == "own" and not self.options.short and passes != OWN_PASSES[network]:
            self.problem(f"{name}: it takes {OWN_PASSES[network]}")
        strange = [kernel for kernel in launches if "conv" in kernel.replace("convert", "") and self.options.kernels == "own"]
        if strange:
            self.problem(f"{name}: CubeCL's {strange} were launched")

    def run(self):
        if self.options.kernels == "cubecl" and self.options.has_operations:
            self.candidates()
        elif self.options.kernels == "own" and self.options.has_operations:
            for seed in self.options.seeds:
                self.operations(f"schedule {seed}", self.environment(seed))
        for network in self.options.networks if not self.options.strict else []:
            for precision in ("f32", "bf16"):
                self.training(network, precision)
        if "unet" in self.options.networks and not self.options.strict and not self.options.short:
            self.checkpointing("unet", "bf16")
        if self.options.kernels == "auto":
            self.winners()
        tell(f"{time.monotonic() - self.begun:.0f} s in all")
        for text in self.wrong:
            print(f"cuda-run: WRONG: {text}", file=sys.stderr)
        return 1 if self.wrong else 0


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("binary")
    parser.add_argument("--short", action="store_true", help="one schedule, five steps")
    parser.add_argument("--seeds", default="0,1,2", help="schedules of the emulator")
    parser.add_argument("--rounds", type=int, help="of CubeCL's candidates, at most")
    parser.add_argument("--jobs", type=int, default=2, help="rounds at once")
    parser.add_argument("--no-operations", dest="has_operations", action="store_false", help="training alone")
    parser.add_argument("--networks", default=",".join(NETWORKS))
    parser.add_argument("--small-operations", action="store_true", help="check-device --tiny in place of --tiles")
    parser.add_argument("--kernels", choices=("own", "cubecl", "auto"), default="own")
    parser.add_argument("--strict", action="store_true", help="convolutions that multiply in f32: operations alone")
    parser.add_argument("--architecture", type=int, default=90)
    parser.add_argument("--check", action="store_true", help="bounds and races")
    parser.add_argument("--show", action="store_true", help="all that check-device says")
    parser.add_argument("--seconds", type=float, default=4500)
    options = parser.parse_args()
    options.binary = os.path.abspath(options.binary)
    options.seeds = [int(seed) for seed in options.seeds.split(",")][: 1 if options.short else None]
    options.rounds = 2 if options.short and options.rounds is None else options.rounds
    options.networks = [one for one in options.networks.split(",") if one and options.kernels != "auto"]
    return Run(options).run()


if __name__ == "__main__":
    sys.exit(main())
