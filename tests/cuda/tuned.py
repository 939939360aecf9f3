"""What CubeCL's tuner has found, as the program keeps it, and any of its candidates in the place of the fastest.

For each operation that was tuned there is a file (vendor/turso/src/entries.rs): its key, and in CBOR the place of the
fastest candidate beside the measurements of all (cubecl-runtime, tune/tune_cache.rs), of which the program reads the place
alone.
"""

import collections
import glob
import importlib.machinery
import importlib.util
import os
import struct
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
CBOR = "cbor2==6.3.0"
MAGIC = b"kernel 1"
HEADER = len(MAGIC) + 8
SUM = 16
# In the names of candidates that are made of operations which are tuned themselves: products of columns, convolutions, sums.
NESTED = ("im2col", "fallback", "chained")


def load_cbor(folder):
    """The package for CBOR, fetched by pip into `folder` the first time."""
    if not os.path.isdir(folder):
        toolkit = os.path.join(HERE, "toolkit")
        loader = importlib.machinery.SourceFileLoader("toolkit", toolkit)
        module = importlib.util.module_from_spec(importlib.util.spec_from_loader("toolkit", loader))
        loader.exec_module(module)
        with tempfile.TemporaryDirectory(dir=os.path.dirname(folder)) as scratch:
            made = os.path.join(scratch, "packages")
            subprocess.run([*module.find_pip(scratch), "install", "--quiet", "--disable-pip-version-check", "--root-user-action=ignore", "--no-deps", "--only-binary=:all:",
                            "--target", made, CBOR], check=True)
            os.rename(made, folder)
    if folder not in sys.path:
        sys.path.insert(0, folder)
    import cbor2

    return cbor2


def hash_of(content):
    """FNV-1a, 128 bits."""
    value = 0x6C62272E07BB014262B821756295C58D
    for byte in content:
        value = (value ^ byte) * 0x0100_0000_0000_0000_0000_013B % (1 << 128)
    return value


class Entry:
    """A file of the store: namespace, key and value, and a sum over all of it."""

    def __init__(self, path):
        with open(path, "rb") as file:
            content = file.read()
        if content[: len(MAGIC)] != MAGIC or hash_of(content[:-SUM]) != int.from_bytes(content[-SUM:], "little"):
            raise ValueError(f"{path} is no entry of the store of kernels")
        self.path, self.header, self.parts, at = path, content[:HEADER], [], HEADER
        for _ in range(3):
            (length,) = struct.unpack_from("<Q", content, at)
            self.parts.append(content[at + 8 : at + 8 + length])
            at += 8 + length

    def namespace(self):
        return self.parts[0].decode()

    def to_bytes(self, value):
        content = self.header + b"".join(struct.pack("<Q", len(part)) + part for part in [*self.parts[:2], value])
        return content + hash_of(content).to_bytes(SUM, "little")


def nested(ran):
    """Candidates, of these, that are made of other operations."""
    return [one for one in ran if any(text in one[1] for text in NESTED)]


class TunedOperations:
    """All operations that were tuned, with the candidates that ran."""

    def __init__(self, cache, packages):
        self.cache, self.cbor, self.operations = cache, load_cbor(packages), []
        for path in sorted(glob.glob(os.path.join(cache, "**", "*.db", "*", "*"), recursive=True)):
            entry = Entry(path)
            if not entry.namespace().startswith("autotune/"):
                continue
            value = self.cbor.loads(entry.parts[2])
            outcomes = [one["outcome"] for one in value["results"]]
            ran = sorted((one["Ok"]["index"], one["Ok"]["name"]) for one in outcomes if "Ok" in one)
            self.operations.append((entry, value, ran))

    def rounds(self):
        """As many as it takes for each candidate of each operation to be the fastest in one, and for each that is made of other
        operations to meet each candidate of those."""
        return self.most(lambda ran: ran) * (1 + self.most(nested))

    def most(self, of):
        return max((len(of(ran)) for _, _, ran in self.operations), default=0)

    def names(self):
        return {os.path.basename(entry.path) for entry, _, _ in self.operations}

    def candidates(self):
        """How many operations each candidate ran for."""
        return collections.Counter(name for _, _, ran in self.operations for _, name in ran)

    def write_round(self, number, cache):
        """In `cache`, a copy of this one, makes another candidate of each operation the fastest."""
        once = self.most(lambda ran: ran)
        for entry, value, ran in self.operations:
            of_others = nested(ran) if number >= once else []
            index, _ = of_others[number // once % len(of_others)] if of_others else ran[number % len(ran)]
            with open(os.path.join(cache, os.path.relpath(entry.path, self.cache)), "wb") as file:
                file.write(entry.to_bytes(self.cbor.dumps({**value, "fastest_index": index})))
