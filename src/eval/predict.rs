//! A network's prediction of one whole case.

use std::convert::Infallible;

use burn::tensor::{Tensor, TensorData};

use crate::eval::{Sliding, SlidingConfig};
use crate::nets::Network;
use crate::volume::{Dims, Modality};

/// Region probabilities `[3, d, h, w]` of normalised images `[4, d, h, w]` of extent `case`, by
/// windows of extent `window`; `progress` is called with (windows done, windows).
///
/// Memory: weighted sums of the case's extent (`[4, d, h, w]`), and one batch of windows.
///
/// # Panics
/// If `window` is no multiple of the network's divisor, or `images` has another length.
pub fn predict_case(
    network: &dyn Network,
    images: &[f32],
    case: Dims,
    window: Dims,
    config: &SlidingConfig,
    progress: impl FnMut(usize, usize),
) -> Vec<f32> {
    let divisor = network.patch_divisor();
    assert!(window.0.iter().all(|extent| extent % divisor == 0), "{window} is checked by config");
    let [d, h, w] = window.0;
    let probabilities = |windows: Vec<f32>, count: usize| {
        let data = TensorData::new(windows, [count, Modality::COUNT, d, h, w]);
        let answer = network.predict_probabilities(Tensor::from_data(data, network.device()));
        let values: Vec<f32> = answer.into_data().try_to_vec().expect("networks compute in f32");
        Ok::<_, Infallible>(values)
    };
    let sliding = Sliding::new(case, window, config);
    match sliding.blend_windows(images, Modality::COUNT, probabilities, progress) {
        Ok(blended) => blended,
    }
}
