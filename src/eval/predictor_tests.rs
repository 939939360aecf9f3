//! Tests of predictors.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use burn::tensor::{Device, Tensor};

use super::*;
use crate::volume::{Affine, Box3, CaseId, LabelScheme, Modality, SourceGrid};

/// Networks that were brought, and those that are there.
#[derive(Default)]
struct Count {
    loads: AtomicUsize,
    alive: AtomicUsize,
    most: AtomicUsize,
}

/// Answers with a multiple of its first channels.
struct Times(f32, Device, Arc<Count>);

impl Network for Times {
    fn predict_probabilities(&self, images: Tensor<5>) -> Tensor<5> {
        images.narrow(1, 0, 3) * self.0
    }

    fn patch_divisor(&self) -> usize {
        1
    }

    fn device(&self) -> &Device {
        &self.1
    }
}

impl Drop for Times {
    fn drop(&mut self) {
        self.2.alive.fetch_sub(1, Ordering::Relaxed);
    }
}

fn weighted_part(weight: f64, factor: f32, side: usize, count: &Arc<Count>) -> WeightedNetwork {
    let count = Arc::clone(count);
    let load = move || {
        count.loads.fetch_add(1, Ordering::Relaxed);
        let alive = count.alive.fetch_add(1, Ordering::Relaxed) + 1;
        count.most.fetch_max(alive, Ordering::Relaxed);
        Ok(Box::new(Times(factor, Device::flex(), Arc::clone(&count))) as Box<dyn Network>)
    };
    let windows = WindowConfig {
        channels: RunChannels::default(),
        extent: Dims::cube(side),
        sliding: SlidingConfig::default(),
    };
    WeightedNetwork { weight, windows, load: Box::new(load) }
}

fn plain_case() -> WholeCase {
    let dims = Dims([6, 5, 4]);
    let values = (0..Modality::COUNT * dims.voxel_count()).map(|place| place as f32 / 480.0);
    WholeCase {
        id: CaseId::new("case"),
        images: values.collect(),
        tissue: (0..dims.voxel_count()).map(|place| place % 3 != 0).collect(),
        labels: None,
        outside: Vec::new(),
        brain: Box3 { start: [0; 3], dims },
        source: SourceGrid::canonical(dims, Affine([[0.0; 4]; 4])),
        resampled_from: None,
        scheme: LabelScheme::Brats2018,
    }
}

fn go_on(_: usize, _: usize) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

fn mean_of(parts: Vec<WeightedNetwork>) -> Vec<f32> {
    MeanPredictor::of_networks(parts).probabilities(&plain_case(), &mut go_on).unwrap().unwrap()
}

#[test]
fn a_mean_weighs_its_parts_and_one_part_is_itself() {
    let count = Arc::new(Count::default());
    let alone = mean_of(vec![weighted_part(0.3, 0.5, 4, &count)]);
    let WeightedNetwork { windows, load: network, .. } = weighted_part(1.0, 0.5, 4, &count);
    let counted = Arc::clone(&count);
    let mut one = OneNetwork { network: network().unwrap(), windows };
    assert_eq!(one.probabilities(&plain_case(), &mut go_on).unwrap().unwrap(), alone);
    drop(one);
    assert_eq!(counted.alive.load(Ordering::Relaxed), 0);

    // Led through windows of their own extent, and counted 1 to 3.
    let both =
        mean_of(vec![weighted_part(0.5, 0.5, 4, &count), weighted_part(1.5, 0.1, 2, &count)]);
    let other = mean_of(vec![weighted_part(1.0, 0.1, 2, &count)]);
    let expected = alone.iter().zip(&other).map(|(a, b)| 0.25 * a + 0.75 * b);
    assert!(both.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-6));
}

#[test]
fn within_tissue_nothing_is_predicted_in_the_air_and_the_rest_stays() {
    let count = Arc::new(Count::default());
    let masked = |weight, factor| {
        let mut part = weighted_part(weight, factor, 4, &count);
        part.windows.sliding.within_tissue = true;
        part
    };
    let (tissue, voxels) = (plain_case().tissue, plain_case().brain.dims.voxel_count());
    for (free, inside) in [
        (mean_of(vec![weighted_part(1.0, 0.5, 4, &count)]), mean_of(vec![masked(1.0, 0.5)])),
        (
            mean_of(vec![weighted_part(1.0, 0.5, 4, &count), weighted_part(2.0, 0.7, 4, &count)]),
            mean_of(vec![masked(1.0, 0.5), masked(2.0, 0.7)]),
        ),
    ] {
        let expected = free
            .iter()
            .enumerate()
            .map(|(place, value)| if tissue[place % voxels] { *value } else { 0.0 });
        assert_eq!(inside, expected.collect::<Vec<f32>>());
        assert_ne!(inside, free);
    }
}

#[test]
fn a_mean_of_many_holds_one_network_at_a_time_and_a_mean_of_one_keeps_it() {
    let count = Arc::new(Count::default());
    let parts = (1..=5).map(|number| weighted_part(1.0, number as f32, 4, &count)).collect();
    let mut mean = MeanPredictor::of_networks(parts);
    let mut told = Vec::new();
    for _ in 0..2 {
        let mut tell = |done, of| {
            told.push((done, of));
            go_on(done, of)
        };
        mean.probabilities(&plain_case(), &mut tell).unwrap();
    }
    let loaded =
        |count: &Count| (count.loads.load(Ordering::Relaxed), count.most.load(Ordering::Relaxed));
    assert_eq!((loaded(&count), count.alive.load(Ordering::Relaxed)), ((10, 1), 0));
    let windows = told[0].1;
    let expected: Vec<(usize, usize)> = (1..=windows).map(|done| (done, windows)).collect();
    assert_eq!(told, [expected.clone(), expected].concat());

    let count = Arc::new(Count::default());
    let mut mean = MeanPredictor::of_networks(vec![weighted_part(1.0, 1.0, 4, &count)]);
    for _ in 0..3 {
        mean.probabilities(&plain_case(), &mut go_on).unwrap();
    }
    assert_eq!(loaded(&count), (1, 1));
}

#[test]
fn a_break_ends_a_prediction_ahead_of_the_next_window() {
    let count = Arc::new(Count::default());
    for networks in [1, 3] {
        let parts = (0..networks).map(|_| weighted_part(1.0, 1.0, 4, &count)).collect();
        let mut windows = 0;
        let mut stop = |done, _| {
            windows = done;
            if done == 2 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        };
        let ended = MeanPredictor::of_networks(parts).probabilities(&plain_case(), &mut stop);
        assert_eq!((ended.unwrap(), windows), (None, 2));
    }
}

#[test]
fn weights_that_cannot_be_read_are_said() {
    let lost = || Err(Fault::from_io(std::path::Path::new("w"), &std::io::Error::other("gone")));
    let mut parts = vec![weighted_part(1.0, 1.0, 4, &Arc::new(Count::default()))];
    parts[0].load = Box::new(lost);
    let fault =
        MeanPredictor::of_networks(parts).probabilities(&plain_case(), &mut go_on).unwrap_err();
    assert!(fault.to_string().contains("gone"), "{fault}");
}
