"""Arrays lie in the loader's memory: no copy, not used again while held, given back with the last reference."""

import gc
import itertools
import pathlib
import unittest
import weakref

import gliaflow
import numpy as np
from phantoms import make_loader


def address(array):
    return array.__array_interface__["data"][0]


class Memory(unittest.TestCase):
    def test_every_view_is_of_the_loaders_own_memory(self):
        with make_loader(arrays="gliaflow") as loader:
            batch = next(loader)
        for name, dtype, shape in (
            ("image", "float16", (2, 4, 32, 32, 32)),
            ("label", "uint8", (2, 1, 32, 32, 32)),
        ):
            array = batch[name]
            self.assertIsInstance(array, gliaflow.Array)
            self.assertEqual((array.shape, array.dtype, len(array)), (shape, dtype, 2))
            view = memoryview(array)
            self.assertEqual((view.shape, view.readonly, view.c_contiguous), (shape, False, True))
            for made in (np.asarray(array), np.from_dlpack(array), np.asarray(view)):
                self.assertEqual((address(made), made.shape, str(made.dtype)), (array.address, shape, dtype))
            writable = np.asarray(array)
            writable[0, 0, 0, 0, 0] = 9
            self.assertEqual(np.from_dlpack(array)[0, 0, 0, 0, 0], 9)

    def test_both_structures_of_dlpack_are_handed_over(self):
        with make_loader(arrays="gliaflow") as loader:
            array = next(loader)["image"]
        self.assertEqual(array.__dlpack_device__(), (1, 0))
        self.assertIn('"dltensor"', repr(array.__dlpack__()))
        self.assertIn('"dltensor_versioned"', repr(array.__dlpack__(max_version=(1, 1))))
        for refused in ({"copy": True}, {"dl_device": (2, 0)}, {"stream": 1}):
            with self.assertRaises(BufferError):
                array.__dlpack__(**refused)

    def test_memory_is_not_used_again_while_it_is_held(self):
        with make_loader(prefetch=1) as loader:
            held = next(loader)
            image, label = address(held["image"]), address(held["label"])
            before = held["image"].copy(), held["label"].copy()
            later = [(address(batch["image"]), address(batch["label"])) for batch in itertools.islice(loader, 20)]
            self.assertNotIn(image, [own for own, _ in later])
            self.assertNotIn(label, [own for _, own in later])
            np.testing.assert_array_equal(held["image"], before[0])
            np.testing.assert_array_equal(held["label"], before[1])

    def test_memory_goes_round_once_it_is_let_go(self):
        with make_loader(prefetch=1, memory_mib=3) as loader:
            addresses = [address(batch["image"]) for batch in itertools.islice(loader, 30)]
        # The budget holds five batches of 576 KiB; two more are with the caller while the next is taken.
        self.assertLessEqual(len(set(addresses)), 7)

    def test_any_view_alone_holds_the_memory(self):
        for view_of in (np.asarray, np.from_dlpack, memoryview, lambda array: array.__dlpack__()):
            with make_loader(prefetch=1, arrays="gliaflow") as loader:
                array = next(loader)["image"]
                address_held, view = array.address, view_of(array)
                del array
                gc.collect()
                # All that follow are held, so that the pool has no other memory to give than what is let go.
                others = list(itertools.islice(loader, 8))
                self.assertNotIn(address_held, [batch["image"].address for batch in others])
                del view
                gc.collect()
                later = list(itertools.islice(loader, 8))
                self.assertIn(address_held, [batch["image"].address for batch in later])

    def test_a_batch_outlives_its_loader(self):
        loader = make_loader()
        batch = next(loader)
        before = batch["image"].copy()
        gone = weakref.ref(loader)
        loader.close()
        del loader
        gc.collect()
        self.assertIsNone(gone())
        np.testing.assert_array_equal(batch["image"], before)

    def test_a_loader_that_is_let_go_ends_its_threads(self):
        def loader_threads():
            names = [(task / "comm").read_text().strip() for task in pathlib.Path("/proc/self/task").iterdir()]
            return [name for name in names if name.startswith("python-loader")]

        loader = make_loader()
        next(loader)
        self.assertEqual(len(loader_threads()), 1)
        del loader
        gc.collect()
        self.assertEqual(loader_threads(), [])


if __name__ == "__main__":
    unittest.main()
