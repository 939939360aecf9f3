//! Predictors of whole cases: one network, or the weighted mean of any number of them.
//!
//! A mean holds one network at a time: for each case it loads a member's weights, predicts, adds to
//! one sum and drops the weights. Reading a file takes a moment, predicting a case minutes, and ten
//! members fit where one does. A mean of one keeps its network.

use std::ops::ControlFlow;

use crate::base::Fault;
use crate::eval::{Sliding, SlidingConfig, predict_case};
use crate::nets::Network;
use crate::pipeline::whole_case::WholeCase;
use crate::volume::Dims;

/// Callback of a prediction: takes (windows done, windows), over all networks, and breaks to end it.
pub type OnWindows<'a> = dyn FnMut(usize, usize) -> ControlFlow<()> + 'a;

/// Source of region probabilities for whole cases.
pub trait Predictor {
    /// Region probabilities `[3, d, h, w]` over the brain box of `case`; `None` if `progress` ended
    /// the prediction ahead of its last window.
    ///
    /// # Errors
    /// If weights that were there when the predictor was made cannot be read any more.
    fn probabilities(
        &mut self,
        case: &WholeCase,
        progress: &mut OnWindows<'_>,
    ) -> Result<Option<Vec<f32>>, Fault>;

    /// True if the probabilities are 0 where all images are background.
    fn is_within_tissue(&self) -> bool;
}

/// Sliding windows of a network.
#[derive(Debug, Clone, PartialEq)]
pub struct WindowConfig {
    /// Extent of a window, a multiple of the network's divisor: checking a configuration sees to
    /// it.
    pub extent: Dims,
    /// Overlap, weighting and batch size.
    pub sliding: SlidingConfig,
}

impl WindowConfig {
    fn window_count(&self, case: &WholeCase) -> usize {
        Sliding::new(case.brain.dims, self.extent, &self.sliding).window_starts().len()
    }

    fn run_network(
        &self,
        network: &dyn Network,
        case: &WholeCase,
        progress: impl FnMut(usize, usize) -> ControlFlow<()>,
    ) -> Option<Vec<f32>> {
        let window = self.extent;
        let mut probabilities =
            predict_case(network, &case.images, case.brain.dims, window, &self.sliding, progress)?;
        if self.sliding.within_tissue {
            mask_background(&mut probabilities, &case.tissue);
        }
        Some(probabilities)
    }
}

/// Sets probabilities `[3, d, h, w]` to 0 outside `tissue`, `[d, h, w]`.
fn mask_background(probabilities: &mut [f32], tissue: &[bool]) {
    for region in probabilities.chunks_exact_mut(tissue.len()) {
        for (probability, is_tissue) in region.iter_mut().zip(tissue) {
            if !is_tissue {
                *probability = 0.0;
            }
        }
    }
}

/// A network in memory, such as one in training.
pub struct OneNetwork {
    /// The network.
    pub network: Box<dyn Network>,
    /// Sliding windows of the network.
    pub windows: WindowConfig,
}

impl Predictor for OneNetwork {
    fn probabilities(
        &mut self,
        case: &WholeCase,
        progress: &mut OnWindows<'_>,
    ) -> Result<Option<Vec<f32>>, Fault> {
        Ok(self.windows.run_network(self.network.as_ref(), case, progress))
    }

    fn is_within_tissue(&self) -> bool {
        self.windows.sliding.within_tissue
    }
}

/// Reads a network's weights.
pub type LoadNetwork = Box<dyn Fn() -> Result<Box<dyn Network>, Fault>>;

/// A network of a mean.
pub struct WeightedNetwork {
    /// Weight in the mean, above 0; only ratios matter.
    pub weight: f64,
    /// Sliding windows of the network.
    pub windows: WindowConfig,
    /// Loads its weights onto the device.
    pub load: LoadNetwork,
}

/// The weighted mean of the networks' probabilities, added up in their order.
pub struct MeanPredictor {
    parts: Vec<WeightedNetwork>,
    /// The network of a mean of one.
    kept: Option<Box<dyn Network>>,
}

impl MeanPredictor {
    /// Averages `parts`.
    ///
    /// # Panics
    /// If there is no part: the command line names at least one run.
    pub fn of_networks(parts: Vec<WeightedNetwork>) -> Self {
        assert!(!parts.is_empty(), "a mean of nothing");
        Self { parts, kept: None }
    }
}

impl Predictor for MeanPredictor {
    fn probabilities(
        &mut self,
        case: &WholeCase,
        progress: &mut OnWindows<'_>,
    ) -> Result<Option<Vec<f32>>, Fault> {
        if let [only] = self.parts.as_slice() {
            let network = match self.kept.take() {
                Some(network) => network,
                None => (only.load)()?,
            };
            let network = self.kept.insert(network);
            return Ok(only.windows.run_network(network.as_ref(), case, progress));
        }
        let windows: usize = self.parts.iter().map(|part| part.windows.window_count(case)).sum();
        let weights: f64 = self.parts.iter().map(|part| part.weight).sum();
        let mut sum = Vec::new();
        let mut done = 0;
        for part in &self.parts {
            let network = (part.load)()?;
            let probabilities = part.windows.run_network(network.as_ref(), case, |of_part, _| {
                progress(done + of_part, windows)
            });
            drop(network);
            let Some(probabilities) = probabilities else { return Ok(None) };
            done += part.windows.window_count(case);
            add_weighted(&mut sum, &probabilities, (part.weight / weights) as f32);
        }
        Ok(Some(sum))
    }

    fn is_within_tissue(&self) -> bool {
        self.parts.iter().all(|part| part.windows.sliding.within_tissue)
    }
}

/// Adds `share` of `values` to a sum that may be empty.
fn add_weighted(sum: &mut Vec<f32>, values: &[f32], share: f32) {
    if sum.is_empty() {
        sum.extend(values.iter().map(|value| share * value));
        return;
    }
    for (total, value) in sum.iter_mut().zip(values) {
        *total += share * value;
    }
}

#[cfg(test)]
mod tests {
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

    fn part(weight: f64, factor: f32, side: usize, count: &Arc<Count>) -> WeightedNetwork {
        let count = Arc::clone(count);
        let load = move || {
            count.loads.fetch_add(1, Ordering::Relaxed);
            let alive = count.alive.fetch_add(1, Ordering::Relaxed) + 1;
            count.most.fetch_max(alive, Ordering::Relaxed);
            Ok(Box::new(Times(factor, Device::flex(), Arc::clone(&count))) as Box<dyn Network>)
        };
        let windows = WindowConfig { extent: Dims::cube(side), sliding: SlidingConfig::default() };
        WeightedNetwork { weight, windows, load: Box::new(load) }
    }

    fn case() -> WholeCase {
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

    fn of(parts: Vec<WeightedNetwork>) -> Vec<f32> {
        MeanPredictor::of_networks(parts).probabilities(&case(), &mut go_on).unwrap().unwrap()
    }

    #[test]
    fn a_mean_weighs_its_parts_and_one_part_is_itself() {
        let count = Arc::new(Count::default());
        let alone = of(vec![part(0.3, 0.5, 4, &count)]);
        let windows = WindowConfig { extent: Dims::cube(4), sliding: SlidingConfig::default() };
        let (network, counted) = (part(1.0, 0.5, 4, &count).load, Arc::clone(&count));
        let mut one = OneNetwork { network: network().unwrap(), windows };
        assert_eq!(one.probabilities(&case(), &mut go_on).unwrap().unwrap(), alone);
        drop(one);
        assert_eq!(counted.alive.load(Ordering::Relaxed), 0);
        // Led through windows of their own extent, and counted 1 to 3.
        let both = of(vec![part(0.5, 0.5, 4, &count), part(1.5, 0.1, 2, &count)]);
        let other = of(vec![part(1.0, 0.1, 2, &count)]);
        let expected = alone.iter().zip(&other).map(|(a, b)| 0.25 * a + 0.75 * b);
        assert!(both.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-6));
    }

    #[test]
    fn within_tissue_nothing_is_predicted_in_the_air_and_the_rest_stays() {
        let count = Arc::new(Count::default());
        let masked = |weight, factor| {
            let mut part = part(weight, factor, 4, &count);
            part.windows.sliding.within_tissue = true;
            part
        };
        let (tissue, voxels) = (case().tissue, case().brain.dims.voxel_count());
        for (free, inside) in [
            (of(vec![part(1.0, 0.5, 4, &count)]), of(vec![masked(1.0, 0.5)])),
            (
                of(vec![part(1.0, 0.5, 4, &count), part(2.0, 0.7, 4, &count)]),
                of(vec![masked(1.0, 0.5), masked(2.0, 0.7)]),
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
        let parts = (1..=5).map(|number| part(1.0, number as f32, 4, &count)).collect();
        let mut mean = MeanPredictor::of_networks(parts);
        let mut told = Vec::new();
        for _ in 0..2 {
            let mut tell = |done, of| {
                told.push((done, of));
                go_on(done, of)
            };
            mean.probabilities(&case(), &mut tell).unwrap();
        }
        let loaded = |count: &Count| {
            (count.loads.load(Ordering::Relaxed), count.most.load(Ordering::Relaxed))
        };
        assert_eq!((loaded(&count), count.alive.load(Ordering::Relaxed)), ((10, 1), 0));
        let windows = told[0].1;
        let expected: Vec<(usize, usize)> = (1..=windows).map(|done| (done, windows)).collect();
        assert_eq!(told, [expected.clone(), expected].concat());

        let count = Arc::new(Count::default());
        let mut mean = MeanPredictor::of_networks(vec![part(1.0, 1.0, 4, &count)]);
        for _ in 0..3 {
            mean.probabilities(&case(), &mut go_on).unwrap();
        }
        assert_eq!(loaded(&count), (1, 1));
    }

    #[test]
    fn a_break_ends_a_prediction_ahead_of_the_next_window() {
        let count = Arc::new(Count::default());
        for networks in [1, 3] {
            let parts = (0..networks).map(|_| part(1.0, 1.0, 4, &count)).collect();
            let mut windows = 0;
            let mut stop = |done, _| {
                windows = done;
                if done == 2 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            };
            let ended = MeanPredictor::of_networks(parts).probabilities(&case(), &mut stop);
            assert_eq!((ended.unwrap(), windows), (None, 2));
        }
    }

    #[test]
    fn weights_that_cannot_be_read_are_said() {
        let lost =
            || Err(Fault::from_io(std::path::Path::new("w"), &std::io::Error::other("gone")));
        let mut parts = vec![part(1.0, 1.0, 4, &Arc::new(Count::default()))];
        parts[0].load = Box::new(lost);
        let fault =
            MeanPredictor::of_networks(parts).probabilities(&case(), &mut go_on).unwrap_err();
        assert!(fault.to_string().contains("gone"), "{fault}");
    }
}
