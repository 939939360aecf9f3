//! Environment of a run: `environment.json`.

use serde::Serialize;

use crate::augment::Kernel;
use crate::base::{Fingerprint, fs};

/// Environment of a run: `environment.json`.
#[derive(Debug, Clone, Serialize)]
pub struct Environment {
    /// Version of gliaflow.
    pub version: &'static str,
    /// Version of the tensor library.
    pub burn: &'static str,
    /// The device that trains.
    pub device: String,
    /// Number format of the factors in convolutions and matrix products: on CUDA not always the
    /// precision of the configuration.
    pub products: &'static str,
    /// The machine's name, where it tells.
    pub host: Option<String>,
    /// Processor model, where the system tells.
    pub processor: Option<String>,
    /// Cores that this process may use.
    pub cores: usize,
    /// Name of the augmentation kernel; every kernel makes the same voxels.
    pub kernel: &'static str,
    /// Fingerprint of `Cargo.lock`: the exact versions of all dependencies.
    pub lock_file: Fingerprint,
    /// Bit-exactness that may be claimed on this device.
    pub reproducibility: &'static str,
}

impl Environment {
    /// Describes this process, training on `device`, which multiplies in `products`.
    pub fn of_process(device: &str, products: &'static str, deterministic: bool) -> Self {
        let read = |path: &str| fs::read_to_string(path).ok();
        let processor = read("/proc/cpuinfo").and_then(|text| {
            let line = text.lines().find(|line| line.starts_with("model name"))?;
            line.split_once(':').map(|(_, name)| name.trim().to_string())
        });
        Self {
            version: env!("CARGO_PKG_VERSION"),
            burn: "0.22.1",
            device: device.to_string(),
            products,
            host: read("/proc/sys/kernel/hostname").map(|name| name.trim().to_string()),
            processor,
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            kernel: Kernel::fastest_available().name(),
            lock_file: Fingerprint::of_bytes(include_bytes!("../../Cargo.lock")),
            reproducibility: if deterministic {
                "batches are bit-exact; losses and weights too, on the same processor and thread count"
            } else {
                "batches are bit-exact; losses and weights as far as the device's kernels are"
            },
        }
    }
}
