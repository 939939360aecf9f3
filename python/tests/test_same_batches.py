"""Batches are those of the Rust library to the bit, whatever the number of threads, and after a resume."""

import itertools
import json
import os
import re
import subprocess
import unittest
import zlib

import numpy as np
from phantoms import CACHE, DATA, make_loader

STREAM_BATCHES = os.environ.get("GLIAFLOW_STREAM_BATCHES")
LINE = re.compile(r"batch (\d+): CRC-32 (\w+) of \d+ image values, (\w+) of the labels, from (.*)")


def checksums(batch):
    return zlib.crc32(batch["image"]), zlib.crc32(batch["label"])


def take(loader, count):
    return [checksums(batch) for batch in itertools.islice(loader, count)]


class SameBatches(unittest.TestCase):
    @unittest.skipUnless(STREAM_BATCHES, "GLIAFLOW_STREAM_BATCHES names no built examples/stream_batches.rs")
    def test_rust_makes_the_same_batches(self):
        command = [STREAM_BATCHES, DATA, CACHE]
        lines = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
        told = [match.groups() for match in map(LINE.fullmatch, lines) if match]
        self.assertEqual(len(told), 4, lines)
        with make_loader() as loader:
            for (number, image, label, names), batch in zip(told, loader):
                self.assertEqual((int(number), names), (batch["number"], ", ".join(batch["case"])))
                self.assertEqual((int(image, 16), int(label, 16)), checksums(batch))

    def test_threads_change_no_batch(self):
        several = {"fetch": 2, "crop": 2, "augment": 3}
        with make_loader(workers={"augment": 1}) as one, make_loader(workers=several, prefetch=1) as other:
            first = take(one, 10)
            self.assertEqual(first, take(other, 10))
            self.assertEqual(len(set(first)), 10, "batches differ from one another")

    def test_another_seed_makes_other_batches(self):
        with make_loader() as one, make_loader(seed=8) as other:
            self.assertNotEqual(take(one, 2), take(other, 2))

    def test_a_state_goes_on_with_the_very_next_batch(self):
        with make_loader() as whole:
            expected = take(whole, 9)
        with make_loader() as first:
            take(first, 4)
            state = json.loads(json.dumps(first.state_dict()))
        with make_loader(workers={"augment": 3}) as resumed:
            take(resumed, 2)
            resumed.load_state_dict(state)
            self.assertEqual(resumed.state_dict(), state)
            self.assertEqual(take(resumed, 5), expected[4:])

    def test_a_state_of_another_sequence_is_refused(self):
        with make_loader() as loader:
            state = loader.state_dict()
        others = {"seed": 8, "batch": 1, "patch": (16, 32, 32), "augment": "none", "patches_per_case": 2}
        for name, value in others.items():
            with make_loader(**{name: value}) as other, self.assertRaisesRegex(ValueError, name):
                other.load_state_dict(state)
        with make_loader() as loader:
            some = loader.cases[:2]
        with make_loader(cases=some) as fewer, self.assertRaisesRegex(ValueError, "cases"):
            fewer.load_state_dict(state)
        with make_loader() as loader, self.assertRaisesRegex(ValueError, "version"):
            loader.load_state_dict({**state, "version": 2})

    def test_other_forms_hold_the_same_values(self):
        with make_loader() as plain, make_loader(image="float32", label="regions") as other:
            for ours, theirs in itertools.islice(zip(plain, other), 6):
                self.assertEqual((theirs["image"].dtype, theirs["label"].dtype), (np.float32, np.float32))
                np.testing.assert_array_equal(ours["image"].astype(np.float32), theirs["image"])
                labels = ours["label"]
                regions = {"ET": labels == 3, "TC": (labels == 1) | (labels == 3), "WT": labels > 0}
                self.assertEqual(other.regions, list(regions))
                np.testing.assert_array_equal(np.concatenate(list(regions.values()), axis=1), theirs["label"])

    def test_an_epoch_has_every_case_as_often_as_was_asked(self):
        with make_loader() as loader:
            seen = [case for batch in loader.epoch() for case in batch["case"]]
            self.assertEqual(sorted(seen), sorted(4 * loader.cases))


if __name__ == "__main__":
    unittest.main()
