//! Trait of the transforms: draws parameters and adds them to the composition.
//!
//! A transform never sees a voxel. Spatial ones compose to one affine, pointwise ones to one
//! function per modality ([`ComposedTransform`]), and [`super::kernel`] applies both at once.
//! Anything else (an elastic deformation, a blur) is a stage of its own.

use crate::augment::composition::ComposedTransform;
use crate::base::seed::KeyedRng;

/// Augmentation transform, whose settings are the implementing type.
///
/// To add one: a file with the settings and this trait, and one line in the list in
/// [`super::config`].
pub trait Transform {
    /// Stream of random numbers within [`Domain::Augment`](crate::base::seed::Domain::Augment).
    /// Never changed and never reused: an inserted transform must not shift the others' draws.
    const STREAM: u64;

    /// Parameters drawn for one sample, as `f32` so that text keeps them exactly.
    type Params;

    /// Draws parameters from `rng`, which is this transform's own.
    fn draw_params(&self, rng: &mut KeyedRng) -> Self::Params;

    /// Appends the transform with these parameters to `onto`.
    fn compose_onto(params: &Self::Params, onto: &mut ComposedTransform);

    /// Returns the first invalid setting: its field and legal range.
    fn first_invalid_setting(&self) -> Option<String>;
}

/// Error text if a field is not a probability.
pub(super) fn invalid_probability(field: &str, value: f64) -> Option<String> {
    let legal = (0.0..=1.0).contains(&value);
    (!legal).then(|| format!("{field} = {value} is no probability; write 0 to 1"))
}

/// Error text if a field is not a range, lowest first, within `legal`.
pub(super) fn invalid_range(
    field: &str,
    [low, high]: [f64; 2],
    legal: std::ops::RangeInclusive<f64>,
) -> Option<String> {
    let fits = legal.contains(&low) && legal.contains(&high) && low <= high;
    (!fits).then(|| {
        let (from, to) = legal.into_inner();
        format!(
            "{field} = [{low}, {high}] is no range within {from} to {to}; write the lower end first"
        )
    })
}

/// Draws a uniform number of a range.
pub(super) fn draw_uniform(rng: &mut KeyedRng, [low, high]: [f64; 2]) -> f32 {
    rng.uniform(low, high) as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_a_number_is_neither_a_probability_nor_in_a_range() {
        assert!(invalid_probability("probability", f64::NAN).is_some());
        assert!(invalid_range("range", [f64::NAN, 1.0], 0.0..=2.0).is_some());
        assert!(invalid_range("range", [1.0, 0.5], 0.0..=2.0).is_some());
        assert_eq!(invalid_probability("probability", 1.0), None);
        assert_eq!(invalid_range("range", [0.0, 2.0], 0.0..=2.0), None);
    }
}
