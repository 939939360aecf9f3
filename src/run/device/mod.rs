//! Choice of the training device, once, by name, with the reason said when it is not there.

pub mod cuda;
mod fallback;
mod wgpu;

use std::path::{Path, PathBuf};

use burn::tensor::Device;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::base::user_cache_folder;
use crate::nets::{KernelChoice, Precision, choose_kernels, keep_kernel_winners};
use crate::run::Failure;
use crate::run::config::RunConfig;
use crate::run::device::cuda::{Gpu, Missing};
use crate::run::device::fallback::fallback_reason;

/// Device asked for.
#[derive(strum::EnumString)]
#[strum(serialize_all = "lowercase", parse_err_ty = String, parse_err_fn = unknown_device)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum DeviceChoice {
    /// A GPU where there is one, else the CPU; says which.
    #[default]
    Auto,
    /// A GPU, through CUDA or else through its graphics driver, or exit code 4.
    Gpu,
    /// The CPU.
    Cpu,
    /// An NVIDIA GPU, or exit code 4.
    Cuda,
    /// A GPU of any maker through its graphics driver, or exit code 4.
    Wgpu,
}

fn unknown_device(text: &str) -> String {
    format!("`{text}` is no device; write auto, gpu, cpu, cuda or wgpu")
}

/// Beginning of the names of NVIDIA GPUs.
const CUDA_NAME: &str = "cuda:";

/// Device that is there.
pub struct ChosenDevice {
    /// Device of the tensors.
    pub device: Device,
    /// Name, with the product name of a GPU.
    pub name: String,
    /// True if the same run gives the same bits.
    pub deterministic: bool,
    /// Reason why no GPU was taken, where one would have been.
    pub without_gpu: Option<String>,
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
            Precision::F32 | Precision::F32Strict => "f32",
        }
    }

    /// Returns the device that a network trains on; with gradient checkpointing, what is cheap to compute is computed
    /// again on the way back.
    pub fn training_device(&self, gradient_checkpointing: bool) -> Device {
        match gradient_checkpointing {
            true => self.device.clone().autodiff().gradient_checkpointing(),
            false => self.device.clone(),
        }
    }

    /// Refuses a precision that the device does not compute in.
    ///
    /// # Errors
    /// [`Failure::Device`] if it does not.
    pub fn check_precision(&self, precision: Precision) -> Result<(), Failure> {
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

/// Finds the device of a run, and chooses its kernels.
///
/// # Errors
/// Those of [`choose_device`].
pub fn choose_for_run(run: &RunConfig) -> Result<ChosenDevice, Failure> {
    let is_strict = run.precision == Precision::F32Strict;
    choose_kernels(run.kernels, is_strict);
    let chosen = choose_device(run.device)?;
    if run.precision == Precision::Bf16 && chosen.device == Device::flex() {
        tracing::warn!(
            "precision bf16: the CPU computes it value by value, two to three times slower than f32; it is there to compare \
             roundings with a GPU's, train with --set precision=f32"
        );
    }
    if is_strict && chosen.name.starts_with(CUDA_NAME) {
        check_strict_kernels(run.kernels)?;
        tracing::warn!(
            "precision f32-strict: convolutions by CubeCL's direct kernels, which take many times as long as those \
             in TF32; for checks only, train with --set precision=f32"
        );
    }
    Ok(chosen)
}

/// Refuses exact products by kernels that a tuner chooses: those may be in TF32.
fn check_strict_kernels(kernels: KernelChoice) -> Result<(), Failure> {
    if kernels == KernelChoice::Own {
        return Ok(());
    }
    let kernels = serde_json::to_string(&kernels).unwrap_or_default();
    Err(Failure::Usage(format!(
        "precision: is f32-strict, and kernels = {kernels} may multiply in TF32; use --set kernels=own, with which \
         convolutions are CubeCL's direct ones"
    )))
}

/// Finds the device.
///
/// # Errors
/// [`Failure::Device`] if CUDA is asked for and something it needs is missing: names it.
pub fn choose_device(choice: DeviceChoice) -> Result<ChosenDevice, Failure> {
    if choice == DeviceChoice::Wgpu {
        return wgpu_device(wgpu::first_adapter());
    }
    choose_with(choice, cuda::first_gpu, wgpu::first_adapter)
}

fn wgpu_device(found: Result<(Device, String), &str>) -> Result<ChosenDevice, Failure> {
    match found {
        Ok((device, name)) => Ok(ChosenDevice {
            device,
            name: format!("wgpu ({name})"),
            deterministic: false,
            without_gpu: None,
        }),
        Err(missing) => Err(Failure::Device(format!(
            "device wgpu: {missing}; or use the CPU with --set device=cpu"
        ))),
    }
}

/// Implements [`choose_device`]; the CPU must work beside a broken driver, without `first_gpu`.
fn choose_with(
    choice: DeviceChoice,
    first_gpu: impl FnOnce() -> Result<Gpu, Missing>,
    first_adapter: impl FnOnce() -> Result<(Device, String), &'static str>,
) -> Result<ChosenDevice, Failure> {
    if choice == DeviceChoice::Cpu {
        return Ok(cpu_device());
    }
    let missing = match first_gpu() {
        Ok(gpu) => {
            let name = format!("{CUDA_NAME}0 ({})", gpu.name);
            keep_kernel_winners(user_cache_folder().map(|folder| winner_folder(&folder, &gpu)));
            tracing::info!("device: {name}");
            let device = gpu.device;
            return Ok(ChosenDevice { device, name, deterministic: false, without_gpu: None });
        }
        Err(missing) => missing,
    };
    match choice {
        DeviceChoice::Cuda => Err(Failure::Device(format!(
            "device cuda: {missing}; or use the CPU with --set device=cpu"
        ))),
        DeviceChoice::Gpu => first_adapter().map_or_else(
            |absent| {
                Err(Failure::Device(format!(
                    "device gpu: through CUDA {missing}; through the graphics driver {absent}; or \
                     use the CPU with --set device=cpu, on which a step of a network of the usual \
                     size takes a minute or more"
                )))
            },
            |adapter| wgpu_device(Ok(adapter)),
        ),
        _ => Ok(ChosenDevice { without_gpu: Some(fallback_reason(&missing)), ..cpu_device() }),
    }
}

/// Folder of what was found to be faster on a GPU with its driver.
fn winner_folder(cache: &Path, gpu: &Gpu) -> PathBuf {
    let known = |letter: char| if letter.is_ascii_alphanumeric() { letter } else { '-' };
    let card: String = gpu.name.chars().map(known).collect();
    cache.join("cuda").join("winners").join(format!("{card}-driver-{}", gpu.driver))
}

fn cpu_device() -> ChosenDevice {
    ChosenDevice {
        device: Device::flex(),
        name: "cpu (flex)".into(),
        deterministic: true,
        without_gpu: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn a_gpu() -> Result<Gpu, Missing> {
        Ok(Gpu { device: Device::flex(), name: "A Card".into(), driver: 13_000 })
    }

    fn no_adapter() -> Result<(Device, String), &'static str> {
        Err("no adapter")
    }

    #[test]
    fn the_cpu_is_chosen_without_a_look_at_cuda() {
        let chosen = choose_with(DeviceChoice::Cpu, || panic!("it looked"), no_adapter).unwrap();
        assert_eq!((chosen.name.as_str(), chosen.deterministic), ("cpu (flex)", true));
        assert_eq!(chosen.device, Device::flex());
    }

    #[test]
    fn auto_takes_a_gpu_that_works_and_else_the_cpu() {
        let chosen = choose_with(DeviceChoice::Auto, a_gpu, no_adapter).unwrap();
        assert_eq!((chosen.name.as_str(), chosen.deterministic), ("cuda:0 (A Card)", false));
        for missing in [Missing::Feature, Missing::Driver, Missing::Gpu, Missing::Nvrtc] {
            let chosen =
                choose_with(DeviceChoice::Auto, || Err(missing.clone()), no_adapter).unwrap();
            assert_eq!(chosen.name, "cpu (flex)");
            let notice = chosen.fallback_notice().expect("it is said");
            assert!(notice.contains(&missing.to_string()), "{notice}");
            assert!(notice.contains("--set device=cpu"), "{notice}");
        }
        for choice in [DeviceChoice::Auto, DeviceChoice::Gpu] {
            let chosen = choose_with(choice, a_gpu, no_adapter).unwrap();
            assert_eq!(chosen.fallback_notice(), None);
        }
        let chosen = choose_with(DeviceChoice::Cpu, a_gpu, no_adapter).unwrap();
        assert_eq!(chosen.fallback_notice(), None, "it was asked for");
    }

    #[test]
    fn gpu_takes_any_gpu_and_never_the_cpu() {
        let adapter = || Ok((Device::flex(), "Another Card".to_owned()));
        let name = |first_gpu: fn() -> Result<Gpu, Missing>| {
            choose_with(DeviceChoice::Gpu, first_gpu, adapter).unwrap().name
        };
        assert_eq!(name(a_gpu), "cuda:0 (A Card)");
        assert_eq!(name(|| Err(Missing::Driver)), "wgpu (Another Card)");
        let failure = choose_with(DeviceChoice::Gpu, || Err(Missing::Driver), no_adapter);
        let failure = failure.err().unwrap();
        assert_eq!(failure.exit_code(), 4);
        let text = failure.to_string();
        assert!(text.contains("no NVIDIA driver") && text.contains("no adapter"), "{text}");
        assert!(text.contains("--set device=cpu"), "{text}");
    }

    #[test]
    fn cuda_takes_a_gpu_or_fails_with_what_is_missing_and_both_ways_out() {
        assert_eq!(
            choose_with(DeviceChoice::Cuda, a_gpu, no_adapter).unwrap().name,
            "cuda:0 (A Card)"
        );
        let failure =
            choose_with(DeviceChoice::Cuda, || Err(Missing::Driver), no_adapter).err().unwrap();
        assert_eq!(failure.exit_code(), 4);
        let text = failure.to_string();
        assert!(text.starts_with("device cuda: no NVIDIA driver"), "{text}");
        assert!(text.ends_with("or use the CPU with --set device=cpu"), "{text}");
    }

    #[test]
    fn winners_are_kept_by_card_and_driver() {
        let of = |name: &str, driver| {
            let gpu = Gpu { device: Device::flex(), name: name.into(), driver };
            winner_folder(Path::new("/cache"), &gpu)
        };
        let folder = of("NVIDIA A/100", 13_000);
        assert_eq!(folder, Path::new("/cache/cuda/winners/NVIDIA-A-100-driver-13000"));
        assert_ne!(folder, of("NVIDIA A/100", 12_080));
        assert_ne!(folder, of("NVIDIA H200", 13_000));
    }

    #[test]
    fn strict_products_take_own_kernels_alone() {
        assert!(check_strict_kernels(KernelChoice::Own).is_ok());
        for kernels in [KernelChoice::Auto, KernelChoice::Cubecl] {
            let text = check_strict_kernels(kernels).err().unwrap().to_string();
            assert!(text.contains("use --set kernels=own"), "{text}");
        }
    }

    #[test]
    fn f32_on_cuda_says_that_it_multiplies_in_tf32() {
        let gpu = choose_with(DeviceChoice::Cuda, a_gpu, no_adapter).unwrap();
        assert!(gpu.products(Precision::F32).starts_with("TF32 (10 bits"));
        assert_eq!(gpu.products(Precision::Bf16), "bf16");
        assert_eq!(gpu.products(Precision::F32Strict), "f32");
        assert_eq!(cpu_device().products(Precision::F32), "f32");
    }

    #[test]
    fn the_cpu_computes_in_either_precision() {
        assert!(
            cpu_device().check_precision(Precision::F32).is_ok()
                && cpu_device().check_precision(Precision::Bf16).is_ok()
        );
    }

    #[cfg(not(feature = "wgpu"))]
    #[test]
    fn a_build_without_wgpu_says_how_to_get_one() {
        let failure = choose_device(DeviceChoice::Wgpu).err().unwrap();
        assert_eq!(failure.exit_code(), 4);
        assert!(failure.to_string().contains("--features wgpu"), "{failure}");
    }

    #[test]
    fn an_adapter_is_named_and_its_absence_has_two_ways_out() {
        let chosen = wgpu_device(Ok((Device::flex(), "A Card".into()))).unwrap();
        assert_eq!((chosen.name.as_str(), chosen.deterministic), ("wgpu (A Card)", false));
        let text = wgpu_device(Err("there is none; get one")).err().unwrap().to_string();
        assert_eq!(
            text,
            "device wgpu: there is none; get one; or use the CPU with --set device=cpu"
        );
    }

    #[cfg(not(feature = "cuda"))]
    #[test]
    fn a_build_without_cuda_says_how_to_get_one() {
        let failure = choose_device(DeviceChoice::Cuda).err().unwrap();
        assert_eq!(failure.exit_code(), 4);
        assert!(failure.to_string().contains("--features cuda"), "{failure}");
        assert_eq!(choose_device(DeviceChoice::Auto).unwrap().name, "cpu (flex)");
    }
}
