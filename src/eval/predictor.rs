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
use crate::volume::{Dims, RunChannels};

/// Callback of a prediction: takes (windows done, windows), over all networks, and breaks to end it.
pub type OnWindows<'a> = dyn FnMut(usize, usize) -> ControlFlow<()> + 'a;

/// Source of region probabilities for whole cases.
pub trait Predictor {
    /// Region probabilities `[k, d, h, w]` of its regions over the brain box of `case`; `None` if `progress` ended
    /// the prediction ahead of its last window.
    ///
    /// # Errors
    /// If weights that were there when the predictor was made cannot be read any more.
    fn probabilities(
        &mut self,
        case: &WholeCase,
        progress: &mut OnWindows<'_>,
    ) -> Result<Option<Vec<f32>>, Fault>;

    /// Modalities that it sees, and regions of the probabilities.
    fn run_channels(&self) -> RunChannels;

    /// True if the probabilities are 0 where all images are background.
    fn is_within_tissue(&self) -> bool;
}

/// Sliding windows of a network, and its channels.
#[derive(Debug, Clone, PartialEq)]
pub struct WindowConfig {
    /// Channels at both ends of the network.
    pub channels: RunChannels,
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
        let mut probabilities = predict_case(
            network,
            &case.images,
            case.brain.dims,
            window,
            self.channels,
            &self.sliding,
            progress,
        )?;
        if self.sliding.within_tissue {
            mask_background(&mut probabilities, &case.tissue);
        }
        Some(probabilities)
    }
}

/// Sets probabilities `[k, d, h, w]` to 0 outside `tissue`, `[d, h, w]`.
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

    fn run_channels(&self) -> RunChannels {
        self.windows.channels
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
    /// Averages `parts`, which are of the same regions.
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

    fn run_channels(&self) -> RunChannels {
        self.parts[0].windows.channels
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
#[path = "predictor_tests.rs"]
mod tests;
