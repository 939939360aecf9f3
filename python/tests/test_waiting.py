"""Waits give other Python threads their turn, end at Ctrl-C, and errors are exceptions with the library's texts."""

import multiprocessing
import os
import pickle
import signal
import subprocess
import sys
import textwrap
import threading
import time
import unittest

import gliaflow
from phantoms import CACHE, DATA, FOLDER, make_loader


def take_in_child(loader, answers):
    try:
        next(loader)
        answers.put("a batch")
    except RuntimeError as error:
        answers.put(str(error))


class Waiting(unittest.TestCase):
    def test_other_threads_run_while_a_batch_is_waited_for(self):
        # One decode at a time and every transform: the wait is much longer than a switch of threads.
        slow = {"workers": {"decode": 1, "normalize": 1, "crop": 1, "augment": 1}, "augment": "full"}
        loader = gliaflow.Loader(DATA, None, patch=(48, 64, 64), batch=32, prefetch=1, memory_mib=2048, **slow)
        turns, waiting, done = [0, 0], threading.Event(), threading.Event()

        def count():
            while not done.is_set():
                turns[waiting.is_set()] += 1
                time.sleep(0.0005)

        other = threading.Thread(target=count)
        with loader:
            next(loader)
            other.start()
            waiting.set()
            for _ in range(3):
                began = time.perf_counter()
                next(loader)
                waited = time.perf_counter() - began
            done.set()
            other.join()
        self.assertGreater(waited, 0.02, "the batches came too fast to tell")
        # A wait that kept Python's lock would leave it one turn a batch.
        self.assertGreater(turns[1], 20)

    def test_ctrl_c_ends_a_wait_and_the_loader_goes_on(self):
        program = textwrap.dedent(
            """
            import itertools, os, signal, sys, threading, zlib
            import gliaflow
            data = sys.argv[1]
            loader = gliaflow.Loader(data, None, patch=(48, 64, 64), batch=16, prefetch=1, augment="full")
            expected = gliaflow.Loader(data, None, patch=(48, 64, 64), batch=16, prefetch=1, augment="full")
            sums = [zlib.crc32(batch["image"]) for batch in itertools.islice(expected, 2)]
            expected.close()
            taken, interrupts = [], 0
            timer = threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGINT))
            timer.start()
            while len(taken) < 2 or not interrupts:
                try:
                    taken.append(zlib.crc32(next(loader)["image"]))
                except KeyboardInterrupt:
                    interrupts += 1
            print(interrupts, taken[:2] == sums)
            """
        )
        done = subprocess.run([sys.executable, "-c", program, DATA], capture_output=True, text=True, timeout=120)
        self.assertEqual(done.stdout.split(), ["1", "True"], done.stderr)

    def test_ctrl_c_ends_the_first_use_of_a_dataset(self):
        data = FOLDER / "many"
        gliaflow.write_phantoms(data, 24, (96, 128, 128))
        program = "import sys, gliaflow; print('begins', flush=True); gliaflow.Loader(*sys.argv[1:], patch=(16, 16, 16))"
        words = [sys.executable, "-c", program, data, FOLDER / "many-cache"]
        with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as child:
            child.stdout.readline()
            time.sleep(0.05)
            child.send_signal(signal.SIGINT)
            errors = child.communicate(timeout=60)[1]
        self.assertIn("KeyboardInterrupt", errors)

    def test_errors_say_what_to_do(self):
        for arguments, text in (
            ({"patch": (0, 16, 16)}, "patch"),
            ({"batch": 0}, "batch"),
            ({"augment": {"rotation": {"degres": [0, 1]}}}, "degres"),
            ({"augment": "strong"}, "strong"),
            ({"image": "float64"}, "float64"),
            ({"workers": {"augment": 0}}, "augment"),
            ({"cases": ["nobody"]}, "nobody"),
            ({"arrays": "jax"}, "jax"),
            ({"label_scheme": "brats1999"}, "brats1999"),
        ):
            with self.subTest(arguments), self.assertRaisesRegex(ValueError, text):
                make_loader(**arguments)
        with self.assertRaisesRegex(RuntimeError, "memory_mib = 1 is too little"):
            make_loader(memory_mib=1)
        with self.assertRaisesRegex(gliaflow.DataError, "nowhere"):
            gliaflow.Loader(FOLDER / "nowhere", CACHE)

    def test_a_closed_loader_says_so(self):
        loader = make_loader()
        loader.close()
        loader.close()
        for use in (lambda: next(loader), loader.state_dict, loader.epoch):
            with self.assertRaisesRegex(RuntimeError, "closed"):
                use()
        self.assertIn("closed", repr(loader))

    def test_a_bad_case_is_left_out_and_told(self):
        import shutil

        data = FOLDER / "with-a-bad-case"
        shutil.copytree(DATA, data)
        bad = sorted(data.iterdir())[1] if all(path.is_dir() for path in data.iterdir()) else None
        bad = bad or next(path for path in sorted(data.iterdir()) if path.is_dir())
        image = next(bad.glob("*t1*.nii.gz"))
        image.write_bytes(image.read_bytes()[:200])
        with gliaflow.Loader(data, FOLDER / "bad-cache", patch=(16, 16, 16)) as loader:
            self.assertEqual(list(loader.excluded), [bad.name])
            self.assertIn(image.name, loader.excluded[bad.name])
            self.assertNotIn(bad.name, loader.cases)

    def test_two_threads_share_a_loader(self):
        numbers, lock = [], threading.Lock()

        def take():
            for _ in range(10):
                number = next(loader)["number"]
                with lock:
                    numbers.append(number)

        with make_loader() as loader:
            threads = [threading.Thread(target=take) for _ in range(2)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        self.assertEqual(sorted(numbers), list(range(20)))

    @unittest.skipUnless(hasattr(os, "fork"), "no fork")
    def test_a_forked_process_is_told_to_leave_it_alone(self):
        with make_loader() as loader:
            context = multiprocessing.get_context("fork")
            answers = context.SimpleQueue()
            child = context.Process(target=take_in_child, args=(loader, answers))
            child.start()
            self.assertIn("forked", answers.get())
            child.join(30)
            self.assertEqual(child.exitcode, 0)
            next(loader)
            with self.assertRaises(TypeError):
                pickle.dumps(loader)


if __name__ == "__main__":
    unittest.main()
