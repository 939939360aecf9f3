//! Choice between CUDA kernels of our own and CubeCL's.

use std::sync::atomic::{AtomicBool, Ordering};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Kernels of convolutions, norms, maximum pooling and up-sampling on CUDA GPUs.
#[derive(strum::EnumString)]
#[strum(serialize_all = "lowercase", parse_err_ty = String, parse_err_fn = unknown_kernels)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum KernelChoice {
    /// The fastest that CubeCL's tuner finds among its own.
    #[default]
    Cubecl,
    /// Kernels of `nets/cuda`, which no card has run yet.
    Own,
}

fn unknown_kernels(text: &str) -> String {
    format!("`{text}` are no kernels; write cubecl or own")
}

static ARE_OWN_CHOSEN: AtomicBool = AtomicBool::new(false);

/// Chooses the kernels of all networks in this process, from their next layer on.
pub fn choose_kernels(choice: KernelChoice) {
    ARE_OWN_CHOSEN.store(choice == KernelChoice::Own, Ordering::Relaxed);
}

/// Returns the kernels chosen last.
#[cfg(feature = "cuda")]
pub(super) fn chosen_kernels() -> KernelChoice {
    if ARE_OWN_CHOSEN.load(Ordering::Relaxed) { KernelChoice::Own } else { KernelChoice::Cubecl }
}
