//! Tests of an image's quality.

use super::*;
use crate::quality::extremes::SPIKE_WIDTHS;
use crate::quality::sorted::central_range;

/// Column of `tissue` between as many zeros, as integers if all are.
fn measured(tissue: &[f64]) -> ImageQuality {
    let mut values = vec![0.0; 3 * tissue.len()];
    values[tissue.len()..2 * tissue.len()].copy_from_slice(tissue);
    let whole = tissue.iter().all(|value| f64::from(*value as i16) == *value);
    let dims = Dims([values.len(), 1, 1]);
    let voxels = if whole {
        Voxels::from_whole(values.iter().map(|value| *value as i16).collect())
    } else {
        Voxels::F64(values)
    };
    ImageQuality::measure_image(&voxels, dims, &ForegroundRule::Nonzero, None)
}

/// Tissue from 100 to 201 whose central width is 100.
fn ramp() -> Vec<f64> {
    (0..2002).map(|number| 100.0 + f64::from(number % 1001) * 0.101).collect()
}

#[test]
fn the_distribution_is_that_of_numpy() {
    // numpy.percentile(numpy.arange(1, 102), [0.5, 1, 5, 50, 95, 99, 99.5])
    let seen = measured(&(1..=101).rev().map(f64::from).collect::<Vec<_>>()).tissue;
    assert_eq!(seen.percentiles, [1.5, 2.0, 6.0, 51.0, 96.0, 100.0, 100.5]);
    assert_eq!((seen.voxels, seen.mean, seen.min, seen.max), (101, 51.0, 1.0, 101.0));
    assert!((seen.sd - 850f64.sqrt()).abs() < 1e-12);
    assert!((seen.share - 1.0 / 3.0).abs() < 1e-12);
}

#[test]
fn one_spike_is_clipped_to_the_highest_value_that_is_none() {
    let mut tissue = ramp();
    let width = {
        let sorted = SortedValues::Reals({
            let mut sorted = tissue.clone();
            sorted.sort_unstable_by(f64::total_cmp);
            sorted
        });
        let (low, high) = central_range(sorted.value_runs(), tissue.len() as u64);
        assert!((high - low - 100.0).abs() < 1.0);
        high - low
    };
    assert_eq!(measured(&tissue).clip, None);
    for (value, above, below) in [(1e7, 1, 0), (-1e7, 0, 1)] {
        tissue[1000] = value;
        let clip = measured(&tissue).clip.unwrap();
        assert_eq!((clip.above, clip.below, clip.low), (above, below, 100.0));
        assert_eq!(clip.high, 201.0);
    }
    let top = 201.0 + (SPIKE_WIDTHS - 0.1) * width;
    tissue[1000] = top;
    assert_eq!(measured(&tissue).clip, None, "just within");
    tissue[1000] = 201.0 + (SPIKE_WIDTHS + 0.1) * width;
    assert!(measured(&tissue).clip.is_some(), "just beyond");
}

#[test]
fn after_clipping_codes_keep_one_percent_of_the_sd_and_without_spikes_too() {
    let mut tissue = ramp();
    for height in [1e5, 1e7, 1e30] {
        tissue[77] = height;
        let seen = measured(&tissue);
        assert!(seen.clip.is_some() && seen.code_step.unwrap() < 1e-3, "{seen:?}");
    }
    // 2 % of the voxels are far out: no spike.
    tissue[77] = 150.5;
    for (number, value) in tissue.iter_mut().take(40).enumerate() {
        *value = 1e6 + number as f64;
    }
    let seen = measured(&tissue);
    assert_eq!(seen.clip, None);
    assert!(seen.code_step.unwrap() > 0.2, "{seen:?}");
}

#[test]
fn whole_numbers_are_stored_as_they_are_in_any_type() {
    let whole: Vec<f64> = (1..=500).map(f64::from).collect();
    assert_eq!(measured(&whole).code_step, None);
    let mut values = vec![0.0; 1500];
    values[500..1000].copy_from_slice(&whole);
    let seen = ImageQuality::measure_image(
        &Voxels::F64(values),
        Dims([1500, 1, 1]),
        &ForegroundRule::Nonzero,
        None,
    );
    assert_eq!(seen.code_step, None);
}

#[test]
fn counts_of_whole_numbers_say_what_their_voxels_do() {
    let mut tissue: Vec<f64> = (0..2000).map(|number| f64::from(100 + number % 400)).collect();
    tissue[7] = 32_000.0;
    tissue[100..300].fill(1.0);
    let seen = measured(&tissue);
    let mut counts = std::collections::BTreeMap::<i16, u32>::new();
    tissue.iter().for_each(|value| *counts.entry(*value as i16).or_default() += 1);
    let counts: Vec<(i16, u32)> = counts.into_iter().collect();
    let counted = ImageQuality::measure_counts(&counts, seen.voxels);
    let face_share = seen.background.face_share;
    let background = ImageBackground { face_share, ..counted.background };
    assert_eq!(ImageQuality { background, ..counted }, seen);
    let certain = seen.certain_tissue().unwrap();
    assert_eq!(
        [0.0, 1.0, 100.0, 499.0, 32_000.0].map(|value| certain.contains(value)),
        [false, false, true, true, false]
    );
}

#[test]
fn a_peak_at_the_top_is_saturation_and_a_tail_is_none() {
    let with_top = |count: usize, next: usize| {
        let mut tissue: Vec<f64> = (1..=3000).map(f64::from).collect();
        tissue[..count].fill(32_767.0);
        tissue[count..count + next].fill(32_766.0);
        measured(&tissue).saturation
    };
    assert_eq!(with_top(15, 1), None);
    assert_eq!(with_top(16, 1), Some(Saturation { value: 32_767.0, voxels: 16 }));
    assert_eq!(with_top(40, 10), Some(Saturation { value: 32_767.0, voxels: 40 }));
    assert_eq!(with_top(40, 11), None);
    let few = [[5.0; 20], [6.0; 20]].concat();
    assert_eq!(measured(&few).saturation, None, "few values are no peak");
}

#[test]
fn nothing_one_value_and_a_mask_are_seen() {
    assert!(measured(&[0.0; 9]).is_empty());
    let constant = measured(&[5.0; 9]);
    assert!(constant.is_constant() && constant.clip.is_none() && !constant.is_empty());
    let voxels = Voxels::F32(vec![0.0, 0.0, 3.5, 4.0, f32::NAN, 0.0]);
    let rule = ForegroundRule::Mask("mask".into());
    let mask = [0, 1, 1, 0, 1, 0];
    let seen = ImageQuality::measure_image(&voxels, Dims([6, 1, 1]), &rule, Some(&mask));
    assert_eq!((seen.tissue.voxels, seen.tissue.min, seen.tissue.max), (2, 0.0, 3.5));
    assert_eq!(seen.non_finite, 1);
}

#[test]
fn outliers_that_are_too_many_to_be_spikes_show_in_the_standard_deviation() {
    let with_outliers = |count: usize, value: f64| {
        let mut tissue = ramp();
        tissue[..count].fill(value);
        measured(&tissue)
    };
    let clean = with_outliers(0, 0.0);
    assert!((0.7..0.9).contains(&clean.sd_of_quartiles), "uniform: {}", clean.sd_of_quartiles);
    for value in [9000.0, 9000.5] {
        let seen = with_outliers(20, value);
        assert_eq!(seen.clip, None, "they are percentile 99.5");
        assert!(seen.sd_of_quartiles > 10.0, "{}", seen.sd_of_quartiles);
    }
    assert_eq!(measured(&[5.0; 100]).sd_of_quartiles, 0.0);
}
