"""NVRTC and ptxas on kept sources, without a card: what the driver would be given, and what it would make of it."""

import ctypes
import hashlib
import json
import multiprocessing
import os
import re
import resource
import subprocess
import tempfile


def library_of(toolkit):
    # NVRTC opens this by its name alone.
    ctypes.CDLL(os.path.join(toolkit, "lib", "libnvrtc-builtins.so.13.0"))
    library = ctypes.CDLL(os.path.join(toolkit, "lib", "libnvrtc.so.13"))
    library.nvrtcGetErrorString.restype = ctypes.c_char_p
    return library


def processor_seconds(who):
    used = resource.getrusage(who)
    return used.ru_utime + used.ru_stime


def compile_source(library, toolkit, source, architecture):
    """PTX and NVRTC's words; no PTX if it refused."""
    program, size = ctypes.c_void_p(), ctypes.c_size_t()
    if library.nvrtcCreateProgram(ctypes.byref(program), source, None, 0, None, None):
        raise RuntimeError("NVRTC makes no program")
    include = os.path.join(toolkit, "include")
    options = [f"--gpu-architecture={architecture}", f"--include-path={include}", "-lineinfo", f"--include-path={include}/cccl"]
    refused = library.nvrtcCompileProgram(program, len(options), (ctypes.c_char_p * len(options))(*map(str.encode, options)))
    library.nvrtcGetProgramLogSize(program, ctypes.byref(size))
    log = ctypes.create_string_buffer(size.value)
    library.nvrtcGetProgramLog(program, log)
    ptx = b""
    if b"nvrtc: error: failed to open" in log.value:
        raise RuntimeError(log.value.decode())
    if not refused:
        library.nvrtcGetPTXSize(program, ctypes.byref(size))
        text = ctypes.create_string_buffer(size.value)
        library.nvrtcGetPTX(program, text)
        ptx = text.value
    library.nvrtcDestroyProgram(ctypes.byref(program))
    return ptx, log.value.decode(errors="replace")


def assemble(toolkit, ptx, architecture):
    """What ptxas -v says: registers, spilled bytes, static shared memory; the most of any kernel in it."""
    with tempfile.TemporaryDirectory() as scratch:
        path = os.path.join(scratch, "kernel.ptx")
        with open(path, "wb") as file:
            file.write(ptx)
        before = processor_seconds(resource.RUSAGE_CHILDREN)
        done = subprocess.run([os.path.join(toolkit, "bin", "ptxas"), f"-arch={architecture}", "-v", "-o",
                               os.path.join(scratch, "kernel.cubin"), path], capture_output=True, text=True)
        seconds = processor_seconds(resource.RUSAGE_CHILDREN) - before
    if done.returncode:
        return {"assembled": False, "log": done.stderr[:2000], "ptxas_seconds": seconds}

    def found(pattern):
        return max((int(one) for one in re.findall(pattern, done.stderr)), default=0)

    return {"assembled": True, "ptxas_seconds": seconds, "registers": found(r"Used (\d+) registers"),
            "spilled_bytes": found(r"(\d+) bytes spill stores"), "shared_bytes": found(r"(\d+) bytes smem")}


STATE = {}


def begin_worker(toolkit):
    STATE.update(library=library_of(toolkit), toolkit=toolkit)


def work(job):
    """One source for one architecture; written whole or not at all."""
    path, architecture, result_path = job
    with open(path, "rb") as file:
        source = file.read()
    before = processor_seconds(resource.RUSAGE_SELF)
    ptx, log = compile_source(STATE["library"], STATE["toolkit"], source, architecture)
    result = {"compiled": bool(ptx), "nvrtc_seconds": processor_seconds(resource.RUSAGE_SELF) - before,
              "architecture": architecture}
    result.update(assemble(STATE["toolkit"], ptx, architecture) if ptx else {"assembled": False, "log": log[:2000]})
    part = f"{result_path}.{os.getpid()}"
    with open(part, "w") as file:
        json.dump(result, file)
    os.replace(part, result_path)
    return path, architecture, result


def architecture_of(path):
    """What NVRTC was asked for, from a kept source's first line."""
    with open(path, "rb") as file:
        return re.match(rb"// nvrtc:.*--gpu-architecture=(\w+)", file.readline())[1].decode()


class Compiler:
    """Compiles what has not been compiled, in some processes; results are kept by source, architecture and version."""

    def __init__(self, toolkit, folder, jobs):
        self.toolkit, self.jobs = toolkit, jobs
        with open(os.path.join(toolkit, "wheels.txt")) as file:
            version = hashlib.sha256(file.read().encode()).hexdigest()[:12]
        self.folder = os.path.join(folder, version)
        os.makedirs(self.folder, exist_ok=True)

    def result_path(self, path, architecture):
        with open(path, "rb") as file:
            digest = hashlib.sha256(file.read()).hexdigest()[:32]
        return os.path.join(self.folder, f"{digest}-{architecture}.json")

    def kept(self, jobs):
        """Results that are there already, by (path, architecture)."""
        results = {}
        for path, architecture in jobs:
            result_path = self.result_path(path, architecture)
            if os.path.exists(result_path):
                with open(result_path) as file:
                    results[path, architecture] = json.load(file)
        return results

    def compile_all(self, jobs, tell, deadline=None):
        """Results by (path, architecture); those for which the time did not suffice are left out."""
        results = self.kept(jobs)
        missing = [(*job, self.result_path(*job)) for job in sorted(jobs - set(results))]
        tell(f"{len(results)} kernels are known, {len(missing)} are compiled")
        # The shortest first: a few take half of all the time.
        missing.sort(key=lambda job: os.path.getsize(job[0]))
        with multiprocessing.Pool(self.jobs, begin_worker, (self.toolkit,)) as pool:
            done = pool.imap_unordered(work, missing)
            for _ in missing:
                try:
                    path, architecture, result = done.next(None if deadline is None else max(0.1, deadline()))
                except multiprocessing.TimeoutError:
                    pool.terminate()
                    break
                results[path, architecture] = result
                if len(results) % 50 == 0:
                    tell(f"{len(results)} kernels compiled")
        return results
