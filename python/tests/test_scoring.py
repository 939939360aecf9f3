"""Scores and samples made again."""

import itertools
import unittest

import gliaflow
import numpy as np
from phantoms import DATA, FOLDER, make_loader


def label_files():
    return sorted(DATA.rglob("*seg.nii.gz"))


class Scores(unittest.TestCase):
    def test_arrays_are_scored_by_region(self):
        truth = np.zeros((10, 12, 14), np.uint8)
        truth[2:8, 2:8, 2:8] = 2
        truth[3:6, 3:6, 3:6] = 3
        predicted = np.zeros_like(truth)
        predicted[2:8, 2:8, 2:5] = 2
        scores = gliaflow.score(truth, predicted, spacing_mm=(1.0, 1.0, 2.0))
        self.assertEqual(list(scores), ["ET", "TC", "WT"])
        self.assertAlmostEqual(scores["WT"]["dice"], 2 * 108 / (216 + 108))
        self.assertEqual(scores["WT"]["hd95_mm"], 6.0)
        self.assertEqual(scores["ET"]["dice"], 0.0)
        same = gliaflow.score(truth, truth.astype(np.int64))
        self.assertEqual([region["dice"] for region in same.values()], [1.0, 1.0, 1.0])

    def test_values_have_the_meaning_that_is_named(self):
        truth = np.zeros((8, 8, 8), np.uint8)
        truth[2:6, 2:6, 2:6] = 4
        self.assertEqual(gliaflow.score(truth, truth, labels="brats2018")["ET"]["dice"], 1.0)
        with self.assertRaisesRegex(ValueError, "truth: has the value 4"):
            gliaflow.score(truth, truth, labels="brats2023")

    def test_files_and_folders_are_scored_as_the_command_does(self):
        first, second = label_files()[:2]
        document = gliaflow.score(first, second)
        self.assertEqual(len(document["cases"]), 1)
        self.assertLess(document["cases"][0]["regions"]["WT"]["dice"], 1.0)
        predictions = FOLDER / "predictions"
        predictions.mkdir()
        for file in label_files():
            (predictions / file.name.replace("_seg", "")).write_bytes(file.read_bytes())
        document = gliaflow.score(DATA, predictions)
        self.assertEqual(len(document["cases"]), len(label_files()))
        self.assertTrue(all(case["regions"]["WT"]["dice"] == 1.0 for case in document["cases"]))

    def test_errors_say_what_to_do(self):
        cube = np.zeros((4, 4, 4), np.uint8)
        for truth, prediction, options, text in (
            (cube, np.zeros((4, 4, 5), np.uint8), {}, "shape"),
            (cube[0], cube[0], {}, "axes"),
            (cube, cube.astype(np.float32), {}, "whole numbers"),
            (cube.astype(np.int16) - 1, cube, {}, "below 0"),
            (cube, "a.nii.gz", {}, "two paths or two arrays"),
            (cube, cube, {"hd95": "mean"}, "hd95"),
            (cube, cube, {"lesion_wise": True}, "files alone"),
        ):
            with self.subTest(text), self.assertRaisesRegex(ValueError, text):
                gliaflow.score(truth, prediction, **options)
        with self.assertRaisesRegex(gliaflow.DataError, "none.nii.gz"):
            gliaflow.score(FOLDER / "none.nii.gz", label_files()[0])


class Replays(unittest.TestCase):
    def test_a_sample_is_made_again_by_its_key(self):
        with make_loader() as loader:
            batches = list(itertools.islice(loader, 5))
            state = loader.state_dict()
            for batch in batches[::2]:
                epoch, index = batch["key"][1]
                (again,) = gliaflow.replay(loader, epoch, index)
                self.assertEqual((again["case"], again["key"]), (batch["case"][1], (epoch, index)))
                np.testing.assert_array_equal(again["image"], batch["image"][1])
                np.testing.assert_array_equal(again["label"], batch["label"][1])
            several = gliaflow.replay(loader, *batches[1]["key"][0], count=3)
            np.testing.assert_array_equal(several[2]["image"], batches[2]["image"][0])
            self.assertEqual(loader.state_dict(), state)
            with self.assertRaisesRegex(ValueError, "index 99"):
                gliaflow.replay(loader, 0, 99)

    def test_a_run_needs_the_command(self):
        with self.assertRaisesRegex(FileNotFoundError, "not installed"):
            gliaflow.replay(FOLDER, 0, program=FOLDER / "no-program")


class Package(unittest.TestCase):
    def test_help_reads_and_everything_public_is_documented(self):
        import pydoc

        text = pydoc.plain(pydoc.render_doc(gliaflow))
        self.assertIn("patch=(128, 128, 128)".replace("=", ": tuple[int, int, int] = "), text.replace("'", ""))
        for name in gliaflow.__all__:
            self.assertGreater(len(getattr(gliaflow, name).__doc__.strip()), 30, name)

    def test_types_are_told(self):
        folder = gliaflow.__path__[0]
        import pathlib

        self.assertTrue((pathlib.Path(folder) / "py.typed").exists())
        stub = (pathlib.Path(folder) / "_gliaflow.pyi").read_text()
        for name in dir(gliaflow._gliaflow):
            if not name.startswith("__"):
                self.assertRegex(stub, rf"(class|def) {name}\b")
        for owner in (gliaflow._gliaflow.Array, gliaflow._gliaflow.BatchStream):
            for name in vars(owner):
                if not name.startswith("__"):
                    self.assertIn(f"def {name}(", stub)


if __name__ == "__main__":
    unittest.main()
