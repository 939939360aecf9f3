#!/usr/bin/env python3
"""Tells who waits for the device in a training step: tests/cuda/waits.py BINARY [--network unet] [--precision bf16] [--kernels own]

BINARY is a gliaflow built with --features cuda and with its symbols. A few steps of a small network run on the stand-in for a
driver; for each wait of one step it prints the thread, whether that is the one that launches, launches behind what is
waited for, and the functions that led there (addr2line, of binutils).
"""

import argparse
import os
import re
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.dont_write_bytecode = True
sys.path.insert(0, HERE)

from record import Record  # noqa: E402

SETTINGS = {"unet": "{base_width=8,levels=2}", "resunet_vae": "{base_width=8,groups=4,encoder_units=[1,1]}", "cascaded": "{base_width=2,levels=2}"}
# What stands between the functions that say something.
PASSED_OVER = re.compile(r"^(core|std|alloc|__rust|_?_?start|main$|<?\(?dyn|\?\?)|FnOnce|catch_unwind|__libc|cudarc::")


def functions_at(binary, places):
    """Names of the functions at places of a program's file, without their hashes and types."""
    # A place is where a call returns to: the call is ahead of it.
    words = ["addr2line", "-f", "-C", "-e", binary, *(hex(int(place, 16) - 1) for place in places)]
    lines = subprocess.run(words, capture_output=True, text=True, check=True).stdout.splitlines()
    names = [re.sub(r"::h[0-9a-f]{16}$", "", name) for name in lines[::2]]
    return [name for name in names if not PASSED_OVER.search(name)]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("binary")
    parser.add_argument("--network", choices=sorted(SETTINGS), default="unet")
    parser.add_argument("--precision", default="bf16")
    parser.add_argument("--kernels", default="own")
    options = parser.parse_args()
    binary = os.path.abspath(options.binary)
    with tempfile.TemporaryDirectory() as folder:
        standin, path = os.path.join(folder, "standin"), os.path.join(folder, "record")
        subprocess.run([os.path.join(HERE, "standin", "build"), standin], check=True)
        environment = {**os.environ, "CUDA_PATH": standin, "LD_LIBRARY_PATH": os.path.join(standin, "lib64"), "STANDIN_RECORD": path,
                       "STANDIN_STACKS": "1", "XDG_CACHE_HOME": os.path.join(folder, "cache")}
        words = [binary, "bench-step", "--model", options.network, "--device", "cuda", "--precision", options.precision, "--patch", "32",
                 "--batch", "2", "--warmup", "1", "--steps", "3", "--set", f"model.settings={SETTINGS[options.network]}",
                 "--set", f"kernels={options.kernels}", "--json"]
        subprocess.run(words, env=environment, check=True, stdout=subprocess.DEVNULL)
        record = Record(path)
    uploads = record.uploads(2 * 4 * 32**3 * 2)
    print("| wait for | launches behind it | thread | in | called by |\n|" + "---|" * 5)
    step = record.events[uploads[3] : uploads[4]]
    for (letter, rest), (below, places) in zip(step, step[1:]):
        if letter != "s" or below != "b":
            continue
        what, behind, holding, *thread = rest.split(" ", 3)
        callers = " < ".join(functions_at(binary, places.split())[:8])
        print(f"| {what} | {behind} | {'that launches' if holding == 'held' else 'another'} | {' '.join(thread)} | {callers} |")
    return 0


if __name__ == "__main__":
    sys.exit(main())
