"""One check: stages under limits and a budget, table and archive rewritten after each."""

import os
import shutil
import subprocess
import time
import traceback

from gpu_check import archive, machine, processes
from gpu_check.processes import Crashed, CutOff, Worker
from gpu_check.stages import STAGES, Skipped
from gpu_check.table import table
from gpu_check.tuning import tuning_table

# CubeCL reads it in the folder that a process runs in or above it: what every candidate took.
CUBECL_SETTINGS = """[autotune.logger]
level = "full"
file = "{logs}/autotune.log"

[autotune.decisions]
file = "{logs}/decisions.jsonl"
"""

# The last seconds of the budget are for writing.
RESERVE = 6

NEW, DONE, CUT_OFF, FAILED, SKIPPED = "not begun", "done", "CUT OFF", "FAILED", "skipped"


class Stage:
    """A stage, and what has become of it."""

    def __init__(self, key, title, limit, work):
        self.key, self.title, self.limit, self.work = key, title, limit, work
        self.state, self.seconds, self.note = NEW, None, ""


class Check:
    """Everything that stages share."""

    # How `finish` begins the word on a child that it had to kill.
    LATE = "killed at the limit"

    def __init__(self, options, plan, now=time.monotonic):
        self.now, self.begun = now, now()
        self.plan, self.out = plan, options.out
        self.ends = self.begun + options.seconds - RESERVE
        self.deadline = self.ends
        self.scripts, self.python = options.scripts, options.python
        self.root = options.work
        for folder in (self.out, self.work(), self.work("logs")):
            os.makedirs(folder, exist_ok=True)
        self.found = {
            "command": options.command,
            "machine": machine.described(),
            "steps": [],
            "convolutions": [],
            "layers": [],
            "kernels": [],
        }
        self.own_environment = dict(os.environ)
        self.cuda_folders = []
        self.environment = self.with_kernels(options.kernels, self.with_cuda(options.carried))
        self.binary = machine.unpacked(options.binary, self.root)
        self.worker_log = self.logs("sequence.log")
        words = [self.binary, "sequence", "--log", "info"]
        # A folder of its own: its settings write down what is tuned, and nobody else should.
        folder = self.work("sequence")
        os.makedirs(folder, exist_ok=True)
        with open(os.path.join(folder, "cubecl.toml"), "w") as file:
            file.write(CUBECL_SETTINGS.format(logs=self.work("logs")))
        self.worker = Worker(words, self.worker_log, self.environment, folder)
        self.background = []
        # Importing it takes half a minute on a cold disk.
        self.torch = self.begin("torch", [self.python, "-c", machine.TORCH], self.own_environment)
        self.phantoms = None
        self.stages = [Stage(*one) for one in STAGES if not options.only or one[0] in options.only]

    def with_cuda(self, carried):
        if self.plan.device != "cuda":
            return self.own_environment
        found = self.cuda_folders = machine.candidates(self.python, self.own_environment)
        folder = self.work("cuda")
        carried = machine.unpack_carried(carried, self.work("headers"))
        made_of = machine.compose(folder, found, carried)
        self.found["machine"]["CUDA folders"] = ", ".join(found) or "none"
        with open(self.logs("cuda-folders.txt"), "w") as file:
            file.write(machine.listing(found))
        parts = ", ".join(f"{name} of {place}" for name, place in made_of.items())
        self.found["machine"]["CUDA used"] = parts or "none"
        return machine.environment_with(folder, self.own_environment)

    def with_kernels(self, packed, environment):
        """Kernels that the package carries take the place of the user's, so that the table says how many were missing."""
        self.cache = None
        if self.plan.device != "cuda" or not os.path.isfile(packed):
            return environment
        cache = machine.unpack_carried(packed, self.work("user-cache"))
        versions = ", ".join(machine.kernel_versions(cache)) or "no NVRTC"
        self.found["machine"]["kernels carried"] = f"{machine.kept_kernels(cache)}, for {versions}"
        self.cache = cache
        return {**environment, "XDG_CACHE_HOME": self.cache}

    def work(self, *names):
        """A path in the folder that nobody needs afterwards."""
        return os.path.join(self.root, *names)

    def logs(self, *names):
        """A path in what the archive holds."""
        return self.work("logs", *names)

    def left(self, most=None):
        """Seconds that the present stage may still take, `most` at most."""
        left = self.deadline - self.now()
        return left if most is None else min(left, most)

    def begin(self, name, words, environment=None):
        """Starts a child beside others; its document goes to NAME.json, all else to NAME.log."""
        environment = environment or self.environment
        with open(self.logs(f"{name}.json"), "wb") as file:
            log = self.logs(f"{name}.log")
            with open(log, "wb"):
                pass  # Of an earlier check in the same folder.
            child = processes.start(words, log, environment, self.root, stdout=file)
        self.background.append(child)
        return child

    def finish(self, name, child):
        """Waits for it within the stage's time; what went wrong, or nothing."""
        try:
            child.wait(timeout=max(self.left(), 0.1))
        except subprocess.TimeoutExpired:
            processes.end(child)
            return f"{self.LATE}; last said: {processes.last_line(self.logs(f'{name}.log'))}"
        if child.returncode == 0:
            return None
        return f"{processes.ending(child.returncode)}: {processes.last_line(self.logs(f'{name}.log'))}"

    def has_torch(self):
        """Whether this Python has torch; the table says which."""
        problem = self.finish("torch", self.torch)
        with open(self.logs("torch.json")) as file:
            self.found["machine"]["torch"] = "none" if problem else file.read().strip()
        return problem is None

    def make_phantoms(self):
        """Begins with the cases of stage f, on cores that nothing else uses."""
        words = [self.binary, "phantom", "--out", self.work("data"), "--cases", self.plan.cases]
        words += ["--shape", self.plan.shape, "--metrics-addr", "off", "--json"]
        self.phantoms = self.begin("phantom", words)

    def phantoms_made(self):
        if self.phantoms is None:
            self.make_phantoms()
        problem = self.finish("phantom", self.phantoms)
        if problem:
            raise Crashed(f"phantom: {problem}")

    def watch_gpu(self):
        """Notes the GPU's activity once a second; what comes back ends that and gives the mean."""
        log = self.logs("dmon.log")
        if self.plan.device != "cuda" or shutil.which("nvidia-smi") is None:
            return lambda: "no nvidia-smi"
        words = ["nvidia-smi", "dmon", "-s", "u", "-d", "1"]
        child = processes.start(words, log)
        self.background.append(child)

        def mean():
            processes.end(child)
            return activity(log)

        return mean

    def run(self, say=print):
        """All stages; whether all of them did what they should."""
        try:
            for stage in self.stages:
                self.write()
                say(f"gpu-check: {stage.key}, {stage.title}")
                self.attempt(stage)
                say(f"gpu-check: {stage.key} {stage.state}, {stage.seconds or 0:.0f} s: {stage.note}")
        finally:
            self.close()
            self.write()
        return all(stage.state in (DONE, SKIPPED) for stage in self.stages)

    def attempt(self, stage):
        begun = self.now()
        self.deadline = min(begun + stage.limit, self.ends)
        if self.deadline - begun < 1:
            stage.note = "no time was left"
            return
        with open(self.work("stage"), "w") as file:
            file.write(stage.key)
        kept = machine.kept_kernels(self.cache) if self.cache else 0
        try:
            stage.note, stage.state = stage.work(self), DONE
        except Skipped as reason:
            stage.note, stage.state = str(reason), SKIPPED
        except CutOff as cut:
            stage.note, stage.state = str(cut), CUT_OFF
        except Crashed as failure:
            stage.note, stage.state = str(failure), FAILED
        # A stage costs only itself, also where the mistake is in this script.
        except Exception as error:
            stage.note, stage.state = f"gpu-check itself: {error!r}", FAILED
            with open(self.logs("gpu-check.log"), "a") as file:
                traceback.print_exc(file=file)
        stage.seconds = self.now() - begun
        if self.cache:
            stage.note += f"; kernels not carried: {machine.kept_kernels(self.cache) - kept}"

    def close(self):
        """Ends everything that was started."""
        self.worker.close()
        for child in self.background:
            if child.poll() is None:
                processes.end(child)

    def write(self):
        """Table and archive as of now."""
        text = table(self.found, self.stages).encode()
        archive.write_atomically(os.path.join(self.out, "table.md"), text)
        archive.write_atomically(self.logs("table.md"), text)
        tuning = tuning_table(self.logs("decisions.jsonl"))
        if tuning:
            archive.write_atomically(self.logs("tuning.md"), tuning.encode())
        archive.write(self.logs(), os.path.join(self.out, "gpu-check.tar.gz"))


def activity(log):
    """The mean of the column `sm` that `nvidia-smi dmon` writes, its first and last seconds aside."""
    shares = []
    try:
        with open(log, errors="replace") as file:
            for line in file:
                cells = line.split()
                if len(cells) > 1 and not line.startswith("#") and cells[1].isdigit():
                    shares.append(int(cells[1]))
    except OSError:
        pass
    inner = shares[1:-1] or shares
    if not inner:
        return "nvidia-smi dmon told nothing"
    return f"SM busy {sum(inner) / len(inner):.0f} % of the time by nvidia-smi dmon"
