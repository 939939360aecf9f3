//! What a run says that is on the CPU because no GPU was found.

use crate::run::device::ChosenDevice;
use crate::run::device::cuda::Missing;
use crate::telemetry::gpu::{GpuDevices, Nvml};

impl ChosenDevice {
    /// Sentence for people who did not choose the CPU and got it; `None` for everybody else.
    pub fn fallback_notice(&self) -> Option<String> {
        let reason = self.without_gpu.as_ref()?;
        Some(format!(
            "device: {}, because device = \"auto\" found no GPU to use: {reason}. Networks of the \
             usual size train a hundred times slower here than on a GPU; the time of a step is said \
             once it is known. To leave it at the CPU without this notice: --set device=cpu; to fail \
             instead: --set device=gpu",
            self.name
        ))
    }
}

/// Reason why there is no GPU, with the GPUs that the machine has in spite of it.
pub(super) fn fallback_reason(missing: &Missing) -> String {
    let visible = match missing {
        Missing::Feature => Nvml::open().map_or(0, |cards| cards.read_gpus().len()),
        _ => usize::from(missing.leaves_a_gpu_idle()),
    };
    match visible {
        0 => missing.to_string(),
        1 => format!("there is an NVIDIA GPU, but {missing}"),
        _ => format!("there are {visible} NVIDIA GPUs, but {missing}"),
    }
}
