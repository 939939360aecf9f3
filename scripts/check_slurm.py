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

At last, `scripts/slurm stop` has to end everything, though daemons of Slurm are killed while a job runs.

It waits for states and not for times: what may take long on a busy machine is awaited until a job has failed. Needs
Debian's slurm-wlm and munge. Exits with 1 and the reason if a promise does not hold; stops Slurm on SIGINT and SIGTERM.
"""

import argparse
import contextlib
import json
import os
import pathlib
import shutil
import signal
import sys
import tempfile
import time

from trial_slurm import (
    Signals,
    await_node,
    await_requeue,
    expect,
    is_newer,
    job_field,
    process_of,
    processes_of_job,
    restarts_of,
    run,
    say,
    slurm,
    state,
    stop,
    until,
)

ROOT = pathlib.Path(__file__).resolve().parent.parent
STUDY = ROOT / "configs/slurm-demo.toml"
TABLES = ("table.md", "table.csv", "table.json")

# Of a step of training: slow enough that a training goes on while Slurm finds out, which takes it half a minute or more.
SLOW = "base.drill.slow_step_ms=800"


class Study:
    """The study in a folder of its own."""

    def __init__(self, program, out, settings=()):
        self.program, self.out, self.trainings = program, out, []
        # Its own file: the jobs read it again and again.
        self.words = [program, "experiment", out.parent / STUDY.name, "--out", out]
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
            found = self.task_of(step)
            if not found:
                return None
            turn = time.mktime(time.strptime(job_field(found, "StartTime"), "%Y-%m-%dT%H:%M:%S"))
            folders = (self.out / "train").glob(f"{step.split(' ', 1)[1].replace(' ', '-')}-*/checkpoints/step-*")
            return found if any(is_newer(folder, turn + 1) for folder in folders) else None
        found = until(f"{step} in its midst", task)
        say(f"{self.out.name}: {step} is running as job {found}")
        return found

    def restarts(self):
        """How often each training was queued again."""
        tasks = run("squeue", "--states=all", "--noheader", "--array", f"--jobs={','.join(self.trainings)}", "--format=%i")
        found = [restarts_of(task) for task in tasks.split()]
        say(f"{self.out.name}: restarts of the trainings: {found}")
        return found

    def finish(self):
        """Waits for the last job."""
        until(f"{self.out.name}: the end of all jobs", lambda: not run("squeue", "--noheader"))
        missing = [f"{status['kind']} {status['subject']}" for status in self.status() if status["state"] != "done"]
        expect(f"{self.out.name}: steps that are not done", missing, [])

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
        job["state"] == "RUNNING" and job["node"] for job in (status.get("slurm") for status in study.status()) if job))
    study.finish()
    study.compare(local)
    expect("steps submitted afterwards", study.submit()["steps"], 0)
    expect("states", {status["state"] for status in study.status()}, {"done"})


def check_disturbed(program, place, local, folder):
    study = Study(program, place / "disturbed", [SLOW])
    everything = study.submit()["steps"]
    task = study.in_the_midst_of("train narrow seed 0")
    run("scancel", task)
    until("the end of a cancelled job", lambda: state(task) == "CANCELLED")
    # At once: Slurm may not have cancelled yet what waits for it in vain.
    submitted = study.submit()["steps"]
    if not 0 < submitted < everything:
        sys.exit(f"{submitted} of {everything} steps were submitted after scancel")

    task = study.in_the_midst_of("train narrow seed 0")
    os.kill(process_of(folder, "node2"), signal.SIGKILL)
    say("slurmd of node2 is killed, its job's processes are not")
    await_requeue(task)
    await_node(folder, 2)

    task = study.in_the_midst_of("train control of distilled seed 0")
    run("scancel", "--batch", "--signal=USR1", task)
    await_requeue(task)
    say(f"job {task} was told to stop and is queued again")
    study.finish()
    study.restarts()
    study.compare(local)


def check_lost_node(program, place, local, folder):
    study = Study(program, place / "lost-node", [SLOW])
    study.submit()
    task = study.in_the_midst_of("train wide seed 0")
    lost = run("squeue", "--noheader", "--array", "--states=RUNNING", "--nodelist=node2", "--format=%i").split()
    expect("the training is among the jobs of its node", task in lost, True)
    numbers = [number for job in lost for number in processes_of_job(folder, job)]
    for number in [process_of(folder, "node2"), *numbers]:
        with contextlib.suppress(ProcessLookupError):
            os.kill(number, signal.SIGKILL)
    say(f"node2 is lost with everything on it: jobs {', '.join(lost)}")
    await_node(folder, 2)
    await_requeue(task)
    study.finish()
    study.restarts()
    study.compare(local)


def check_time_limit(program, place, local):
    # Later options count. Slurm looks at the clock every half minute and warns up to half a minute early: 20 to 50 s
    # behind a training's start, which takes longer, and at least half a minute ahead of the end.
    limits = 'slurm.steps.train.options=["--time=1","--signal=B:USR1@10"]'
    study = Study(program, place / "time-limit", [limits, SLOW])
    study.submit()
    study.finish()
    if max(study.restarts()) < 1:
        sys.exit("no training was stopped and queued again ahead of its time limit")
    study.compare(local)


def check_stop(place, folder):
    job = run("sbatch", "--parsable", "--partition=gpu", f"--output={place}/stop.log", "--wrap", "sleep 3600").strip()
    until("a job to be left behind", lambda: state(job) == "RUNNING")
    processes_of_job(folder, job)
    for name in ("node2", "slurmctld"):
        os.kill(process_of(folder, name), signal.SIGKILL)
    say(f"slurmctld and slurmd of node2 are killed, job {job} goes on")
    stop(folder)


def main():
    checks = {
        "undisturbed": lambda: check_undisturbed(program, place, local),
        "disturbed": lambda: check_disturbed(program, place, local, folder),
        "lost-node": lambda: check_lost_node(program, place, local, folder),
        "time-limit": lambda: check_time_limit(program, place, local),
        "stop": lambda: check_stop(place, folder),
    }
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--keep", type=pathlib.Path, metavar="DIR", help="leave studies and logs in this folder, a new one")
    parser.add_argument("--only", choices=checks, action="append", help="the local run, and this one; may be given again")
    parser.add_argument("program", type=pathlib.Path)
    options = parser.parse_args()
    signals = Signals()
    program = options.program.resolve()
    place = options.keep.resolve() if options.keep else pathlib.Path(tempfile.mkdtemp(prefix="gliaflow-slurm-"))
    place.mkdir(parents=True, exist_ok=True)
    if any(place.iterdir()):
        sys.exit(f"{place} is not empty: name a new folder")
    say(f"studies and logs: {place}")
    shutil.copy(STUDY, place)
    folder = place / "cluster"
    os.environ["SLURM_CONF"] = str(folder / "slurm.conf")
    local = Study(program, place / "local")
    run(*local.words, "--metrics-addr", "off")
    say("local: done")
    try:
        with signals.held():
            slurm("start", folder)
        say("Slurm is up: " + run("sinfo", "--version").strip())
        for name, check in checks.items():
            if name in (options.only or checks):
                check()
    finally:
        signals.is_held = True
        stop(folder)
    if not options.keep:
        shutil.rmtree(place)
    say("done")


if __name__ == "__main__":
    main()
