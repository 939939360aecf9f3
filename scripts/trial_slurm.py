"""The Slurm of scripts/slurm for its check: jobs, nodes and processes; waiting for what Slurm finds out; stopping it."""

import contextlib
import os
import pathlib
import signal
import subprocess
import sys
import time

SCRIPT = pathlib.Path(__file__).resolve().parent / "slurm"
STARTED = time.monotonic()

# Seconds after which nothing is waited for any more. Not a measure of anything: machines differ.
PATIENCE = 1800

# States in which a job of these runs never ends.
FAILED = ("BOOT_FAIL", "DEADLINE", "FAILED", "OUT_OF_MEMORY", "TIMEOUT")


def say(text):
    print(f"{time.monotonic() - STARTED:6.1f} s  {text}", flush=True)


class Signals:
    """Signals that end a process end this one by an exit, so that Slurm is stopped on the way out."""

    NUMBERS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

    def __init__(self):
        self.is_held, self.came = False, None
        for number in self.NUMBERS:
            signal.signal(number, self.handle)

    def handle(self, number, _frame):
        self.came = self.came or number
        if not self.is_held:
            self.leave()

    def leave(self):
        self.is_held = True
        sys.exit(f"stopped by {signal.Signals(self.came).name}")

    @contextlib.contextmanager
    def held(self):
        """Signals that come meanwhile are obeyed afterwards: a start that is torn has daemons that nobody knows."""
        self.is_held = True
        yield
        self.is_held = False
        if self.came:
            self.leave()


def run(*words, code=0, **options):
    """Output of a command that ends with that code."""
    done = subprocess.run([str(word) for word in words], capture_output=True, text=True, check=False, **options)
    if done.returncode != code:
        sys.exit(f"{' '.join(map(str, words))}: exit code {done.returncode}, not {code}: {done.stderr}{done.stdout}")
    return done.stdout


def slurm(verb, folder, *words):
    """`scripts/slurm`, out of reach of the terminal's Ctrl-C."""
    return run(SCRIPT, verb, folder, *words, start_new_session=True)


def jobs():
    """Task, state and reason of every job that Slurm remembers."""
    listed = run("squeue", "--states=all", "--noheader", "--array", "--format=%i|%T|%r")
    return [line.split("|", 2) for line in listed.splitlines()]


def until(what, is_so):
    """Value of `is_so` once it is true; exits as soon as a job has failed or Slurm holds it."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        value = is_so()
        if value:
            return value
        for task, job_state, reason in jobs():
            if job_state in FAILED or "held" in reason.lower():
                sys.exit(f"{what}: job {task} is {job_state}, {reason}\n{run('squeue', '--states=all', '--array')}")
        time.sleep(1)
    sys.exit(f"{what}: not within {PATIENCE} s\n{run('squeue', '--states=all', '--array')}")


def expect(what, found, wanted):
    if found != wanted:
        sys.exit(f"{what}: {found}, not {wanted}")


def is_newer(path, seconds):
    """True if it is there and was written after that time; checkpoints come and go."""
    try:
        return path.stat().st_mtime > seconds
    except FileNotFoundError:
        return False


def job_field(task, field):
    for word in run("scontrol", "show", "job", task).split():
        if word.startswith(field + "="):
            return word.split("=", 1)[1]
    return None


def state(task):
    return job_field(task, "JobState")


def process_of(folder, daemon):
    return int((folder / f"{daemon}.pid").read_text())


def processes_below(number):
    """Process ids of everything that descends from a process."""
    parents = {}
    for path in pathlib.Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rsplit(")", 1)[1].split()
        except OSError:
            continue
        parents.setdefault(int(fields[1]), []).append(int(path.parent.name))
    found, left = [], [number]
    while left:
        own = left.pop()
        children = parents.get(own, [])
        found += children
        left += children
    return found


def await_node(folder, node):
    """Has a node back, once Slurm has found out that it is down."""
    def state_of_node():
        return run("sinfo", "--noheader", "--Node", f"--nodes=node{node}", "--format=%T").strip()
    until(f"node{node} is down", lambda: state_of_node().startswith("down"))
    say(f"node{node} is down")
    slurm("start-node", folder, node)


def restarts_of(task):
    return int(job_field(task, "Restarts"))


def await_requeue(task):
    """Waits until Slurm has queued a job again; exits if it ended before."""
    until(f"job {task} is queued again", lambda: restarts_of(task) > 0 or state(task) == "COMPLETED")
    if restarts_of(task) == 0:
        sys.exit(f"job {task} ended before Slurm queued it again: the training is too short for this machine")


def stop(folder):
    """Stops Slurm, and sees that nothing of it stays."""
    slurm("stop", folder)
    left = [number for number in processes_with(folder) if number not in own_line()]
    expect("processes of Slurm after its stop", left, [])


def own_line():
    """Process ids of this program and of those that it descends from."""
    number, found = os.getpid(), set()
    while number:
        found.add(number)
        number = int(pathlib.Path(f"/proc/{number}/stat").read_text().rsplit(")", 1)[1].split()[1])
    return found


def processes_with(folder):
    """Process ids of everything that has the configuration of this cluster in its environment."""
    conf, found = f"SLURM_CONF={folder}/slurm.conf".encode(), []
    for path in pathlib.Path("/proc").glob("[0-9]*/environ"):
        with contextlib.suppress(OSError):
            if conf in path.read_bytes().split(b"\0"):
                found.append(int(path.parent.name))
    return found


def processes_of_job(folder, task):
    """Process ids of a running job, its slurmstepd first; exits if there are none."""
    title = f"slurmstepd: [{job_field(task, 'JobId')}.".encode()
    for number in processes_with(folder):
        with contextlib.suppress(OSError):
            if pathlib.Path(f"/proc/{number}/cmdline").read_bytes().startswith(title):
                return [number] + processes_below(number)
    sys.exit(f"job {task} has no processes")
