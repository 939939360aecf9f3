//! Trying out the first GPU, from the driver to a loaded kernel, in the order in which CubeCL would
//! fail. Not a benchmark, and no tensor is made.
//!
//! `cudarc` opens its libraries by name and panics where there are none; nothing else tells. So the
//! trial needs panics that unwind: `panic = "abort"` would end the program instead.

use std::panic::{self, AssertUnwindSafe};
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::thread;

use burn::tensor::Device;
use cubecl::cuda::install;
use cudarc::driver::sys::CUresult;
use cudarc::driver::{CudaContext, DriverError};
use cudarc::nvrtc::{self, CompileError, CompileOptions, Ptx};

use super::settings::{self, KernelMachine};
use super::{Gpu, Missing, driver as driver_library};

/// The headers of the kernels that CubeCL writes for this house's types.
const KERNEL: &str = r#"
#include <cuda_fp16.h>
#include <cuda_bf16.h>
#include <mma.h>
#include <cooperative_groups.h>
#include <cooperative_groups/memcpy_async.h>
#include <cuda/barrier>
extern "C" __global__ void halve(__half *values) {
    values[threadIdx.x] = __hmul(values[threadIdx.x], __float2half(0.5f));
}
"#;

/// A GPU that works. Holding the context costs nothing: CubeCL uses the same, the device's primary.
struct Working {
    name: String,
    driver: i32,
    _context: Arc<CudaContext>,
}

/// The first NVIDIA GPU. Tried out once per process; later calls repeat the answer.
///
/// # Errors
/// The first part that is not there.
pub fn first_gpu() -> Result<Gpu, Missing> {
    static FOUND: OnceLock<Result<Working, Missing>> = OnceLock::new();
    match FOUND.get_or_init(try_out) {
        Ok(working) => {
            Ok(Gpu { device: Device::cuda(0), name: working.name.clone(), driver: working.driver })
        }
        Err(missing) => Err(missing.clone()),
    }
}

fn try_out() -> Result<Working, Missing> {
    match ask_driver("the number of GPUs", CudaContext::device_count) {
        Ok(0) => return Err(Missing::Gpu),
        Ok(_) => {}
        Err(missing) => return Err(missing),
    }
    let driver = ask_driver("its version", driver_library::version)?;
    driver_library::check(driver)?;
    let context = ask_driver("a context", || CudaContext::new(0))?;
    let name = ask_driver("the GPU's name", || context.name())?;
    let capability = ask_driver("the GPU's architecture", || context.compute_capability())?;
    let kernel = compile_kernel(&nvrtc_architecture(capability))?;
    match catch_panic_quietly(|| context.load_module(kernel)) {
        Ok(Ok(_)) => {
            let nvrtc = nvrtc_version();
            settings::prepare_cubecl(&KernelMachine { card: name.clone(), driver, nvrtc });
            Ok(Working { name, driver, _context: context })
        }
        Ok(Err(refusal)) => Err(Missing::Pairing(error_name(refusal))),
        Err(panic) => Err(Missing::Pairing(panic)),
    }
}

fn ask_driver<T>(
    asked: &'static str,
    call: impl FnOnce() -> Result<T, DriverError>,
) -> Result<T, Missing> {
    match catch_panic_quietly(call) {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(DriverError(CUresult::CUDA_ERROR_NO_DEVICE))) => Err(Missing::Gpu),
        Ok(Err(refusal)) => Err(Missing::Refusal { asked, reason: error_name(refusal) }),
        Err(panic) if library_is_absent(&panic) => Err(Missing::Driver),
        Err(panic) => Err(Missing::Refusal { asked, reason: panic }),
    }
}

/// The code's name. The error's own `Display` asks the library, which is what is in doubt.
fn error_name(refusal: DriverError) -> String {
    format!("{:?}", refusal.0)
}

/// Major and minor version of NVRTC, which has compiled by now.
fn nvrtc_version() -> Option<[i32; 2]> {
    let [mut major, mut minor] = [0; 2];
    let asked = catch_panic_quietly(|| {
        // SAFETY: NVRTC writes two `int`s to where it is told, which outlive the call.
        #[allow(unsafe_code)]
        let answer = unsafe { nvrtc::sys::nvrtcVersion(&raw mut major, &raw mut minor) };
        answer.result().is_ok()
    });
    (asked == Ok(true)).then_some([major, minor])
}

/// Architecture as CubeCL names it to NVRTC: from Hopper on with the features of this one alone.
fn nvrtc_architecture((major, minor): (i32, i32)) -> String {
    let own_features = if major >= 9 { "a" } else { "" };
    format!("sm_{major}{minor}{own_features}")
}

/// The trial kernel, with the include paths that CubeCL uses.
fn compile_kernel(architecture: &str) -> Result<Ptx, Missing> {
    let include = include_folder()?;
    let mut paths = vec![include.clone()];
    paths.extend(Some(include.join("cccl")).filter(|cccl| cccl.is_dir()));
    let options = CompileOptions {
        include_paths: paths.iter().map(|path| path.display().to_string()).collect(),
        options: vec![format!("--gpu-architecture={architecture}")],
        ..CompileOptions::default()
    };
    match catch_panic_quietly(|| nvrtc::compile_ptx_with_opts(KERNEL, options)) {
        Ok(Ok(kernel)) => Ok(kernel),
        Ok(Err(CompileError::CompileError { log, .. })) => {
            Err(Missing::of_log(&log.to_string_lossy(), include))
        }
        Ok(Err(error)) => Err(Missing::Compiler(error.to_string())),
        Err(panic) if library_is_absent(&panic) => Err(Missing::Nvrtc),
        Err(panic) => Err(Missing::Compiler(panic)),
    }
}

/// The folder of CUDA headers, by CubeCL's own rule.
fn include_folder() -> Result<PathBuf, Missing> {
    let Some(root) = install::cuda_path() else { return Err(Missing::Headers(None)) };
    let include = root.join("include");
    if include.join("cuda_fp16.h").is_file() {
        return Ok(include);
    }
    Err(Missing::Headers(Some(root)))
}

/// True for the panic of `cudarc` when no candidate for a library can be opened; it also panics on
/// a symbol that a library lacks.
fn library_is_absent(panic: &str) -> bool {
    panic.starts_with("Unable to dynamically load")
}

/// Runs `call` and returns the text of its panic, which then does not go to stderr. Panics of other
/// threads do, as before. For one thread at a time: the hook is the process's.
fn catch_panic_quietly<T>(call: impl FnOnce() -> T) -> Result<T, String> {
    let here = thread::current().id();
    let usual = Arc::new(panic::take_hook());
    let elsewhere = Arc::clone(&usual);
    panic::set_hook(Box::new(move |panic| {
        if thread::current().id() != here {
            elsewhere(panic);
        }
    }));
    // Nothing that a panic leaves half done is used again.
    let outcome = panic::catch_unwind(AssertUnwindSafe(call));
    drop(panic::take_hook());
    if let Some(usual) = Arc::into_inner(usual) {
        panic::set_hook(usual);
    }
    outcome.map_err(|payload| {
        let text = payload.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| payload.downcast_ref::<&str>().copied());
        text.unwrap_or("a panic without a text").to_string()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One test, because the panic hook is the process's and two at a time would mix theirs up.
    #[test]
    fn a_trial_never_panics_is_quiet_and_gives_the_hook_back() {
        let here = thread::current().id();
        let heard = Arc::new(OnceLock::new());
        let hear = Arc::clone(&heard);
        let usual = panic::take_hook();
        panic::set_hook(Box::new(move |_| {
            if thread::current().id() == here {
                let _ = hear.set(());
            }
        }));
        let literal: Result<(), String> = catch_panic_quietly(|| panic!("none"));
        let formatted: Result<(), String> = catch_panic_quietly(|| panic!("none of {}", 3));
        let value = catch_panic_quietly(|| 7);
        let answers = [(); 2].map(|()| first_gpu().map(|gpu| gpu.name));
        let quiet = heard.get().is_none();
        let caught = panic::catch_unwind(|| panic!("loud")).is_err();
        panic::set_hook(usual);
        assert_eq!((literal, formatted), (Err("none".into()), Err("none of 3".into())));
        assert_eq!(value, Ok(7));
        assert_eq!(answers[0], answers[1]);
        assert!(quiet, "a caught panic reached the usual hook");
        assert!(caught && heard.get().is_some(), "the usual hook did not come back");
    }

    #[test]
    fn architectures_are_named_as_cubecl_names_them() {
        assert_eq!(nvrtc_architecture((8, 6)), "sm_86");
        assert_eq!(nvrtc_architecture((9, 0)), "sm_90a");
        assert_eq!(nvrtc_architecture((12, 0)), "sm_120a");
    }
}
