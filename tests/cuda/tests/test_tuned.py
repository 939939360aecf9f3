"""Another candidate in the place of a tuner's fastest."""

import os
import sys
import tempfile
import unittest

CUDA = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.dont_write_bytecode = True
sys.path.insert(0, CUDA)

from tuned import SUM, Entry, TunedOperations, hash_of, load_cbor  # noqa: E402

TARGET = os.environ.get("CARGO_TARGET_DIR", os.path.join(os.path.dirname(os.path.dirname(CUDA)), "target"))
PACKAGES = os.path.abspath(os.path.join(TARGET, "cuda-run", "packages"))


class Tuned(unittest.TestCase):
    def setUp(self):
        os.makedirs(os.path.dirname(PACKAGES), exist_ok=True)
        self.cbor = load_cbor(PACKAGES)
        scratch = tempfile.TemporaryDirectory()
        self.addCleanup(scratch.cleanup)
        self.cache = os.path.join(scratch.name, "cache")

    def write(self, name, namespace, value):
        parts = [namespace.encode(), b"key", self.cbor.dumps(value)]
        content = b"kernel 1" + bytes(8) + b"".join(len(part).to_bytes(8, "little") + part for part in parts)
        path = os.path.join(self.cache, "card.db", "table", name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "wb") as file:
            file.write(content + hash_of(content).to_bytes(SUM, "little"))
        return path

    def tune(self, name, candidates, refused=()):
        ran = [{"outcome": {"Ok": {"index": index, "name": text}}} for index, text in candidates]
        results = ran + [{"outcome": {"Err": {"Unknown": {"name": text, "err": "no"}}}} for text in refused]
        return self.write(name, f"autotune/0/{name}", {"fastest_index": candidates[0][0], "results": results, "limit": None})

    def test_a_sum_is_that_of_the_store(self):
        self.assertEqual(hash_of(b""), 0x6C62272E07BB014262B821756295C58D)
        self.assertEqual(hash_of(b"a"), 0xD228CB696F1A8CAF78912B704E4A8964)

    def test_each_candidate_that_ran_is_the_fastest_in_a_round_and_meets_all_that_it_is_made_of(self):
        product = self.tune("product", [(4, "cmma"), (1, "mma"), (7, "plain")], refused=["tma"])
        gradient = self.tune("gradient", [(2, "im2col"), (0, "direct")])
        self.write("compiled", "cuda/0/ptx", {"fastest_index": 3})
        tuned = TunedOperations(self.cache, PACKAGES)
        self.assertEqual((tuned.rounds(), tuned.candidates()["im2col"], tuned.names()), (6, 1, {"product", "gradient"}))
        chosen = []
        for number in range(tuned.rounds()):
            tuned.write_round(number, self.cache)
            values = [self.cbor.loads(Entry(path).parts[2]) for path in (product, gradient)]
            self.assertTrue(all(value["limit"] is None and value["results"] for value in values))
            chosen.append(tuple(value["fastest_index"] for value in values))
        self.assertEqual(chosen, [(1, 0), (4, 2), (7, 0), (1, 2), (4, 2), (7, 2)])

    def test_a_file_that_is_damaged_is_told(self):
        path = self.tune("product", [(0, "cmma")])
        with open(path, "r+b") as file:
            file.seek(40)
            file.write(b"!")
        with self.assertRaisesRegex(ValueError, "product is no entry"):
            TunedOperations(self.cache, PACKAGES)


if __name__ == "__main__":
    unittest.main()
