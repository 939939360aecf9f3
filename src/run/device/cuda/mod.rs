//! Requirements of CUDA on a machine, and the error text of each that is missing.
//!
//! CubeCL meets a missing part at the first kernel, as a panic in a thread of its own. So the GPU is
//! tried out when it is chosen, and this is what the trial can find. The trial itself is `trial.rs`,
//! which exists only in builds with the feature `cuda`; the texts exist in all.

use std::path::{Path, PathBuf};

use burn::tensor::Device;

#[cfg(feature = "cuda")]
mod driver;
#[cfg(feature = "cuda")]
mod settings;
#[cfg(feature = "cuda")]
mod trial;
#[cfg(feature = "cuda")]
pub use trial::first_gpu;

/// The oldest CUDA whose driver has all that CubeCL calls: tensor maps came with it. As
/// `cuDriverGetVersion` counts, 1000 times the major version and 10 times the minor one.
pub const OLDEST_DRIVER: i32 = 12_000;

/// A GPU that has been tried out.
pub struct Gpu {
    /// Device of the tensors.
    pub device: Device,
    /// Product name.
    pub name: String,
    /// CUDA version of the driver, as it counts.
    pub driver: i32,
}

/// Source of headers and NVRTC, as advice.
const TOOLKIT: &str = "install the CUDA toolkit, or the Python wheels nvidia-cuda-nvrtc, \
                       nvidia-cuda-runtime, nvidia-cuda-cccl and nvidia-cuda-crt, and point \
                       CUDA_PATH to the folder that holds `include` (the wheels' is \
                       site-packages/nvidia/cu13)";

/// The first part of CUDA that is not there. Its text is the problem and the way out.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[cfg_attr(not(feature = "cuda"), allow(dead_code, reason = "found by looking for a driver"))]
pub enum Missing {
    /// CUDA is not compiled in.
    #[error(
        "this program was built without it; build one with `cargo build --release --features cuda`"
    )]
    Feature,
    /// No `libcuda`.
    #[error(
        "no NVIDIA driver, the loader finds no libcuda.so.1; install the driver, or give a \
         container the host's GPUs (docker run --gpus all)"
    )]
    Driver,
    /// Call that the driver refuses.
    #[error(
        "the NVIDIA driver was asked for {asked} and answers {reason}; see whether `nvidia-smi` \
         works and who else uses the GPU, or update the driver"
    )]
    Refusal {
        /// Request, in words.
        asked: &'static str,
        /// The driver's own name for the reason.
        reason: String,
    },
    /// A driver that lists no GPU.
    #[error(
        "the NVIDIA driver lists no GPU; see what `nvidia-smi` lists, and whether \
         CUDA_VISIBLE_DEVICES hides it"
    )]
    Gpu,
    /// A driver of a CUDA before [`OLDEST_DRIVER`].
    #[error(
        "the NVIDIA driver is of CUDA {}, and CUDA {} is needed; update the driver (Linux: 525 or \
         newer)",
        version(*found),
        version(OLDEST_DRIVER)
    )]
    Version {
        /// The CUDA that the driver is of, as it counts.
        found: i32,
    },
    /// A driver without a function that CubeCL calls.
    #[error(
        "the NVIDIA driver says that it is of CUDA {} and has no {name}, and a whole one of CUDA \
         {} or newer is needed; update the driver, and see which libcuda.so.1 the loader finds",
        version(*found),
        version(OLDEST_DRIVER)
    )]
    Function {
        /// The CUDA that the driver is of, as it counts.
        found: i32,
        /// The function, as the library exports it.
        name: &'static str,
    },
    /// No CUDA headers: where they were looked for, if there was a place to look.
    #[error("no CUDA headers: {}; {TOOLKIT}", absent_headers(.0.as_deref()))]
    Headers(Option<PathBuf>),
    /// Missing header.
    #[error("the CUDA headers in {} lack {name}; {TOOLKIT}", include.display())]
    Header {
        /// Name in the `#include`.
        name: String,
        /// The folder of headers.
        include: PathBuf,
    },
    /// No `libnvrtc`.
    #[error(
        "no CUDA compiler, the loader finds neither libnvrtc.so nor libnvrtc.so.12; {TOOLKIT} and \
         LD_LIBRARY_PATH to the `lib` beside it; the wheels of CUDA 13 name the library \
         libnvrtc.so.13 alone, so put a link libnvrtc.so to it there"
    )]
    Nvrtc,
    /// NVRTC is there and does not compile for this GPU: the first line of its log.
    #[error(
        "NVRTC does not compile for this GPU ({0}); use a CUDA toolkit that supports it, whole and \
         of one version"
    )]
    Compiler(String),
    /// The driver does not load what NVRTC compiles; its own name for the reason.
    #[error(
        "the NVIDIA driver does not load what NVRTC compiles ({0}); update the driver, or use a \
         CUDA toolkit no newer than the version that `nvidia-smi` shows"
    )]
    Pairing(String),
}

fn absent_headers(root: Option<&Path>) -> String {
    match root {
        Some(path) => format!("there is no {}", path.join("include/cuda_fp16.h").display()),
        None => "CUDA_PATH is not set, and there is no /usr/local/cuda, no /opt/cuda and no \
                 /usr/bin/nvcc"
            .into(),
    }
}

/// A version as people write it.
fn version(counted: i32) -> String {
    format!("{}.{}", counted / 1000, counted % 1000 / 10)
}

impl Missing {
    /// Reads NVRTC's log of a trial kernel that does not compile against `include`.
    #[cfg(any(feature = "cuda", test))]
    pub fn of_log(log: &str, include: PathBuf) -> Self {
        const ABSENT: &str = "cannot open source file \"";
        let absent = log.split_once(ABSENT).and_then(|(_, rest)| rest.split_once('"'));
        if let Some((name, _)) = absent {
            return Self::Header { name: name.to_string(), include };
        }
        let first = log.lines().map(str::trim).find(|line| !line.is_empty());
        Self::Compiler(first.unwrap_or("it says nothing").to_string())
    }

    /// True if there is a GPU all the same: its owner expects it to be used.
    pub const fn leaves_a_gpu_idle(&self) -> bool {
        !matches!(self, Self::Feature | Self::Driver | Self::Gpu)
    }
}

/// Returns [`Missing::Feature`]: this build has no CUDA.
///
/// # Errors
/// Always.
#[cfg(not(feature = "cuda"))]
pub const fn first_gpu() -> Result<Gpu, Missing> {
    Err(Missing::Feature)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn assert_names(missing: &Missing, words: &[&str]) {
        let text = missing.to_string();
        for word in words {
            assert!(text.contains(word), "`{word}` is not in: {text}");
        }
        let (problem, remedy) = text.split_once("; ").expect("a problem; a way out");
        assert!(!problem.is_empty() && !remedy.is_empty());
    }

    #[test]
    fn each_missing_part_is_named_with_its_way_out() {
        let wheels = ["nvidia-cuda-nvrtc", "nvidia-cuda-runtime", "nvidia-cuda-cccl", "CUDA_PATH"];
        assert_names(&Missing::Feature, &["--features cuda"]);
        assert_names(&Missing::Driver, &["libcuda.so.1", "install the driver"]);
        assert_names(&Missing::Gpu, &["no GPU", "nvidia-smi", "CUDA_VISIBLE_DEVICES"]);
        let refusal =
            Missing::Refusal { asked: "its GPUs", reason: "CUDA_ERROR_SYSTEM_NOT_READY".into() };
        assert_names(&refusal, &["its GPUs", "CUDA_ERROR_SYSTEM_NOT_READY", "nvidia-smi"]);
        assert_names(&Missing::Headers(None), &wheels);
        assert_names(&Missing::Headers(Some("/opt/cuda".into())), &wheels);
        assert_names(
            &Missing::Headers(Some("/opt/cuda".into())),
            &["/opt/cuda/include/cuda_fp16.h"],
        );
        assert_names(&Missing::Nvrtc, &wheels);
        assert_names(&Missing::Nvrtc, &["libnvrtc.so", "LD_LIBRARY_PATH", "libnvrtc.so.13"]);
        assert_names(&Missing::Version { found: 11_040 }, &["CUDA 11.4", "CUDA 12.0", "525"]);
        let function = Missing::Function { found: 12_080, name: "cuEventElapsedTime" };
        assert_names(&function, &["CUDA 12.8", "no cuEventElapsedTime", "CUDA 12.0"]);
        let pairing = Missing::Pairing("CUDA_ERROR_UNSUPPORTED_PTX_VERSION".into());
        assert_names(&pairing, &["CUDA_ERROR_UNSUPPORTED_PTX_VERSION", "update the driver"]);
    }

    #[test]
    fn a_compilers_log_names_the_header_or_speaks_for_itself() {
        let include = PathBuf::from("/c/include");
        let log = "default_program(3): catastrophic error: cannot open source file \
                   \"cuda/barrier\"\n  #include <cuda/barrier>\n\n1 catastrophic error\n";
        let missing = Missing::of_log(log, include.clone());
        assert_eq!(
            missing,
            Missing::Header { name: "cuda/barrier".into(), include: include.clone() }
        );
        assert_names(&missing, &["/c/include lack cuda/barrier", "nvidia-cuda-cccl"]);

        let log = "\nnvrtc: error: failed to open libnvrtc-builtins.so.13.0.\n  Make sure …\n";
        let missing = Missing::of_log(log, include.clone());
        assert_names(&missing, &["(nvrtc: error: failed to open libnvrtc-builtins.so.13.0.)"]);
        assert_names(&Missing::of_log("\n", include), &["(it says nothing)"]);
    }

    #[test]
    fn only_what_is_wrong_with_a_gpu_that_is_there_deserves_a_warning() {
        assert!(!Missing::Feature.leaves_a_gpu_idle());
        assert!(!Missing::Driver.leaves_a_gpu_idle());
        assert!(!Missing::Gpu.leaves_a_gpu_idle());
        assert!(Missing::Nvrtc.leaves_a_gpu_idle());
        assert!(Missing::Version { found: 11_040 }.leaves_a_gpu_idle());
        assert!(Missing::Headers(None).leaves_a_gpu_idle());
    }
}
