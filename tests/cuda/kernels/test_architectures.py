"""Every kernel through NVRTC and ptxas for the four architectures that cards have: sm_80, sm_90, sm_100, sm_120.

Registers, shared memory and the main loop's instructions are held to what is written down here, so that no change
makes a kernel spill or doubles what it issues without being seen. Needs the wheels of tests/cuda/toolkit.
"""

import ctypes
import itertools
import os
import re
import subprocess
import tempfile
import unittest

from kernels import ROOT, source_of

ARCHITECTURES = ("sm_80", "sm_90a", "sm_100a", "sm_120a")
COUNTED = "sm_90a"

# Bytes: two registers around a call for a division in f64, or ahead of a loop.
MOST_SPILLED = 16

TILES = [
    # COLUMNS, bytes read at once: 60 and more channels, 30, groups of 4 and of 1.
    (64, 16), (32, 16), (16, 16), (8, 8), (8, 4),
]

# Instructions of the main loop, of them products of matrices (HMMA), on sm_90a; at most.
LOOPS = {
    ("correlate", 1, 64): (190, 32), ("correlate", 1, 32): (160, 16),
    ("correlate", 0, 64): (260, 32), ("correlate", 0, 32): (195, 16),
    # With the look-up of the next 128 voxels, every fourth or eighth time.
    ("kernel_gradient", 1, 64): (315, 32), ("kernel_gradient", 1, 32): (275, 16),
    ("kernel_gradient", 0, 64): (450, 32), ("kernel_gradient", 0, 32): (375, 16),
}


def variants():
    """File and macros of each kernel that is launched."""
    for bf16 in (1, 0):
        for columns, granule in [*TILES, *([(8, 2)] if bf16 else [])]:
            tile = {"BF16": bf16, "COLUMNS": columns, "GRANULE": granule}
            yield "correlate", {**tile, "TARGET_GRANULE": granule, "BIAS": 1}
            yield "kernel_gradient", {**tile, "TARGET_GRANULE": granule}
            yield "pack_kernel", tile
            yield "add_kernel_parts", tile
        for file in ("add_parts", "to_channels_last", "norm_statistics", "norm_gradient_statistics", "max_pool",
                     "max_pool_gradient", "upsample", "upsample_gradient", "concatenate", "take_channels", "group_max", "mean_pool", "mean_pool_gradient",
                     "group_max_gradient", "drop_values", "lay_out_images", "channel_sums", "add_channel_sums"):
            yield file, {"BF16": bf16, "BIAS": 1}
        for file in ("norm_sums", "norm_apply"):
            yield file, {"BF16": bf16, "BACKWARD": 0}
            yield file, {"BF16": bf16, "BACKWARD": 1}
    for file, regions in itertools.product(("region_sums", "region_scores", "region_gradient"), (1, 3, 8)):
        yield file, {"REGIONS": regions, "COUNTED": regions % 2}
        yield file, {"REGIONS": regions, "COUNTED": 0}
    for bf16, other in itertools.product((0, 1), repeat=2):
        for logistic in (0, 1, 2):
            yield "convert_channels", {"BF16": bf16, "SOURCE_BF16": other, "LOGISTIC": logistic}
        for file in ("dense", "dense_input_gradient", "dense_weight_gradient"):
            yield file, {"BF16": bf16, "ANSWER_BF16": other, "RELU": other}
    for file in ("squared_error", "squared_error_sums", "squared_error_gradient"):
        yield file, {"BF16": 0}
        yield file, {"BF16": 1}
    yield "gradient_squares", {"SLOTS": 128}
    yield "gradient_norm", {}
    for rule, moments in ((0, 0), (0, 1), (1, 2), (1, 3), (2, 2), (2, 3)):
        yield "update_parameters", {"SLOTS": 32, "MOMENTS": moments, "RULE": rule}


class Toolkit:
    def __init__(self):
        target = os.environ.get("CARGO_TARGET_DIR", os.path.join(ROOT, "target"))
        self.folder = os.path.join(target, "cuda-toolkit")
        libraries = os.path.join(self.folder, "lib")
        named = {name.split(".so")[0]: os.path.join(libraries, name) for name in sorted(os.listdir(libraries))
                 if re.fullmatch(r"libnvrtc(-builtins)?\.so\.\d+(\.\d+)?", name)}
        ctypes.CDLL(named["libnvrtc-builtins"], mode=ctypes.RTLD_GLOBAL)
        self.nvrtc = ctypes.CDLL(named["libnvrtc"])

    def ptx(self, source, architecture):
        """What NVRTC makes of a source, with CubeCL's options."""
        rtc, program, size = self.nvrtc, ctypes.c_void_p(), ctypes.c_size_t()
        assert rtc.nvrtcCreateProgram(ctypes.byref(program), source.encode(), None, 0, None, None) == 0
        options = [f"--gpu-architecture={architecture}".encode(), b"-lineinfo"]
        refused = rtc.nvrtcCompileProgram(program, len(options), (ctypes.c_char_p * len(options))(*options))
        sized, read = ("nvrtcGetProgramLogSize", "nvrtcGetProgramLog") if refused else ("nvrtcGetPTXSize", "nvrtcGetPTX")
        getattr(rtc, sized)(program, ctypes.byref(size))
        text = ctypes.create_string_buffer(size.value)
        getattr(rtc, read)(program, text)
        rtc.nvrtcDestroyProgram(ctypes.byref(program))
        if refused:
            raise AssertionError(f"{architecture}: {text.value.decode()}")
        return text.value

    def assemble(self, ptx, architecture, folder):
        """Path of the machine code, and what ptxas says of it."""
        paths = [os.path.join(folder, name) for name in ("kernel.ptx", "kernel.cubin")]
        with open(paths[0], "wb") as file:
            file.write(ptx)
        words = [os.path.join(self.folder, "bin", "ptxas"), f"-arch={architecture}", "-v", "-o", paths[1], paths[0]]
        done = subprocess.run(words, capture_output=True, text=True)
        if done.returncode:
            raise AssertionError(f"{architecture}: {done.stderr}")
        return paths[1], done.stderr

    def disassemble(self, cubin):
        """Instructions, and at which of them each label stands."""
        words = [os.path.join(self.folder, "bin", "nvdisasm"), "-c", cubin]
        labels, instructions = {}, []
        for line in subprocess.run(words, capture_output=True, text=True, check=True).stdout.splitlines():
            label = re.match(r"^(\.L_\w+):", line)
            if label:
                labels[label[1]] = len(instructions)
            elif re.match(r"^\s+/\*[0-9a-f]{4,}\*/", line):
                instructions.append(re.sub(r"^\s+/\*[0-9a-f]+\*/\s+", "", line))
        return instructions, labels

    def instructions(self, cubin):
        return len(self.disassemble(cubin)[0])

    def main_loop(self, cubin):
        """Instructions of the shortest loop with products of matrices, and how many of them are products."""
        instructions, labels = self.disassemble(cubin)
        loops = []
        for at, instruction in enumerate(instructions):
            back = re.search(r"\bBRA\b.*?(\.L_\w+)", instruction)
            if back and labels.get(back[1], at + 1) <= at:
                body = instructions[labels[back[1]]:at + 1]
                products = sum("HMMA" in one for one in body)
                if products:
                    loops.append((len(body), products))
        return min(loops) if loops else None


class Architectures(unittest.TestCase):
    def test_every_kernel_compiles_hardly_spills_and_issues_no_more_than_is_written_down(self):
        toolkit = Toolkit()
        with tempfile.TemporaryDirectory() as folder:
            for file, macros in variants():
                for architecture in ARCHITECTURES:
                    with self.subTest(file=file, architecture=architecture, **macros):
                        ptx = toolkit.ptx(source_of(file, macros), architecture)
                        cubin, told = toolkit.assemble(ptx, architecture, folder)
                        spilled = [int(size) for size in re.findall(r"(\d+) bytes spill", told)]
                        self.assertLessEqual(max(spilled), MOST_SPILLED, told)
                        shared = [int(size) for size in re.findall(r"(\d+) bytes smem", told)]
                        self.assertLessEqual(max(shared, default=0), 48 * 1024)
                        most = LOOPS.get((file, macros.get("BF16"), macros.get("COLUMNS")))
                        if most and architecture == COUNTED:
                            issued, products = toolkit.main_loop(cubin)
                            self.assertEqual(products, most[1])
                            self.assertLessEqual(issued, most[0])


if __name__ == "__main__":
    unittest.main()
