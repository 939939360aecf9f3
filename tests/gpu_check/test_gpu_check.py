"""What `scripts/gpu-check` promises: limits hold, a stage costs only itself, and what was measured is kept."""

import json
import os
import sys
import tarfile
import tempfile
import time
import types
import unittest
from unittest import mock

HERE = os.path.dirname(os.path.abspath(__file__))
SCRIPTS = os.path.join(HERE, "..", "..", "scripts")
sys.dont_write_bytecode = True
sys.path.insert(0, SCRIPTS)

from gpu_check import archive, check, machine, processes, stages  # noqa: E402
from gpu_check.plan import plan_of  # noqa: E402
from gpu_check.table import convolution_rows, kernel_rows, step_rows  # noqa: E402
from gpu_check.tuning import tuning_table  # noqa: E402

STAND_IN = os.path.join(HERE, "stand_in.py")


def is_running(process):
    try:
        with open(f"/proc/{process}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


class WithFolder(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name

    def path(self, *names):
        return os.path.join(self.folder, *names)


class Processes(WithFolder):
    def test_a_hanging_command_is_killed_with_everything_that_it_started(self):
        script = f"sleep 600 & echo $! > {self.path('pid')}; wait"
        begun = time.monotonic()
        with self.assertRaisesRegex(processes.CutOff, "killed after 1 s"):
            processes.run(["sh", "-c", script], self.path("log"), 1)
        self.assertLess(time.monotonic() - begun, 10)
        with open(self.path("pid")) as file:
            grandchild = int(file.read())
        deadline = time.monotonic() + 5
        while is_running(grandchild) and time.monotonic() < deadline:
            time.sleep(0.05)
        self.assertFalse(is_running(grandchild))

    def test_a_failure_is_told_with_its_code_and_its_last_words(self):
        with self.assertRaisesRegex(processes.Crashed, "exit 3: no such card"):
            processes.run(["sh", "-c", "echo no such card >&2; exit 3"], self.path("log"), 30)
        with self.assertRaisesRegex(processes.Crashed, "SIGSEGV"):
            processes.run(["sh", "-c", "kill -SEGV $$"], self.path("other"), 30)
        with self.assertRaisesRegex(processes.CutOff, "no time"):
            processes.run(["true"], self.path("log"), 0)

    def test_command_lines_share_a_process_until_one_hangs_or_crashes(self):
        worker = processes.Worker([STAND_IN, "sequence"], self.path("log"))
        self.addCleanup(worker.close)
        report = self.path("report.json")
        first = worker.run(["bench-step", 1], report, 30)
        self.assertEqual(first["words"], ["bench-step", "1"])
        self.assertEqual(worker.run(["more"], report, 30)["pid"], first["pid"])
        with self.assertRaisesRegex(processes.Crashed, "exit 4: no such device"):
            worker.run(["fail"], report, 30)
        self.assertEqual(worker.run(["more"], report, 30)["pid"], first["pid"])
        with self.assertRaisesRegex(processes.CutOff, "killed after 1 s"):
            worker.run(["hang"], report, 1)
        self.assertFalse(is_running(first["pid"]))
        second = worker.run(["more"], report, 30)["pid"]
        self.assertNotEqual(second, first["pid"])
        with self.assertRaisesRegex(processes.Crashed, "SIGSEGV: about to crash"):
            worker.run(["crash"], report, 30)
        self.assertNotEqual(worker.run(["more"], report, 30)["pid"], second)


class Archive(WithFolder):
    def test_it_stays_under_its_limit_and_keeps_both_ends_of_every_file(self):
        os.makedirs(self.path("logs", "deep"))
        noise = os.urandom(3_000_000)
        for name in ("a.log", "deep/b.log"):
            with open(self.path("logs", name), "wb") as file:
                file.write(b"first " + noise + b" last")
        size = archive.write(self.path("logs"), self.path("all.tar.gz"), limit=1_000_000)
        self.assertEqual(size, os.path.getsize(self.path("all.tar.gz")))
        self.assertLessEqual(size, 1_000_000)
        with tarfile.open(self.path("all.tar.gz")) as tar:
            self.assertEqual(sorted(tar.getnames()), ["gpu-check/a.log", "gpu-check/deep/b.log"])
            text = tar.extractfile("gpu-check/a.log").read()
        self.assertTrue(text.startswith(b"first ") and text.endswith(b" last"))
        self.assertIn("bytes left out".encode(), text)
        self.assertEqual(os.listdir(self.folder).count("all.tar.gz.part"), 0)

    def test_the_limit_is_what_may_come_back_from_a_machine(self):
        self.assertLess(archive.LIMIT, 16 * 1024 * 1024)


class Checks(WithFolder):
    """Whole checks, of stages made up for them."""

    def check(self, made_up, seconds=60.0):
        options = types.SimpleNamespace(
            out=self.path("out"), work=self.path("work"), seconds=seconds, scripts=SCRIPTS,
            python=sys.executable, command="gpu-check", carried=self.path("headers"), kernels=self.path("kernels"),
            binary=STAND_IN, only="",
        )  # fmt: skip
        with mock.patch.object(check, "STAGES", made_up):
            return check.Check(options, plan_of("cpu", True))

    def table(self):
        with open(self.path("out", "table.md")) as file:
            return file.read()

    def states(self, done):
        return {stage.key: stage.state for stage in done.stages}

    def test_a_stage_that_hangs_crashes_or_is_wrong_costs_only_itself(self):
        seen = []

        def ask(word):
            return lambda one: str(one.worker.run([word], one.logs("r.json"), one.left())["words"])

        def looks_back(one):
            seen.append(self.table())
            with tarfile.open(self.path("out", "gpu-check.tar.gz")) as tar:
                seen.append(tar.extractfile("gpu-check/table.md").read().decode())
            raise stages.Skipped("no torch here")

        done = self.check(
            [
                ("a", "first", 30, ask("first")),
                ("b", "hangs", 1, ask("hang")),
                ("c", "crashes", 30, ask("crash")),
                ("d", "is wrong", 30, lambda one: [][1]),
                ("e", "looks back", 30, looks_back),
                ("f", "last", 30, ask("last")),
            ]
        )
        self.assertFalse(done.run(lambda line: None))
        expected = dict(zip("abcdef", ["done", "CUT OFF", "FAILED", "FAILED", "skipped", "done"]))
        self.assertEqual(self.states(done), expected)
        for text in seen:
            self.assertIn("| a | first | done |", text)
            self.assertIn("| b | hangs | CUT OFF | 1 | killed after 1 s", text)
            self.assertIn("| e | looks back | not begun |", text)
        text = self.table()
        self.assertIn("SIGSEGV: about to crash", text)
        self.assertIn("gpu-check itself: IndexError", text)
        self.assertIn("| f | last | done |", text)
        self.assertEqual(sorted(os.listdir(self.path("out"))), ["gpu-check.tar.gz", "table.md"])

    def test_the_budget_cuts_a_stage_short_and_leaves_the_rest_unbegun(self):
        waits = lambda one: processes.run(["sleep", "600"], one.logs("s"), one.left())  # noqa: E731
        done = self.check([("a", "waits", 500, waits), ("b", "is late", 500, waits)], 8.0)
        begun = time.monotonic()
        self.assertFalse(done.run(lambda line: None))
        self.assertLess(time.monotonic() - begun, 8)
        self.assertEqual(self.states(done), {"a": "CUT OFF", "b": "not begun"})
        self.assertIn("no time was left", self.table())

    def test_a_check_that_is_ended_from_outside_keeps_its_table_and_leaves_no_child(self):
        def ended(one):
            one.worker.run(["first"], one.logs("r.json"), one.left())
            self.child = one.worker.child.pid
            raise SystemExit(143)

        done = self.check([("a", "is ended", 30, ended)])
        with self.assertRaises(SystemExit):
            done.run(lambda line: None)
        self.assertFalse(is_running(self.child))
        self.assertIn("| a | is ended |", self.table())

    def test_a_device_that_agrees_until_the_limit_is_cut_off_and_one_that_differs_has_failed(self):
        def starts(lines):
            done = self.check([("a", "starts", 3, stages.starts)])
            with open(done.binary) as file:
                text = file.read()
            # A stand-in whose check-device says these lines and then hangs.
            script = f'if "check-device" in sys.argv:\n    print({lines!r}, file=sys.stderr, flush=True)\n    time.sleep(600)\n'
            done.binary = self.path("binary")
            with open(done.binary, "w") as file:
                file.write(text.replace('print("tuning', script + 'print("tuning'))
            os.chmod(done.binary, 0o755)
            self.assertFalse(done.run(lambda line: None))
            return done.stages[0].state, done.stages[0].note

        state, note = starts("ReLU forward 0  agrees\nsigmoid forward 0  agrees")
        self.assertEqual(state, "CUT OFF")
        self.assertIn("2 of 2 comparisons agree; check-device: killed at the limit", note)
        state, note = starts("ReLU forward 0  agrees\nsigmoid forward 1  DIFFERS")
        self.assertEqual(state, "FAILED")
        self.assertIn("1 of 2 comparisons agree", note)

    def test_what_is_skipped_is_no_failure(self):
        def skipped(one):
            raise stages.Skipped("no such tool")

        done = self.check([("a", "works", 30, lambda one: "well"), ("b", "is skipped", 30, skipped)])
        self.assertTrue(done.run(lambda line: None))

    def test_stages_have_letters_in_order_and_limits_of_their_own(self):
        self.assertEqual("".join(stage[0] for stage in stages.STAGES), "abcdefghi")
        self.assertTrue(all(0 < limit < 560 for _, _, limit, _ in stages.STAGES))


class Machine(WithFolder):
    def write(self, *names):
        os.makedirs(os.path.dirname(self.path(*names)), exist_ok=True)
        with open(self.path(*names), "w") as file:
            file.write("of " + names[0])

    def read(self, *names):
        with open(self.path(*names)) as file:
            return file.read()

    def test_a_pythons_cuda_is_completed_with_the_headers_that_are_carried(self):
        self.write("wheels", "include", "cuda_fp16.h")
        self.write("wheels", "lib", "libnvrtc.so.13")
        self.write("wheels", "lib", "libnvrtc-builtins.so.13.0")
        self.write("carried", "crt", "host_config.h")
        self.write("carried", "cccl", "cuda", "barrier")
        made_of = machine.compose(self.path("cuda"), [self.path("wheels")], self.path("carried"))
        self.assertEqual(sorted(made_of), ["cccl", "crt", "headers", "nvrtc"])
        self.assertEqual(self.read("cuda", "include", "cuda_fp16.h"), "of wheels")
        self.assertEqual(self.read("cuda", "include", "cccl", "cuda", "barrier"), "of carried")
        self.assertEqual(self.read("cuda", "lib64", "libnvrtc.so"), "of wheels")

    def test_a_whole_toolkit_is_taken_as_it_is(self):
        for name in ("cuda_fp16.h", "crt/host_config.h", "cccl/cuda/barrier"):
            self.write("toolkit", "include", *name.split("/"))
        self.write("toolkit", "lib64", "libnvrtc.so")
        self.write("carried", "crt", "host_config.h")
        found = [self.path("nothing"), self.path("toolkit")]
        made_of = machine.compose(self.path("cuda"), found, self.path("carried"))
        self.assertEqual(sorted(made_of), ["headers", "nvrtc"])
        self.assertEqual(self.read("cuda", "include", "crt", "host_config.h"), "of toolkit")

    def test_kernels_are_counted_once_and_what_was_tuned_is_none(self):
        self.assertEqual(machine.kept_kernels(self.path("cache")), 0)
        for folder in ("kernels/by-id", "kernels/by-source", "card.db/tuned"):
            for name in ("first", "second"):
                self.write("cache", "gliaflow", "cuda", "nvrtc-13.0", *folder.split("/"), name)
        self.assertEqual(machine.kept_kernels(self.path("cache")), 2)

    def test_a_machine_without_cuda_makes_an_empty_one(self):
        self.assertEqual(machine.compose(self.path("cuda"), [], self.path("carried")), {})


class Figures(WithFolder):
    def test_the_journal_tells_how_long_steps_waited_for_data(self):
        with open(self.path("events.jsonl"), "w") as file:
            file.write(json.dumps({"event": "started"}) + "\n")
            for starved in (9.0, 0.1, 0.1, 0.1):
                event = {"event": "step", "seconds": 1.0, "starved_seconds": starved}
                file.write(json.dumps(event) + "\n")
            file.write('{"event": "st')
        steps = stages.steps_of(self.path("events.jsonl"))
        self.assertEqual(stages.starved(steps), "4 steps, 10.0 % of the last 3 starved")
        self.assertEqual(stages.starved([]), "0 steps")

    def test_the_gpus_activity_is_the_mean_of_dmons_column(self):
        with open(self.path("dmon"), "w") as file:
            file.write("# gpu sm mem\n# Idx % %\n 0 5 0\n 0 90 3\n 0 80 3\n 0 1 0\n")
        self.assertIn("SM busy 85 %", check.activity(self.path("dmon")))
        self.assertIn("told nothing", check.activity(self.path("none")))

    def test_tuning_is_told_by_its_keys_with_the_fastest_first(self):
        def result(name, nanos):
            return {"outcome": {"Ok": {"name": name, "computation": {"median": {"secs": 0, "nanos": nanos}}}}}

        decision = {
            "key": {"Conv": {"channels": 30}},
            "results": [result("direct", 9000), result("gemm", 2000), {"outcome": {"Err": "Skip"}}],
        }
        with open(self.path("d.jsonl"), "w") as file:
            file.write(json.dumps(decision) + '\n{"key": cut off')
        line = tuning_table(self.path("d.jsonl")).splitlines()[2]
        self.assertTrue(line.endswith("| 2 | 1 | gemm 0.000002, direct 0.000009 |"), line)

    def test_rows_leave_a_dash_where_nothing_was_measured(self):
        one = {"inputs": 4, "outputs": 30, "side": 128, "kernel": 3, "stride": 1, "groups": 1}
        rows = convolution_rows([{**one, "forward_seconds": 0.5}], [{**one, "forward_seconds": 0.25}])
        self.assertEqual(rows[2], "| 4:30:128:3:1:1 | 0.50000 | 0.25000 | - | - | - | - |")
        cost = {"model": "unet", "patch": [16] * 3, "batch": 2, "precision": "f32", "seconds_per_step": 2}
        self.assertIn("| gliaflow | unet 16^3 x 2 | f32 | - | - | - | 2.0000 |", step_rows([("gliaflow", cost)])[2])
        rows = kernel_rows([{"name": "a", "launches": 2, "seconds": 3.0}, {"name": "b", "launches": 1, "seconds": 1.0}])
        self.assertEqual(rows[2:], ["| a | 2 | 3.0000 | 75 % |", "| b | 1 | 1.0000 | 25 % |"])


if __name__ == "__main__":
    unittest.main()
