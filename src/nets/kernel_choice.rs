//! Choice between CUDA kernels of our own and CubeCL's, and whether products may be rounded.

use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};

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
    /// Kernels of `nets/cuda`, and of each pass of a convolution whichever of the two is faster: both are timed when
    /// its shape first comes up, and the winner is kept on disk.
    Auto,
}

fn unknown_kernels(text: &str) -> String {
    format!("`{text}` are no kernels; write own, cubecl or auto")
}

static CHOSEN: AtomicU8 = AtomicU8::new(KernelChoice::Own as u8);
static ARE_PRODUCTS_EXACT: AtomicBool = AtomicBool::new(false);

/// Chooses the kernels of all networks in this process, from their next layer on. With `are_products_exact`,
/// convolutions are CubeCL's direct ones, whose products are f32 and not TF32; they take many times as long.
pub fn choose_kernels(choice: KernelChoice, are_products_exact: bool) {
    CHOSEN.store(choice as u8, Ordering::Relaxed);
    ARE_PRODUCTS_EXACT.store(are_products_exact, Ordering::Relaxed);
}

/// Returns the kernels chosen last.
#[cfg(feature = "cuda")]
pub(super) fn chosen_kernels() -> KernelChoice {
    let chosen = CHOSEN.load(Ordering::Relaxed);
    let all = [KernelChoice::Own, KernelChoice::Cubecl, KernelChoice::Auto];
    all.into_iter().find(|choice| *choice as u8 == chosen).unwrap_or_default()
}

/// True if convolutions are to multiply in f32.
#[cfg(feature = "cuda")]
pub(super) fn are_products_exact() -> bool {
    ARE_PRODUCTS_EXACT.load(Ordering::Relaxed)
}
