//! A network's prediction of one whole case.

use std::borrow::Cow;
use std::cell::Cell;
use std::ops::ControlFlow;

use burn::tensor::{Tensor, TensorData};

use crate::eval::{Sliding, SlidingConfig};
use crate::nets::Network;
use crate::volume::{Dims, Modality, ModalitySet, RunChannels};

/// Region probabilities `[k, d, h, w]` of normalised images `[4, d, h, w]` of extent `case`, of which
/// the network sees the modalities of `channels`, by windows of extent `window`; `progress` is called with (windows done, windows), and a break of it
/// ends the work ahead of the next window, with `None`.
///
/// Memory: weighted sums of the case's extent (`[k + 1, d, h, w]`), and one batch of windows.
///
/// # Panics
/// If `window` is no multiple of the network's divisor, or `images` has another length.
pub fn predict_case(
    network: &dyn Network,
    images: &[f32],
    case: Dims,
    window: Dims,
    channels: RunChannels,
    config: &SlidingConfig,
    mut progress: impl FnMut(usize, usize) -> ControlFlow<()>,
) -> Option<Vec<f32>> {
    let divisor = network.patch_divisor();
    assert!(window.0.iter().all(|extent| extent % divisor == 0), "{window} is checked by config");
    let [d, h, w] = window.0;
    let images = select_modalities(images, channels.modalities);
    let modalities = channels.modalities.len();
    let flow = Cell::new(ControlFlow::Continue(()));
    let probabilities = |windows: Vec<f32>, count: usize| {
        if flow.get().is_break() {
            return Err(());
        }
        let data = TensorData::new(windows, [count, modalities, d, h, w]);
        let answer = network.predict_probabilities(Tensor::from_data(data, network.device()));
        let values: Vec<f32> = answer.into_data().try_to_vec().expect("networks compute in f32");
        Ok(values)
    };
    let sliding = Sliding::new(case, window, config);
    let told = |done, windows| flow.set(progress(done, windows));
    sliding.blend_windows(&images, [modalities, channels.regions.len()], probabilities, told).ok()
}

/// Images `[c, d, h, w]` of some modalities out of those of all.
fn select_modalities(images: &[f32], modalities: ModalitySet) -> Cow<'_, [f32]> {
    if modalities.is_all() {
        return Cow::Borrowed(images);
    }
    let voxels = images.len() / Modality::COUNT;
    let planes = modalities.iter().map(|modality| &images[modality.index() * voxels..][..voxels]);
    Cow::Owned(planes.collect::<Vec<_>>().concat())
}
