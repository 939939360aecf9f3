//! Choice between CUDA kernels of our own and CubeCL's.

use std::sync::atomic::{AtomicBool, Ordering};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Kernels of networks, losses and optimisers on CUDA GPUs.
#[derive(strum::EnumString)]
#[strum(serialize_all = "lowercase", parse_err_ty = String, parse_err_fn = unknown_kernels)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum KernelChoice {
    /// Kernels of `nets/cuda`, the same bits in every run.
    #[default]
    Own,
    /// The fastest that CubeCL's tuner finds among its own.
    Cubecl,
}

fn unknown_kernels(text: &str) -> String {
    format!("`{text}` are no kernels; write own or cubecl")
}

static ARE_OWN_CHOSEN: AtomicBool = AtomicBool::new(true);

/// Chooses the kernels of all networks in this process, from their next layer on.
pub fn choose_kernels(choice: KernelChoice) {
    ARE_OWN_CHOSEN.store(choice == KernelChoice::Own, Ordering::Relaxed);
}

/// Returns the kernels chosen last.
#[cfg(feature = "cuda")]
pub(super) fn chosen_kernels() -> KernelChoice {
    if ARE_OWN_CHOSEN.load(Ordering::Relaxed) { KernelChoice::Own } else { KernelChoice::Cubecl }
}
