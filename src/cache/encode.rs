//! Encoding of intensities as i16, decoded by one multiply-add.
//!
//! Raw 0 is exactly the background: 0, or what takes its place in this image, and NaN and infinities.
//! Every other raw value is tissue and decodes to `slope * raw + inter`, as in NIfTI.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use crate::base::{collect_values, reserve_values};
use crate::cache::treatment::ImageTreatment;
use crate::volume::Voxels;

/// Linear map from raw values of one modality to intensities.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct IntensityScale {
    /// Intensity per raw step; 0 when all tissue has one value.
    pub slope: f64,
    /// Added after the slope.
    pub inter: f64,
    /// Largest absolute difference between a source value and what it decodes to; 0 is lossless.
    pub max_error: f64,
}

impl IntensityScale {
    /// Raw values are the intensities.
    pub const LOSSLESS: Self = Self { slope: 1.0, inter: 0.0, max_error: 0.0 };

    /// The intensity of a raw value.
    pub fn decode(&self, raw: i16) -> f64 {
        if raw == 0 { 0.0 } else { self.decode_tissue(f64::from(raw)) }
    }

    /// The intensity at a raw value of tissue, which may lie between two of them.
    pub(super) fn decode_tissue(&self, raw: f64) -> f64 {
        self.slope * raw + self.inter
    }
}

/// Encodes one volume as its treatment says; under a mask the mask says where tissue is. Whole numbers whose distance from the background is in
/// the range of i16 are kept; other values are spread over all of i16 between the lowest and the
/// highest tissue value.
///
/// # Errors
/// When the values span more than f64 can hold, or there is no memory for the codes; the text says it.
pub fn encode_volume<'a>(
    voxels: &'a Voxels,
    treatment: &ImageTreatment,
    mask: Option<&[u8]>,
) -> Result<(Cow<'a, [i16]>, IntensityScale), String> {
    match voxels {
        Voxels::I16(values) if *treatment == ImageTreatment::KEEP && mask.is_none() => {
            Ok((Cow::Borrowed(values), IntensityScale::LOSSLESS))
        }
        Voxels::I16(values) => encode_reals(values, treatment, mask),
        Voxels::F32(values) => encode_reals(values, treatment, mask),
        Voxels::F64(values) => encode_reals(values, treatment, mask),
    }
}

fn encode_reals<'a, T: Copy + Into<f64>>(
    values: &[T],
    treatment: &ImageTreatment,
    mask: Option<&[u8]>,
) -> Result<(Cow<'a, [i16]>, IntensityScale), String> {
    let background = treatment.background;
    let tissue = |(place, value): (usize, &T)| {
        treatment.tissue_intensity((*value).into(), mask.map(|mask| mask[place] != 0))
    };
    let mut low = f64::INFINITY;
    let mut high = f64::NEG_INFINITY;
    let mut keepable = background.value.fract() == 0.0;
    for value in values.iter().enumerate().filter_map(tissue) {
        low = low.min(value);
        high = high.max(value);
        let away = value - background.value;
        // Code 0 is not free for tissue, which a mask may say of any value.
        keepable &= away != 0.0 && f64::from(away as i16) == away && value.fract() == 0.0;
    }
    if keepable {
        let code = |value| tissue(value).map_or(0, |value| (value - background.value) as i16);
        let raw = collect_values(values.len(), values.iter().enumerate().map(code))
            .map_err(|error| error.to_string())?;
        let scale = IntensityScale { inter: background.value, ..IntensityScale::LOSSLESS };
        return Ok((Cow::Owned(raw), scale));
    }
    let mut scale = full_range_scale(low, high);
    let mut raw = Vec::new();
    reserve_values(&mut raw, values.len()).map_err(|error| error.to_string())?;
    for value in values.iter().enumerate().map(tissue) {
        let code = value.map_or(0, |value| quantise_tissue(value, &scale));
        if let Some(value) = value {
            scale.max_error = scale.max_error.max((scale.decode(code) - value).abs());
        }
        raw.push(code);
    }
    if !scale.max_error.is_finite() {
        return Err(format!("intensities from {low:e} to {high:e} span more than f64 can hold"));
    }
    Ok((Cow::Owned(raw), scale))
}

/// The scale whose codes -32768 and 32767 are `low` and `high`.
fn full_range_scale(low: f64, high: f64) -> IntensityScale {
    // Halved first: the difference of two finite numbers may be infinite.
    let half = high / 2.0 - low / 2.0;
    let middle = high / 2.0 + low / 2.0;
    let slope = half / 32767.5;
    if slope == 0.0 {
        return IntensityScale { slope, inter: low + half, max_error: 0.0 };
    }
    IntensityScale { slope, inter: middle + slope / 2.0, max_error: 0.0 }
}

/// The nearest code that is not the background's.
fn quantise_tissue(value: f64, scale: &IntensityScale) -> i16 {
    if scale.slope == 0.0 {
        return 1;
    }
    let nearest = ((value - scale.inter) / scale.slope).round();
    match nearest.clamp(f64::from(i16::MIN), f64::from(i16::MAX)) as i16 {
        0 if value < scale.inter => -1,
        0 => 1,
        code => code,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::quality::{BackgroundRange, ClipLimits};

    fn encoded_as(voxels: Voxels, treatment: &ImageTreatment) -> (Vec<i16>, IntensityScale) {
        let (raw, scale) = encode_volume(&voxels, treatment, None).unwrap();
        (raw.into_owned(), scale)
    }

    fn encoded(voxels: &Voxels) -> (Vec<i16>, IntensityScale) {
        let (raw, scale) = encode_volume(voxels, &ImageTreatment::KEEP, None).unwrap();
        (raw.into_owned(), scale)
    }

    #[test]
    fn integers_are_kept_to_both_ends_of_i16_in_any_float_type() {
        let whole = [-32768i16, -1, 0, 1, 32767];
        for voxels in [
            Voxels::from_whole(whole.to_vec()),
            Voxels::F32(whole.map(f32::from).to_vec()),
            Voxels::F64(whole.map(f64::from).to_vec()),
        ] {
            assert_eq!(encoded(&voxels), (whole.to_vec(), IntensityScale::LOSSLESS));
        }
    }

    #[test]
    fn under_a_mask_tissue_may_have_the_value_0_and_the_rest_is_background() {
        let voxels = Voxels::from_whole(vec![7, 0, 5, 9]);
        let mask = [0, 1, 1, 0];
        let (raw, scale) = encode_volume(&voxels, &ImageTreatment::KEEP, Some(&mask)).unwrap();
        assert_eq!((raw[0], raw[3]), (0, 0));
        assert!(raw[1] != 0 && scale.decode(raw[1]).abs() <= scale.max_error);
        assert!((scale.decode(raw[2]) - 5.0).abs() <= scale.max_error);
    }

    #[test]
    fn what_is_not_finite_is_background_and_does_not_widen_the_range() {
        let odd = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, -0.0, 0.0, 0.25, 0.5];
        let (raw, scale) = encoded(&Voxels::F32(odd.to_vec()));
        assert_eq!(raw[..5], [0; 5]);
        assert_eq!(raw[5..], [i16::MIN, i16::MAX]);
        assert!((scale.slope - 0.25 / 65535.0).abs() < 1e-12);
    }

    #[test]
    fn integers_beyond_i16_are_spread_and_the_ends_decode_exactly_enough() {
        let (raw, scale) = encoded(&Voxels::F32(vec![1.0, 40000.0, 0.0]));
        assert_eq!(raw, [i16::MIN, i16::MAX, 0]);
        assert!((scale.decode(raw[1]) - 40000.0).abs() <= scale.max_error);
        assert!(scale.max_error < 1e-9);
    }

    #[test]
    fn one_value_throughout_decodes_to_itself() {
        let (raw, scale) = encoded(&Voxels::F64(vec![0.3, 0.0, 0.3]));
        assert_eq!(raw, [1, 0, 1]);
        assert_eq!((scale.decode(1), scale.max_error), (0.3, 0.0));
    }

    #[test]
    fn an_empty_volume_is_all_background() {
        assert_eq!(
            encoded(&Voxels::F32(vec![0.0, f32::NAN])),
            (vec![0, 0], IntensityScale::LOSSLESS)
        );
    }

    #[test]
    fn a_span_beyond_f64_is_refused() {
        let error =
            encode_volume(&Voxels::F64(vec![f64::MAX, f64::MIN]), &ImageTreatment::KEEP, None)
                .unwrap_err();
        assert!(error.contains("span"), "{error}");
    }

    fn treated(value: f64, margin: f64, clip: Option<[f64; 2]>) -> ImageTreatment {
        let clip = clip.map(|[low, high]| ClipLimits { low, high, below: 0, above: 0 });
        ImageTreatment {
            background: BackgroundRange::around(value, margin),
            clip,
            ..ImageTreatment::KEEP
        }
    }

    #[test]
    fn whole_numbers_around_another_background_are_kept_as_distances_from_it() {
        let values = vec![-1024, -1024, 0, 30_000, -1025];
        let (raw, scale) =
            encoded_as(Voxels::from_whole(values.clone()), &treated(-1024.0, 0.0, None));
        assert_eq!(raw, [0, 0, 1024, 31_024, -1]);
        assert_eq!(scale, IntensityScale { slope: 1.0, inter: -1024.0, max_error: 0.0 });
        assert!((2..5).all(|place| scale.decode(raw[place]) == f64::from(values[place])));
        // Beyond i16 they are spread, and 0 is still tissue.
        let far = Voxels::from_whole(vec![-1024, 0, 32_767]);
        let (raw, scale) = encoded_as(far, &treated(-1024.0, 0.0, None));
        assert_eq!((raw[0], raw[1], raw[2]), (0, i16::MIN, i16::MAX));
        assert!((scale.decode(raw[2]) - 32_767.0).abs() <= scale.max_error);
    }

    #[test]
    fn ringing_is_background_and_a_spike_leaves_the_others_their_codes() {
        let tissue = (0..1000).map(|place| 1.0 + f64::from(place) / 700.0);
        let values: Vec<f64> = [-1e-3, 2e-3, 1e7].into_iter().chain(tissue).collect();
        let treatment = treated(0.0, 5e-3, Some([1.0, 2.5]));
        let (raw, scale) = encoded_as(Voxels::F64(values), &treatment);
        assert_eq!((raw[0], raw[1], raw[2]), (0, 0, i16::MAX));
        assert!((scale.decode(raw[2]) - 2.5).abs() <= scale.max_error);
        let codes: std::collections::HashSet<i16> = raw[3..].iter().copied().collect();
        assert_eq!(codes.len(), 1000, "each value has a code of its own");
    }

    proptest! {
        #[test]
        fn tissue_stays_tissue_and_no_value_is_off_by_more_than_recorded(
            values in prop::collection::vec(
                prop_oneof![Just(0.0f32), -3.0f32..4.0, -1e6f32..1e6, Just(f32::NAN)], 1..200),
        ) {
            let voxels = Voxels::F32(values.clone());
            let (raw, scale) = encoded(&voxels);
            let span = values.iter().filter(|v| v.is_finite() && **v != 0.0)
                .fold((f64::MAX, f64::MIN), |(low, high), &v| (low.min(v.into()), high.max(v.into())));
            prop_assert!(scale.max_error <= 1.000001 * (span.1 - span.0).max(0.0) / 65535.0);
            for (place, &code) in raw.iter().enumerate() {
                prop_assert_eq!(code != 0, voxels.is_tissue(place));
                if code != 0 {
                    let error = (scale.decode(code) - f64::from(values[place])).abs();
                    prop_assert!(error <= scale.max_error);
                }
            }
        }
    }
}
