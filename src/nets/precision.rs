//! Precision of training.
//!
//! A network computes in the type of its images: its weights stay f32, and each layer takes them to
//! that type on the way, so that gradients come back to f32 masters. Statistics of norms, latent
//! variables, logits and losses are f32 in any case. Validation and prediction compute in f32.

use burn::tensor::{DType, Tensor};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The type of activations in training.
#[derive(strum::IntoStaticStr)]
#[strum(serialize_all = "lowercase")]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// Single precision throughout.
    #[default]
    F32,
    /// Brain floats: f32's range in half the memory, with 8 bits of mantissa, so no loss scaling.
    Bf16,
    /// Single precision, the factors of products on a GPU, too, which are TF32 otherwise: many times slower there,
    /// for checks.
    #[strum(serialize = "f32-strict")]
    #[serde(rename = "f32-strict")]
    F32Strict,
}

impl Precision {
    /// Data type of the network's input.
    pub const fn dtype(self) -> DType {
        match self {
            Self::F32 | Self::F32Strict => DType::F32,
            Self::Bf16 => DType::BF16,
        }
    }

    /// The name in configurations.
    pub fn name(self) -> &'static str {
        self.into()
    }
}

/// Casts a tensor, unless it is of that type already.
pub fn cast<const D: usize>(tensor: Tensor<D>, dtype: DType) -> Tensor<D> {
    if tensor.dtype() == dtype { tensor } else { tensor.cast(dtype) }
}
