"""Figures from a record of the stand-in for a driver, written by hand."""

import os
import sys
import tempfile
import unittest

CUDA = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.dont_write_bytecode = True
sys.path.insert(0, CUDA)

from record import Record, period_of  # noqa: E402

STEP = ["u 8000000", "u 500", "l 1 8x1x1 64x1x1 0", "l 1 8x1x1 64x1x1 0", "l 2 8x1x1 32x2x1 512", "d 4", "s event 0 beside"]
WINDOW = ["l 2 8x1x1 32x2x1 512", "l 1 8x1x1 64x1x1 0", "l 1 8x1x1 64x1x1 0", "s stream 0 held"]


def record_of(lines):
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "record")
        with open(path, "w") as file:
            file.write("\n".join(lines) + "\n")
        return Record(path)


class Figures(unittest.TestCase):
    def lines(self):
        begin = ["a 1000 2097152", "k 1 aaaa gemm [mma tma]", "k 2 bbbb copy_kernel_t_f32", "a 5000000 8388608", "f 1000 6291456"]
        tuning = ["l 1 1x1x1 64x1x1 2048"] * 5 + ["m tiles", "m refused tiles: its rank is not 1 to 5"]
        return [*begin, *STEP[:2], *tuning, *STEP[2:], *STEP * 7, "u 8000000", *tuning, *WINDOW * 4]

    def test_of_a_step_and_a_window(self):
        figures = record_of(self.lines()).figures()
        self.assertEqual(
            figures,
            {"launches": 3, "synchronisations": 1, "late_waits": 0, "freeing_waits": 1, "holding_waits": 0, "settled_waits": 0, "layout_copies": 1, "uploads": 2, "downloads": 1, "uploaded_bytes": 8000500,
             "window_launches": 3, "window_layout_copies": 1, "peak_bytes": 8388608, "largest_allocation": 5000000, "kernels": 2,
             "all_launches": 5 + 8 * 3 + 5 + 4 * 3, "tensor_maps_refused": 2, "out_of_memory": 0})

    def test_the_waits_of_a_step_in_which_something_was_tuned_are_not_a_steps(self):
        tuned = [*STEP[:3], *["t", "s event 0 held"] * 30, *STEP[3:]]
        lines = [*self.lines()[:3], *STEP * 3, *tuned, *STEP * 4, "u 8000000", *WINDOW * 4]
        figures = record_of(lines).figures()
        self.assertEqual((figures["holding_waits"], figures["synchronisations"], figures["downloads"]), (0, 1, 1))

    def test_a_wait_holds_the_launches_is_beside_them_or_is_over_already(self):
        record = record_of([*self.lines()[:2], "s event 2 held", "s event 3 held", "s event 1 beside", "s event 900 held", "s event 900 beside", "s event 0 beside readback"])
        self.assertEqual(record.waits(0, 100, 3), {"held": 1, "beside": 1, "settled": 3, "late": 1})

    def test_what_was_wrong(self):
        record = record_of([*self.lines(), "! memory is freed that is not allocated: 7f00"])
        self.assertEqual(record.wrong, ["memory is freed that is not allocated: 7f00"])
        self.assertEqual(record.shared_bytes(), {"aaaa": (2048, 64), "bbbb": (512, 64)})
        self.assertEqual((record.launched("[mma tma]"), record.launched("copy_kernel"), record.launched("[wmma")), (34, 12, 0))

    def test_launches_of_the_last_step_under_the_clock_and_what_was_timed_in_it(self):
        tuned = [*STEP[:3], "t", *STEP[3:]]
        weights = ["u 9000000", "u 8000000"]
        for step, measurements in ((STEP, 0), (tuned, 1)):
            record = record_of([*self.lines()[:3], *weights, *tuned * 2, *step, *tuned * 2, *STEP[:2], *WINDOW])
            self.assertEqual(record.launches_of_step(8000000, 2), ({"gemm": 2, "copy_kernel_t_f32": 1}, measurements))
        with self.assertRaisesRegex(ValueError, "3 uploads of 8000000 bytes, of 6"):
            record_of(STEP * 3).launches_of_step(8000000, 2)

    def test_an_upload_that_comes_early_does_not_change_the_launches_of_a_step(self):
        early = [*STEP[:4], *STEP[:2], *STEP[4:], *STEP[2:]]
        for steps in ([*early, *STEP * 6], [*STEP * 4, *early, *STEP * 2], [*STEP * 6, *early]):
            record = record_of([*self.lines()[:3], *STEP, *steps, *STEP * 3, *STEP[:2], *WINDOW])
            self.assertEqual(record.launches_of_step(8000000, 8), ({"gemm": 2, "copy_kernel_t_f32": 1}, 0))

    def test_uploads_that_all_come_at_other_places_do_not_change_the_launches_of_a_step(self):
        launches = [line for line in STEP * 4 if line[0] == "l"]
        intervals = [[STEP[0], *launches[begin:end]] for begin, end in ((0, 2), (2, 6), (6, 7), (7, 12))]
        record = record_of([*self.lines()[:3], *STEP[:1] * 5, *sum(intervals, []), *STEP[:1] * 4, *WINDOW])
        self.assertEqual(record.launches_of_step(8000000, 8), ({"gemm": 2, "copy_kernel_t_f32": 1}, 0))
        self.assertEqual(period_of("abcabcab"), 3)
        self.assertEqual(period_of("abcabd"), 0)

    def test_too_few_steps_are_told(self):
        with self.assertRaisesRegex(ValueError, "--warmup 1 --steps 3"):
            record_of(STEP * 3).figures()


if __name__ == "__main__":
    unittest.main()
