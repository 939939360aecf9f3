//! Which device trains: chosen once, by name, with the reason said when it is not there.

use burn::tensor::Device;
use serde::{Deserialize, Serialize};

use crate::experiment::cuda::{self, Gpu, Missing};
use crate::experiment::failure::Failure;
use crate::experiment::wgpu;
use crate::nets::precision::Precision;

/// What the user asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DeviceChoice {
    /// A GPU where there is one, else the CPU; says which.
    #[default]
    Auto,
    /// The CPU.
    Cpu,
    /// An NVIDIA GPU, or exit code 4.
    Cuda,
    /// A GPU of any maker through its graphics driver, or exit code 4.
    Wgpu,
}

impl std::str::FromStr for DeviceChoice {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "auto" => Ok(Self::Auto),
            "cpu" => Ok(Self::Cpu),
            "cuda" => Ok(Self::Cuda),
            "wgpu" => Ok(Self::Wgpu),
            _ => Err(format!("`{text}` is no device; write auto, cpu, cuda or wgpu")),
        }
    }
}

/// Beginning of the names of NVIDIA GPUs.
const CUDA_NAME: &str = "cuda:";

/// A device that is there.
pub struct ChosenDevice {
    /// For tensors.
    pub device: Device,
    /// For people.
    pub name: String,
    /// Whether the same run gives the same bits.
    pub deterministic: bool,
}

impl ChosenDevice {
    /// Number format of the factors in convolutions and matrix products when a network computes in
    /// `precision`, for records and people. CubeCL takes f32 to TF32 for the tensor cores without being asked
    /// (cubek-matmul 0.3.1, `adjust_dtypes`); sums are f32 in every case.
    pub fn products(&self, precision: Precision) -> &'static str {
        match precision {
            Precision::Bf16 => "bf16",
            Precision::F32 if self.name.starts_with(CUDA_NAME) => {
                "TF32 (10 bits of mantissa) where the GPU has tensor cores for it, else f32"
            }
            Precision::F32 => "f32",
        }
    }

    /// Whether it computes in `precision`.
    ///
    /// # Errors
    /// [`Failure::Device`] if it does not.
    pub fn check(&self, precision: Precision) -> Result<(), Failure> {
        if self.device.supports_dtype(precision.dtype()) {
            return Ok(());
        }
        Err(Failure::Device(format!(
            "device {}: does not compute in {}; use --set precision=f32",
            self.name,
            precision.name()
        )))
    }
}

/// Finds the device.
///
/// # Errors
/// [`Failure::Device`] if CUDA is asked for and something it needs is missing: names it.
pub fn choose(choice: DeviceChoice) -> Result<ChosenDevice, Failure> {
    if choice == DeviceChoice::Wgpu {
        return adapter(wgpu::first_adapter());
    }
    choose_from(choice, cuda::first_gpu)
}

fn adapter(found: Result<(Device, String), &str>) -> Result<ChosenDevice, Failure> {
    match found {
        Ok((device, name)) => {
            Ok(ChosenDevice { device, name: format!("wgpu ({name})"), deterministic: false })
        }
        Err(missing) => Err(Failure::Device(format!(
            "device wgpu: {missing}; or use the CPU with --set device=cpu"
        ))),
    }
}

/// As [`choose`]; `first_gpu` is not called for the CPU, which must work beside a broken driver.
fn choose_from(
    choice: DeviceChoice,
    first_gpu: impl FnOnce() -> Result<Gpu, Missing>,
) -> Result<ChosenDevice, Failure> {
    if choice == DeviceChoice::Cpu {
        return Ok(cpu());
    }
    let missing = match first_gpu() {
        Ok(gpu) => {
            let name = format!("{CUDA_NAME}0 ({})", gpu.name);
            tracing::info!("device: {name}");
            return Ok(ChosenDevice { device: gpu.device, name, deterministic: false });
        }
        Err(missing) => missing,
    };
    if choice == DeviceChoice::Cuda {
        return Err(Failure::Device(format!(
            "device cuda: {missing}; or use the CPU with --set device=cpu"
        )));
    }
    let chosen = cpu();
    if missing.leaves_a_gpu_idle() {
        tracing::warn!("device: {}, though there is a GPU: {missing}", chosen.name);
    } else {
        tracing::info!("device: {}, not a GPU: {missing}", chosen.name);
    }
    Ok(chosen)
}

fn cpu() -> ChosenDevice {
    ChosenDevice { device: Device::flex(), name: "cpu (flex)".into(), deterministic: true }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn a_gpu() -> Result<Gpu, Missing> {
        Ok(Gpu { device: Device::flex(), name: "A Card".into() })
    }

    #[test]
    fn the_cpu_is_chosen_without_a_look_at_cuda() {
        let chosen = choose_from(DeviceChoice::Cpu, || panic!("it looked")).unwrap();
        assert_eq!((chosen.name.as_str(), chosen.deterministic), ("cpu (flex)", true));
        assert_eq!(chosen.device, Device::flex());
    }

    #[test]
    fn auto_takes_a_gpu_that_works_and_else_the_cpu() {
        let chosen = choose_from(DeviceChoice::Auto, a_gpu).unwrap();
        assert_eq!((chosen.name.as_str(), chosen.deterministic), ("cuda:0 (A Card)", false));
        for missing in [Missing::Feature, Missing::Driver, Missing::Gpu, Missing::Nvrtc] {
            let chosen = choose_from(DeviceChoice::Auto, || Err(missing)).unwrap();
            assert_eq!(chosen.name, "cpu (flex)");
        }
    }

    #[test]
    fn cuda_takes_a_gpu_or_fails_with_what_is_missing_and_both_ways_out() {
        assert_eq!(choose_from(DeviceChoice::Cuda, a_gpu).unwrap().name, "cuda:0 (A Card)");
        let failure = choose_from(DeviceChoice::Cuda, || Err(Missing::Driver)).err().unwrap();
        assert_eq!(failure.exit_code(), 4);
        let text = failure.to_string();
        assert!(text.starts_with("device cuda: no NVIDIA driver"), "{text}");
        assert!(text.ends_with("or use the CPU with --set device=cpu"), "{text}");
    }

    #[test]
    fn f32_on_cuda_says_that_it_multiplies_in_tf32() {
        let gpu = choose_from(DeviceChoice::Cuda, a_gpu).unwrap();
        assert!(gpu.products(Precision::F32).starts_with("TF32 (10 bits"));
        assert_eq!(gpu.products(Precision::Bf16), "bf16");
        assert_eq!(cpu().products(Precision::F32), "f32");
    }

    #[test]
    fn the_cpu_computes_in_either_precision() {
        assert!(cpu().check(Precision::F32).is_ok() && cpu().check(Precision::Bf16).is_ok());
    }

    #[cfg(not(feature = "wgpu"))]
    #[test]
    fn a_build_without_wgpu_says_how_to_get_one() {
        let failure = choose(DeviceChoice::Wgpu).err().unwrap();
        assert_eq!(failure.exit_code(), 4);
        assert!(failure.to_string().contains("--features wgpu"), "{failure}");
    }

    #[test]
    fn an_adapter_is_named_and_its_absence_has_two_ways_out() {
        let chosen = adapter(Ok((Device::flex(), "A Card".into()))).unwrap();
        assert_eq!((chosen.name.as_str(), chosen.deterministic), ("wgpu (A Card)", false));
        let text = adapter(Err("there is none; get one")).err().unwrap().to_string();
        assert_eq!(
            text,
            "device wgpu: there is none; get one; or use the CPU with --set device=cpu"
        );
    }

    #[cfg(not(feature = "cuda"))]
    #[test]
    fn a_build_without_cuda_says_how_to_get_one() {
        let failure = choose(DeviceChoice::Cuda).err().unwrap();
        assert_eq!(failure.exit_code(), 4);
        assert!(failure.to_string().contains("--features cuda"), "{failure}");
        assert_eq!(choose(DeviceChoice::Auto).unwrap().name, "cpu (flex)");
    }
}
