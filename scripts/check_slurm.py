#!/usr/bin/env python3
"""A study under a real Slurm of this machine (scripts/slurm): it goes through by job arrays, and gives the table of
the local run to the byte, undisturbed and disturbed.

    scripts/check_slurm.py [--keep DIR] target/debug/gliaflow

Runs of configs/slurm-demo.toml:

    local       without Slurm
    undisturbed every step a job; submitting again, meanwhile and afterwards, submits nothing
    disturbed   `scancel` in the midst of a training, then the same command again; a killed slurmd, whose job Slurm
                queues again; a warning by SIGUSR1, after which the job has itself queued again
    lost-node   a node that fails with everything on it, in the midst of a training
    time-limit  a time limit that is too short for a training

Needs Debian's slurm-wlm and munge. Exits with 1 and the reason if a promise does not hold.
"""

import argparse
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
STUDY = ROOT / "configs/slurm-demo.toml"
TABLES = ("table.md", "table.csv", "table.json")
STARTED = time.monotonic()


def say(text):
    print(f"{time.monotonic() - STARTED:6.1f} s  {text}", flush=True)


def run(*words, code=0):
    """Output of a command that ends with that code."""
    done = subprocess.run([str(word) for word in words], capture_output=True, text=True, check=False)
    if done.returncode != code:
        sys.exit(f"{' '.join(map(str, words))}: exit code {done.returncode}, not {code}: {done.stderr}{done.stdout}")
    return done.stdout


def until(what, is_so, seconds=120):
    """Value of `is_so` once it is true."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        value = is_so()
        if value:
            return value
        time.sleep(0.3)
    sys.exit(f"{what}: not within {seconds} s\n{run('squeue', '--states=all', '--array')}")


def expect(what, found, wanted):
    if found != wanted:
        sys.exit(f"{what}: {found}, not {wanted}")


class Study:
    """The study in a folder of its own."""

    def __init__(self, program, out, settings=()):
        self.program, self.out, self.trainings = program, out, []
        self.words = [program, "experiment", STUDY, "--out", out]
        for setting in settings:
            self.words += ["--set", setting]

    def submit(self):
        told = json.loads(run(*self.words, "--on", "slurm", "--metrics-addr", "127.0.0.1:0", "--json"))
        self.trainings += [str(array["job"]) for array in told["submitted"] if array["kind"] == "train"]
        say(f"{self.out.name}: {told['steps']} steps submitted in {len(told['submitted'])} arrays, "
            f"{told['queued']} queued, {told['done']} done")
        return told

    def status(self):
        return json.loads(run(*self.words, "--status", "--json"))

    def task_of(self, step):
        """Job of a step that is running, by Slurm's own word."""
        for status in self.status():
            job = status.get("slurm")
            if f"{status['kind']} {status['subject']}" == step and job and job["state"] == "RUNNING":
                return job["task"]
        return None

    def in_the_midst_of(self, step):
        """Job of a training once it has a checkpoint of this turn and goes on."""
        def task():
            folders = list((self.out / "train").glob(f"{step.split(' ', 1)[1].replace(' ', '-')}-*/checkpoints/*"))
            return self.task_of(step) if folders else None
        found = until(f"{step} in its midst", task)
        say(f"{self.out.name}: {step} is running as job {found}")
        return found

    def restarts(self):
        """How often each training was queued again."""
        tasks = run("squeue", "--states=all", "--noheader", "--array", f"--jobs={','.join(self.trainings)}", "--format=%i")
        found = [int(job_field(task, "Restarts")) for task in tasks.split()]
        say(f"{self.out.name}: restarts of the trainings: {found}")
        return found

    def finish(self):
        """Waits for the last job."""
        until(f"{self.out.name}: the end of all jobs", lambda: not run("squeue", "--noheader"), 400)

    def compare(self, local):
        for name in TABLES:
            own, theirs = self.out / name, local.out / name
            if own.read_bytes() != theirs.read_bytes():
                sys.exit(f"{own} differs from {theirs}")
        outcomes = sorted(path.relative_to(self.out) for path in self.out.glob("*/*/outcome.json"))
        expect("steps with an outcome", outcomes,
               sorted(path.relative_to(local.out) for path in local.out.glob("*/*/outcome.json")))
        for path in outcomes:
            if (self.out / path).read_bytes() != (local.out / path).read_bytes():
                sys.exit(f"{self.out / path} differs from {local.out / path}")
        say(f"{self.out.name}: tables and {len(outcomes)} outcomes are those of the local run, to the byte")


def job_field(task, field):
    for word in run("scontrol", "show", "job", task).split():
        if word.startswith(field + "="):
            return word.split("=", 1)[1]
    return None


def state(task):
    return job_field(task, "JobState")


def process_of(folder, node):
    return int((folder / f"node{node}.pid").read_text())


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
    """Has a node back, once Slurm has found out that it does not answer (`*`) or is down."""
    def is_missed():
        state = run("sinfo", "--noheader", "--Node", f"--nodes=node{node}", "--format=%T").strip()
        return state if state.startswith("down") or state.endswith("*") else None
    say(f"node{node} is {until(f'node{node} is missed', is_missed)}")
    run(ROOT / "scripts/slurm", "start-node", folder, node)


def check_undisturbed(program, place, local):
    study = Study(program, place / "undisturbed")
    first = study.submit()
    widths = [len(array["steps"]) for array in first["submitted"]]
    if max(widths) < 2:
        sys.exit(f"no array has two steps: {first['submitted']}")
    again = study.submit()
    expect("steps submitted twice", again["steps"], 0)
    expect("steps of the study", again["done"] + again["queued"], first["steps"])
    until("a step that Slurm runs in --status", lambda: any(
        status["slurm"] and status["slurm"]["state"] == "RUNNING" and status["slurm"]["node"] for status in study.status()))
    study.finish()
    study.compare(local)
    expect("steps submitted afterwards", study.submit()["steps"], 0)
    expect("states", {status["state"] for status in study.status()}, {"done"})


def check_disturbed(program, place, local, folder):
    # Slow enough that a job goes on when Slurm finds out, after half a minute, that its node does not answer.
    study = Study(program, place / "disturbed", ["base.drill.slow_step_ms=400"])
    everything = study.submit()["steps"]
    task = study.in_the_midst_of("train narrow seed 0")
    run("scancel", task)
    until("the end of a cancelled job", lambda: state(task) == "CANCELLED")
    # At once: Slurm may not have cancelled yet what waits for it in vain.
    submitted = study.submit()["steps"]
    if not 0 < submitted < everything:
        sys.exit(f"{submitted} of {everything} steps were submitted after scancel")

    task = study.in_the_midst_of("train narrow seed 0")
    os.kill(process_of(folder, 2), signal.SIGKILL)
    say("slurmd of node2 is killed, its job's processes are not")
    until("the job that is queued again", lambda: (job_field(task, "Restarts") or "0") != "0" or state(task) == "PENDING")
    await_node(folder, 2)

    task = study.in_the_midst_of("train control seed 0")
    run("scancel", "--batch", "--signal=USR1", task)
    until("the job that had itself queued again", lambda: (job_field(task, "Restarts") or "0") != "0")
    say(f"job {task} was told to stop and is queued again")
    study.finish()
    study.compare(local)


def check_lost_node(program, place, local, folder):
    study = Study(program, place / "lost-node")
    study.submit()
    task = study.in_the_midst_of("train wide seed 0")
    for number in [process_of(folder, 2)] + processes_of_job(folder, task):
        try:
            os.kill(number, signal.SIGKILL)
        except ProcessLookupError:
            pass
    say(f"node2 is lost with everything on it, job {task} among it")
    await_node(folder, 2)
    study.finish()
    study.restarts()
    study.compare(local)


def check_time_limit(program, place, local):
    # Later options count. Slurm looks at the clock every half minute, so a training has to take longer than that.
    limits = 'slurm.steps.train.options=["--time=1","--signal=B:USR1@30"]'
    study = Study(program, place / "time-limit", [limits, "base.drill.slow_step_ms=400"])
    study.submit()
    study.finish()
    if max(study.restarts()) < 1:
        sys.exit("no training was stopped and queued again ahead of its time limit")
    study.compare(local)


def processes_of_job(folder, task):
    """Processes of a job of this cluster, its slurmstepd first."""
    number = job_field(task, "JobId")
    for path in pathlib.Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if not path.read_bytes().startswith(f"slurmstepd: [{number}.".encode()):
                continue
            own = int(path.parent.name)
            below = processes_below(own)
            conf = f"SLURM_CONF={folder}/slurm.conf".encode()
            if any(conf in pathlib.Path(f"/proc/{child}/environ").read_bytes().split(b"\0") for child in below):
                return [own] + below
        except OSError:
            continue
    sys.exit(f"job {task} has no processes")


def main():
    checks = {
        "undisturbed": lambda: check_undisturbed(program, place, local),
        "disturbed": lambda: check_disturbed(program, place, local, folder),
        "lost-node": lambda: check_lost_node(program, place, local, folder),
        "time-limit": lambda: check_time_limit(program, place, local),
    }
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--keep", type=pathlib.Path, metavar="DIR", help="leave studies and logs in this folder")
    parser.add_argument("--only", choices=checks, action="append", help="the local run, and this one; may be given again")
    parser.add_argument("program", type=pathlib.Path)
    options = parser.parse_args()
    program = options.program.resolve()
    place = options.keep.resolve() if options.keep else pathlib.Path(tempfile.mkdtemp(prefix="gliaflow-slurm-"))
    place.mkdir(parents=True, exist_ok=True)
    folder = place / "cluster"
    os.environ["SLURM_CONF"] = str(folder / "slurm.conf")
    local = Study(program, place / "local")
    run(*local.words, "--metrics-addr", "off")
    say("local: done")
    run(ROOT / "scripts/slurm", "start", folder)
    say("Slurm is up: " + run("sinfo", "--version").strip())
    try:
        for name in options.only or checks:
            checks[name]()
    finally:
        run(ROOT / "scripts/slurm", "stop", folder)
    if not options.keep:
        shutil.rmtree(place)
    say("done")


if __name__ == "__main__":
    main()
