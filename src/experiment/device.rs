//! Which device trains: chosen once, by name, with the reason said when it is not there.

use burn::tensor::Device;
use serde::{Deserialize, Serialize};

use crate::experiment::failure::Failure;

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
}

impl std::str::FromStr for DeviceChoice {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "auto" => Ok(Self::Auto),
            "cpu" => Ok(Self::Cpu),
            "cuda" => Ok(Self::Cuda),
            _ => Err(format!("`{text}` is no device; write auto, cpu or cuda")),
        }
    }
}

/// A device that is there.
pub struct ChosenDevice {
    /// For tensors.
    pub device: Device,
    /// For people.
    pub name: String,
    /// Whether the same run gives the same bits.
    pub deterministic: bool,
}

/// Finds the device.
///
/// # Errors
/// [`Failure::Device`] if CUDA is asked for and something it needs is missing: names it.
pub fn choose(choice: DeviceChoice) -> Result<ChosenDevice, Failure> {
    match (choice, cuda()) {
        (DeviceChoice::Cuda | DeviceChoice::Auto, Ok(device)) => {
            Ok(ChosenDevice { device, name: "cuda:0".into(), deterministic: false })
        }
        (DeviceChoice::Cuda, Err(missing)) => Err(Failure::Device(format!(
            "device cuda: {missing}; mend that, or train with --set device=cpu"
        ))),
        (DeviceChoice::Cpu | DeviceChoice::Auto, _) => Ok(ChosenDevice {
            device: Device::flex(),
            name: "cpu (flex)".into(),
            deterministic: true,
        }),
    }
}

/// The first NVIDIA GPU, or what is missing.
#[cfg(not(feature = "cuda"))]
fn cuda() -> Result<Device, String> {
    Err("this program was built without it (cargo build --release --features cuda)".into())
}
