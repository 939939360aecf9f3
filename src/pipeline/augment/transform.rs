//! What a transform is: it draws its numbers, and says what they do to the one pass.
//!
//! A transform never sees a voxel. Everything spatial composes to one affine and everything
//! pointwise to one function per modality ([`Composition`]), and [`super::kernel`] applies both at
//! once. A transform that cannot be put so (an elastic deformation, a blur) is a stage, not one of
//! these.

use crate::base::seed::KeyedRng;
use crate::pipeline::augment::composition::Composition;

/// One augmentation: its settings are the implementing type.
///
/// To add one: a file with the settings, this trait, and one line in the list in
/// [`super::config`].
pub trait Transform {
    /// The stream within [`Domain::Augment`](crate::base::seed::Domain::Augment) that it draws from.
    /// Never changed and never used again: an inserted transform must not shift the others' draws.
    const STREAM: u64;

    /// What is drawn for one sample, as `f32` so that text keeps it exactly.
    type Params;

    /// Draws from `rng`, which is this transform's own.
    fn draw(&self, rng: &mut KeyedRng) -> Self::Params;

    /// Puts what was drawn behind whatever `onto` does already.
    fn compose(params: &Self::Params, onto: &mut Composition);

    /// What cannot be, or nothing: the text begins with the field and names the legal range.
    fn problem(&self) -> Option<String>;
}

/// What is wrong with a field that should be a probability.
pub(super) fn improbable(field: &str, value: f64) -> Option<String> {
    let legal = (0.0..=1.0).contains(&value);
    (!legal).then(|| format!("{field} = {value} is no probability; write 0 to 1"))
}

/// What is wrong with a field that should be a range, lowest first, within `legal`.
pub(super) fn out_of_range(
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

/// One number of `range` as a sample's parameter.
pub(super) fn within(rng: &mut KeyedRng, [low, high]: [f64; 2]) -> f32 {
    rng.uniform(low, high) as f32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_a_number_is_neither_a_probability_nor_in_a_range() {
        assert!(improbable("probability", f64::NAN).is_some());
        assert!(out_of_range("range", [f64::NAN, 1.0], 0.0..=2.0).is_some());
        assert!(out_of_range("range", [1.0, 0.5], 0.0..=2.0).is_some());
        assert_eq!(improbable("probability", 1.0), None);
        assert_eq!(out_of_range("range", [0.0, 2.0], 0.0..=2.0), None);
    }
}
