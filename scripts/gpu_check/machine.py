"""What the machine has: CUDA's headers and compiler, a Python with torch, NVIDIA's tools."""

import lzma
import os
import platform
import shutil
import subprocess
import sys
import tarfile

# Of CUDA's headers the one that CubeCL's kernels include first, and the parts that a Python's
# nvidia/cu13 may lack; the package carries those. `nv` belongs to `cccl`.
HEADER = "cuda_fp16.h"
PARTS = {"crt": "crt/host_config.h", "cccl": "cccl/cuda/barrier", "nv": "nv/target"}


def asked(words, seconds=20):
    """What a command prints, or nothing if there is no such command or it fails."""
    try:
        done = subprocess.run(words, capture_output=True, text=True, timeout=seconds, check=True)
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.strip()


def python_folders(python):
    """The folders that a Python imports from."""
    code = "import site, sys; print('\\n'.join([*sys.path, *site.getsitepackages()]))"
    return [line for line in asked([python, "-c", code]).splitlines() if line]


def candidates(python, environment):
    """Folders that may be CUDA, the likely first: a toolkit is whole, a Python's wheels seldom."""
    named = [environment.get("CUDA_PATH"), environment.get("CUDA_HOME"), "/usr/local/cuda"]
    wheels = [os.path.join(folder, "nvidia", "cu13") for folder in python_folders(python)]
    found = [folder for folder in [*named, *wheels] if folder and os.path.isdir(folder)]
    return list(dict.fromkeys(found))


def tool(name, folders=()):
    """A program on the PATH or in a CUDA folder, or nothing."""
    places = [os.environ.get("PATH", os.defpath), "/usr/local/cuda/bin"]
    places += [os.path.join(folder, "bin") for folder in folders]
    return shutil.which(name, path=os.pathsep.join(places))


def include_of(folder):
    """A folder's headers, if it has CUDA's."""
    for place in ("include", "targets/x86_64-linux/include"):
        if os.path.isfile(os.path.join(folder, place, HEADER)):
            return os.path.join(folder, place)
    return None


def libraries_of(folder):
    """A folder's libraries, if NVRTC is among them."""
    for place in ("lib64", "lib", "targets/x86_64-linux/lib"):
        path = os.path.join(folder, place)
        if os.path.isdir(path) and any(name.startswith("libnvrtc.so") for name in os.listdir(path)):
            return path
    return None


def link_all(source, target):
    """Links every entry of a folder into another, where that has none of the name."""
    for name in sorted(os.listdir(source)):
        link = os.path.join(target, name)
        if not os.path.lexists(link):
            os.symlink(os.path.join(source, name), link)


def unpack_carried(packed, folder):
    """What a package carries, unpacked into `folder`; an empty folder without a package."""
    os.makedirs(folder, exist_ok=True)
    if os.path.isfile(packed):
        with tarfile.open(packed) as tar:
            tar.extractall(folder, filter="data") if hasattr(tarfile, "data_filter") else tar.extractall(folder)
    return folder


def compose(folder, found, carried):
    """Puts together a CUDA in `folder` out of the folders `found`, and what it is made of.

    Links alone: headers of the first that has them, the parts that it lacks out of `carried`, and the
    first NVRTC, also under the name without a version, which the program looks for.
    """
    made_of = {}
    include, library = os.path.join(folder, "include"), os.path.join(folder, "lib64")
    os.makedirs(include, exist_ok=True)
    os.makedirs(library, exist_ok=True)
    headers = next(filter(None, map(include_of, found)), None)
    if headers:
        made_of["headers"] = headers
        link_all(headers, include)
    for part, probe in PARTS.items():
        own = os.path.join(carried, part)
        if not os.path.isfile(os.path.join(include, probe)) and os.path.isdir(own):
            if os.path.islink(os.path.join(include, part)):
                os.unlink(os.path.join(include, part))
            os.symlink(own, os.path.join(include, part))
            made_of[part] = own
    libraries = next(filter(None, map(libraries_of, found)), None)
    if libraries:
        made_of["nvrtc"] = libraries
        link_all(libraries, library)
        versions = sorted(name for name in os.listdir(library) if name.startswith("libnvrtc.so."))
        plain = os.path.join(library, "libnvrtc.so")
        if versions and not os.path.exists(plain):
            os.symlink(os.path.join(library, versions[-1]), plain)
    return made_of


def kernel_versions(cache):
    """Versions of NVRTC that a user's cache folder has kernels of (docs/adr/006)."""
    folder = os.path.join(cache, "gliaflow", "cuda")
    return sorted(name for name in os.listdir(folder) if name.startswith("nvrtc-")) if os.path.isdir(folder) else []


def kept_kernels(cache):
    """Compiled kernels in a user's cache folder: each is there by its id and by its source."""
    folders = (os.path.join(cache, "gliaflow", "cuda", version, "kernels") for version in kernel_versions(cache))
    return sum(len(files) for one in folders for _, _, files in os.walk(one)) // 2


def environment_with(folder, environment):
    """The environment of a process that is to find the CUDA in `folder`."""
    old = environment.get("LD_LIBRARY_PATH")
    library = os.path.join(folder, "lib64")
    path = f"{library}:{old}" if old else library
    return {**environment, "CUDA_PATH": folder, "LD_LIBRARY_PATH": path}


def unpacked(binary, folder):
    """The program itself: unpacked into `folder` if it is compressed."""
    if not binary.endswith(".xz"):
        return os.path.abspath(binary)
    target = os.path.join(folder, "gliaflow")
    with lzma.open(binary) as source, open(target, "wb") as file:
        shutil.copyfileobj(source, file, 1 << 20)
    os.chmod(target, 0o755)
    return target


def processor():
    """Family, model and name of the processor."""
    wanted, found = ("model name", "cpu family", "model"), {}
    try:
        with open("/proc/cpuinfo") as file:
            for line in file:
                name, _, value = line.partition(":")
                if name.strip() in wanted:
                    found.setdefault(name.strip(), value.strip())
    except OSError:
        pass
    return f"{found.get('model name', 'unknown')} (family {found.get('cpu family', '?')}, model {found.get('model', '?')})"


def listing(folders):
    """The libraries of CUDA folders and the first of their headers, for the archive."""
    lines = []
    for folder in folders:
        for place in filter(None, (libraries_of(folder), include_of(folder))):
            lines += [f"{place}:", *(f"  {name}" for name in sorted(os.listdir(place))[:200])]
    return "\n".join(lines) + "\n"


def described():
    """The machine in facts for the table and the archive."""
    query = "--query-gpu=name,driver_version,memory.total,clocks.max.sm"
    return {
        "processor": processor(),
        "cores": len(os.sched_getaffinity(0)),
        "libc": " ".join(platform.libc_ver()),
        "kernel": platform.release(),
        "python": sys.version.split()[0],
        "gpu": asked(["nvidia-smi", query, "--format=csv,noheader"]) or "nvidia-smi tells none",
        "nvcc": (asked([tool("nvcc") or "nvcc", "--version"]) or "none").splitlines()[-1],
    }


# Of a process of its own: it tells which torch there is, or fails.
TORCH = (
    "import torch; print(torch.__version__, 'cuDNN', torch.backends.cudnn.version(),"
    " 'GPU' if torch.cuda.is_available() else 'no GPU')"
)
