"""The emulator's own kernels are CUDA C++ for NVRTC and ptxas, too. Needs tests/cuda/toolkit; skipped without."""

import os
import shutil
import sys
import tempfile
import unittest

CUDA = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
ROOT = os.path.dirname(os.path.dirname(CUDA))
sys.dont_write_bytecode = True
sys.path.insert(0, CUDA)

from nvrtc import Compiler, architecture_of  # noqa: E402

TOOLKIT = os.path.join(os.environ.get("CARGO_TARGET_DIR", os.path.join(ROOT, "target")), "cuda-toolkit")
KERNELS = os.path.join(CUDA, "emulator", "tests", "kernels")


@unittest.skipUnless(os.path.exists(os.path.join(TOOLKIT, "bin", "ptxas")), "no NVRTC: run tests/cuda/toolkit")
class Compiled(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.mkdtemp(prefix="nvrtc-")
        self.addCleanup(shutil.rmtree, self.folder)
        self.told = []

    def compile(self, jobs):
        return Compiler(TOOLKIT, self.folder, 2).compile_all(jobs, self.told.append)

    def test_the_emulators_kernels(self):
        # Copies by tensor maps, stmatrix and elect came with sm_90.
        jobs = {(os.path.join(KERNELS, f"{name}.cu"), architecture) for name in ("products", "threads", "wrong", "barriers", "interfaces")
                for architecture in ("sm_80", "sm_90a", "sm_100a", "sm_120a")
                if architecture != "sm_80" or name not in ("barriers", "interfaces")}
        results = self.compile(jobs)
        self.assertEqual(set(results), jobs)
        for job, result in results.items():
            self.assertTrue(result["compiled"] and result["assembled"], (job, result.get("log")))
        self.compile(jobs)
        self.assertEqual(self.told[-1], "18 kernels are known, 0 are compiled")

    def test_what_is_refused_is_told(self):
        path = os.path.join(self.folder, "wrong.cu")
        with open(path, "w") as file:
            file.write("// nvrtc: --gpu-architecture=sm_90a -lineinfo\nextern \"C\" __global__ void k(float *a) { b[0] = 1; }\n")
        self.assertEqual(architecture_of(path), "sm_90a")
        result = self.compile({(path, "sm_90a")})[path, "sm_90a"]
        self.assertFalse(result["compiled"])
        self.assertIn('identifier "b" is undefined', result["log"])


if __name__ == "__main__":
    unittest.main()
