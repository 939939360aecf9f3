"""Child processes under a limit: whatever they started ends with them.

A child leads a session of its own, so that one signal reaches all of its own children, and dies with
this process, so that a killed gpu-check leaves no GPU busy.
"""

import ctypes
import json
import os
import select
import signal
import subprocess
import time

PR_SET_PDEATHSIG = 1


class CutOff(Exception):
    """A child that had not ended at its limit and was killed."""


class Crashed(Exception):
    """A child that ended otherwise than it should."""


def die_with_parent():
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def start(words, log, environment=None, folder=None, **streams):
    """A child whose stderr, and stdout unless `streams` says otherwise, goes to the file `log`."""
    with open(log, "ab") as file:
        streams = {"stdin": subprocess.DEVNULL, "stdout": file, "stderr": file, **streams}
        return subprocess.Popen(
            [str(word) for word in words],
            env=environment,
            cwd=folder,
            start_new_session=True,
            preexec_fn=die_with_parent,
            **streams,
        )


def end(child):
    """Kills the child with everything in its session's process group, and collects it."""
    try:
        os.killpg(child.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    child.wait()


def run(words, log, seconds, environment=None, folder=None, output=None):
    """Runs a command to its end.

    Raises `CutOff` after `seconds`, `Crashed` if the exit code is not 0. `output` is a file for stdout.
    """
    begun = time.monotonic()
    if seconds <= 0:
        raise CutOff("no time was left for it")
    if output is None:
        child = start(words, log, environment, folder)
    else:
        with open(output, "wb") as file:
            child = start(words, log, environment, folder, stdout=file)
    try:
        code = child.wait(timeout=seconds)
    except subprocess.TimeoutExpired:
        raise CutOff(f"killed after {time.monotonic() - begun:.0f} s") from None
    finally:
        end(child)
    if code != 0:
        raise Crashed(f"{ending(code)}: {last_line(log)}")


def ending(code):
    """An exit code in words."""
    if code >= 0:
        return f"exit {code}"
    try:
        return signal.Signals(-code).name
    except ValueError:
        return f"signal {-code}"


def last_line(log):
    """The last line of a log that says anything."""
    try:
        with open(log, errors="replace") as file:
            lines = [line.strip() for line in file if line.strip()]
    except OSError:
        return "no log"
    return lines[-1][:300] if lines else "it said nothing"


class Worker:
    """One `gliaflow sequence`: command lines that share a process, and with it what was tuned."""

    def __init__(self, words, log, environment=None, folder=None):
        self.how = (words, log, environment, folder)
        self.log = log
        self.child = None
        self.pending = b""

    def run(self, words, report, seconds):
        """Hands over a command line and waits for its answer; its report as a document.

        Raises as `run` does; after either of them the next command line gets a new process.
        """
        if seconds <= 0:
            raise CutOff("no time was left for it")
        begun = time.monotonic()
        if self.child is None:
            words_of_worker, log, environment, folder = self.how
            pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
            self.child = start(words_of_worker, log, environment, folder, **pipes)
            self.pending = b""
        command = {"words": [str(word) for word in words], "report": str(report)}
        try:
            self.child.stdin.write(json.dumps(command).encode() + b"\n")
            self.child.stdin.flush()
            answer = self.answer(begun + seconds)
        except (CutOff, Crashed, OSError) as problem:
            self.close()
            if isinstance(problem, OSError):
                raise Crashed(f"{problem}: {last_line(self.log)}") from None
            raise
        with open(report) as file:
            document = json.load(file)
        if answer["exit_code"] != 0:
            error = document.get("error") if isinstance(document, dict) else None
            failure = Crashed(f"exit {answer['exit_code']}: {error or last_line(self.log)}")
            failure.document = document
            raise failure
        return document

    def answer(self, deadline):
        begun = time.monotonic()
        while b"\n" not in self.pending:
            left = deadline - time.monotonic()
            if left <= 0:
                raise CutOff(f"killed after {time.monotonic() - begun:.0f} s")
            if not select.select([self.child.stdout], [], [], left)[0]:
                continue
            read = os.read(self.child.stdout.fileno(), 65536)
            if not read:
                raise Crashed(f"{ending(self.child.wait())}: {last_line(self.log)}")
            self.pending += read
        line, self.pending = self.pending.split(b"\n", 1)
        return json.loads(line)

    def close(self):
        """Ends the process, if there is one."""
        if self.child is not None:
            end(self.child)
            self.child.stdin.close()
            self.child.stdout.close()
            self.child = None
