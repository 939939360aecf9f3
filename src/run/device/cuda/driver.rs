//! The driver's library itself: its version, and the functions that CubeCL calls in it.
//!
//! `cudarc` looks a function up when it is first called, and panics where there is none. In CubeCL
//! that happens in the device's thread, which catches the panic and goes on: a driver without
//! `cuEventElapsedTime_v2` passed every other trial, measured no kernel while tuning, took the first of
//! each, and ended with exit 0. So all of them are looked up before anything is called.

use cudarc::driver::{DriverError, sys};

use super::{Missing, OLDEST_DRIVER};

/// Every function that `cubecl-cuda` 0.11.3 calls in the driver while networks are trained, with the
/// bindings of CUDA 12.0 (Cargo.toml). The stand-in for a driver exports these, one that NVRTC asks for, and no more
/// (`tests/cuda/standin`), so the rehearsal shows that the list is whole.
const FUNCTIONS: &[&str] = &[
    "cuCtxGetCurrent",
    "cuCtxGetStreamPriorityRange",
    "cuCtxSetCurrent",
    "cuDeviceGet",
    "cuDeviceGetAttribute",
    "cuDeviceGetCount",
    "cuDeviceGetName",
    "cuDeviceGetPCIBusId",
    "cuDevicePrimaryCtxRelease_v2",
    "cuDevicePrimaryCtxRetain",
    "cuDeviceTotalMem_v2",
    "cuDriverGetVersion",
    "cuEventCreate",
    "cuEventDestroy_v2",
    "cuEventElapsedTime",
    "cuEventRecord",
    "cuEventSynchronize",
    "cuFuncSetAttribute",
    "cuGetErrorName",
    "cuGetErrorString",
    "cuInit",
    "cuLaunchKernel",
    "cuMemAllocAsync",
    "cuMemAllocHost_v2",
    "cuMemAlloc_v2",
    "cuMemFreeAsync",
    "cuMemFreeHost",
    "cuMemFree_v2",
    "cuMemcpy2DAsync_v2",
    "cuMemcpyDtoDAsync_v2",
    "cuMemcpyDtoHAsync_v2",
    "cuMemcpyHtoDAsync_v2",
    "cuModuleGetFunction",
    "cuModuleLoadData",
    "cuModuleUnload",
    "cuStreamCreate",
    "cuStreamCreateWithPriority",
    "cuStreamDestroy_v2",
    "cuStreamSynchronize",
    "cuStreamWaitEvent",
    "cuTensorMapEncodeIm2col",
    "cuTensorMapEncodeTiled",
];

/// Returns the CUDA version of the driver, as `cuDriverGetVersion` counts.
pub(super) fn version() -> Result<i32, DriverError> {
    let mut version = 0;
    // SAFETY: the driver writes one `int` to where it is told, which outlives the call.
    #[allow(unsafe_code)]
    let answer = unsafe { sys::cuDriverGetVersion(&raw mut version) };
    answer.result()?;
    Ok(version)
}

/// Compares the driver with what CubeCL needs of it.
///
/// # Errors
/// The version if it is too old, the first function that is not there otherwise.
pub(super) fn check(found: i32) -> Result<(), Missing> {
    check_driver(found, exports_function)
}

fn check_driver(found: i32, exports: impl Fn(&str) -> bool) -> Result<(), Missing> {
    if found < OLDEST_DRIVER {
        return Err(Missing::Version { found });
    }
    match FUNCTIONS.iter().find(|name| !exports(name)) {
        Some(name) => Err(Missing::Function { found, name }),
        None => Ok(()),
    }
}

/// Looks `name` up among the functions that the driver's library exports.
fn exports_function(name: &str) -> bool {
    // SAFETY: the library is open (`version` called into it), stays so, and the address that comes
    // back is compared with nothing and never called, so its type does not matter.
    #[allow(unsafe_code)]
    unsafe {
        sys::culib().get::<unsafe extern "C" fn()>(name.as_bytes()).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_old_driver_is_told_by_its_version_and_a_broken_one_by_the_function() {
        let all = |_: &str| true;
        assert_eq!(check_driver(11_080, all), Err(Missing::Version { found: 11_080 }));
        assert_eq!((check_driver(12_000, all), check_driver(13_000, all)), (Ok(()), Ok(())));
        let name = "cuEventElapsedTime";
        let lacking = check_driver(13_000, |function| function != name);
        assert_eq!(lacking, Err(Missing::Function { found: 13_000, name }));
    }

    #[test]
    fn functions_that_came_after_the_oldest_driver_are_not_asked_for() {
        for later in ["cuEventElapsedTime_v2", "cuTensorMapEncodeIm2colWide", "cuCtxCreate_v4"] {
            assert!(!FUNCTIONS.contains(&later), "{later}");
        }
        assert!(FUNCTIONS.is_sorted());
    }
}
