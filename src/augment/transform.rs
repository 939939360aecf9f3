//! Trait of the transforms: draws parameters and adds them to the composition.
//!
//! A transform never sees a voxel. Spatial ones compose to one affine, pointwise ones to one
//! function per modality ([`ComposedTransform`]), and [`Kernel`](super::Kernel) applies both at once.
//! What needs neighbours in the patch, or its mean or range, is a filter behind the pass
//! ([`FilterConfig`](super::FilterConfig)).

use crate::augment::ComposedTransform;
use crate::base::KeyedRng;

/// Augmentation transform, whose settings are the implementing type.
///
/// To add one: a file with the settings and this trait, and one line in the list in
/// [`AugmentConfig`](super::AugmentConfig).
pub trait Transform {
    /// Stream of random numbers within [`Domain::Augment`](crate::base::Domain::Augment).
    /// Never changed and never reused: an inserted transform must not shift the others' draws.
    const STREAM: u64;

    /// Parameters drawn for one sample, as `f32` so that text keeps them exactly.
    type Params;

    /// Draws parameters from `rng`, which is this transform's own.
    fn draw_params(&self, rng: &mut KeyedRng) -> Self::Params;

    /// Appends the transform with these parameters to `onto`.
    fn compose_onto(params: &Self::Params, onto: &mut ComposedTransform);
}

/// Draws a uniform number of a range.
pub(super) fn draw_uniform(rng: &mut KeyedRng, [low, high]: [f64; 2]) -> f32 {
    rng.uniform(low, high) as f32
}
