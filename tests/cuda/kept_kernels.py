#!/usr/bin/env python3
"""Compiles the kernels of a check for cards that are not there, and keeps them as the program does.

  tests/cuda/kept_kernels.py BINARY FOLDER [--architectures 80,90,100,120] [--jobs 2]

BINARY is a gliaflow built with --features cuda. It runs on a stand-in for the driver (tests/cuda/standin) that computes
nothing, with the real NVRTC 13.0 (tests/cuda/toolkit), once for each network and precision of scripts/gpu-check, its
convolutions and its small operations. FOLDER is the user's cache folder of these runs: kernels lie in
FOLDER/gliaflow/cuda, by NVRTC's version, architecture and source, as a card's driver takes them (docs/adr/006).
scripts/gpu-pack packs them.
"""

import argparse
import concurrent.futures
import itertools
import json
import os
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(ROOT, "scripts"))

from gpu_check.machine import kept_kernels  # noqa: E402
from gpu_check.plan import plan_of  # noqa: E402

TARGET = os.environ.get("CARGO_TARGET_DIR", os.path.join(ROOT, "target"))
TOOLKIT = os.path.abspath(os.path.join(TARGET, "cuda-toolkit"))
SECONDS = 900


def environment_with_nvrtc(folder, standin, cache, architecture):
    """The environment of a program that finds the stand-in for the driver, NVRTC itself, and a cache folder of its own."""
    libraries = os.path.join(folder, "with-nvrtc")
    os.makedirs(libraries, exist_ok=True)
    for name, at in (("libcuda.so.1", os.path.join(standin, "lib64", "libcuda.so.1")),
                     ("libnvrtc.so", os.path.join(TOOLKIT, "lib", "libnvrtc.so.13")),
                     ("libnvrtc-builtins.so.13.0", os.path.join(TOOLKIT, "lib", "libnvrtc-builtins.so.13.0"))):
        if not os.path.lexists(os.path.join(libraries, name)):
            os.symlink(os.path.abspath(at), os.path.join(libraries, name))
    clean = {name: value for name, value in os.environ.items() if not name.startswith("STANDIN_")}
    return {**clean, "CUDA_PATH": TOOLKIT, "LD_LIBRARY_PATH": libraries, "XDG_CACHE_HOME": cache, "STANDIN_ARCHITECTURE": str(architecture)}


def commands(binary):
    """What the stages of a check ask of a device, and the exit codes that are right on one that computes nothing."""
    plan = plan_of("cuda", tiny=False)
    for model, precision, patch in (("unet", "bf16", plan.patch), ("unet", "f32", plan.patch), ("resunet_vae", "bf16", plan.patch),
                                    ("cascaded", "bf16", plan.cascade_patch)):
        yield [binary, "bench-step", "--model", model, "--device", "cuda", "--precision", precision, "--patch", str(patch),
               "--batch", str(plan.batches[model]), "--warmup", "0", "--steps", "1", "--json"], (0,)
    yield [binary, "bench-convolution", "--device", "cuda", "--precision", "bf16", "--batch", str(plan.batches["unet"]), "--repeats", "1",
           *plan.convolutions, "--json"], (0,)
    # It finds that nothing was computed.
    yield [binary, "check-device", "--device", "cuda", "--tiny", "--json"], (4,)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("binary")
    parser.add_argument("folder")
    parser.add_argument("--architectures", default="80,90,100,120")
    parser.add_argument("--jobs", type=int, default=2)
    options = parser.parse_args()
    folder = os.path.abspath(options.folder)
    subprocess.run([os.path.join(HERE, "toolkit"), TOOLKIT], check=True)
    scratch = os.path.join(TARGET, "cuda-kept-kernels")
    standin = os.path.abspath(os.path.join(scratch, "standin"))
    subprocess.run([os.path.join(HERE, "standin", "build"), standin], check=True)

    def compile_kernels(job):
        architecture, (words, codes) = job
        environment = environment_with_nvrtc(os.path.abspath(scratch), standin, folder, architecture)
        done = subprocess.run(words, env=environment, cwd=scratch, capture_output=True, text=True, timeout=SECONDS)
        name = f"sm_{architecture}, {' '.join(words[1:6])}"
        if done.returncode not in codes or "panicked" in done.stderr:
            return f"{name}: exit {done.returncode}: {done.stderr[-1500:]}"
        return None

    jobs = itertools.product(options.architectures.split(","), commands(os.path.abspath(options.binary)))
    with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
        problems = [problem for problem in pool.map(compile_kernels, jobs) if problem]
    for problem in problems:
        print(f"kept-kernels: {problem}", file=sys.stderr)
    print(json.dumps({"kernels": kept_kernels(folder), "architectures": options.architectures.split(",")}))
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
