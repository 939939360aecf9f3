//! Test-time mirroring: the mean over all eight mirrorings of a patch, itself a network.

use burn::tensor::{Device, Tensor};

use crate::nets::Network;

/// Mirrorings of a patch: each of three axes flipped or not.
pub const MIRRORINGS: usize = 8;

/// Test-time mirroring: averages the predictions of all mirrorings of a patch, flipped back:
/// `MIRRORINGS` times the work, and memory for one more sum.
pub struct Mirrored(Box<dyn Network>);

impl Mirrored {
    /// Wraps `network`.
    pub const fn new(network: Box<dyn Network>) -> Self {
        Self(network)
    }
}

impl Network for Mirrored {
    fn predict_probabilities(&self, images: Tensor<5>) -> Tensor<5> {
        let mut sum = self.0.predict_probabilities(images.clone());
        for turn in 1..MIRRORINGS {
            let seen = self.0.predict_probabilities(flip_axes(images.clone(), turn));
            sum = sum + flip_axes(seen, turn);
        }
        sum / MIRRORINGS as f32
    }

    fn patch_divisor(&self) -> usize {
        self.0.patch_divisor()
    }

    fn device(&self) -> &Device {
        self.0.device()
    }
}

/// Flips the axes of `[b, c, d, h, w]` named by the bits of `turn`; its own inverse.
fn flip_axes(volume: Tensor<5>, turn: usize) -> Tensor<5> {
    let axes = (0..3).filter(|axis| turn >> axis & 1 == 1);
    axes.fold(volume, |whole, axis| whole.flip([axis + 2]))
}

#[cfg(test)]
mod tests {
    use burn::tensor::TensorData;

    use super::*;

    /// Knows where a voxel lies in the patch: as far from symmetric as can be.
    struct Place(Device);

    impl Network for Place {
        fn predict_probabilities(&self, images: Tensor<5>) -> Tensor<5> {
            let [b, _, d, h, w] = images.dims();
            let ramp: Vec<f32> = (0..d * h * w).map(|place| place as f32 / 64.0).collect();
            let ramp = Tensor::<5>::from_data(TensorData::new(ramp, [1, 1, d, h, w]), &self.0);
            images.narrow(1, 0, 3) * ramp.expand([b, 3, d, h, w])
        }

        fn patch_divisor(&self) -> usize {
            1
        }

        fn device(&self) -> &Device {
            &self.0
        }
    }

    fn patch() -> Tensor<5> {
        let values: Vec<f32> = (0..2 * 4 * 24).map(|place| (place * 7 % 13) as f32).collect();
        Tensor::from_data(TensorData::new(values, [2, 4, 2, 3, 4]), &Device::flex())
    }

    fn values(tensor: Tensor<5>) -> Vec<f32> {
        tensor.into_data().try_to_vec().unwrap()
    }

    #[test]
    fn mirroring_the_input_mirrors_the_answer() {
        let network = Mirrored::new(Box::new(Place(Device::flex())));
        let answer = network.predict_probabilities(patch());
        for turn in 1..MIRRORINGS {
            let seen =
                values(flip_axes(network.predict_probabilities(flip_axes(patch(), turn)), turn));
            let expected = values(answer.clone());
            assert!(seen.iter().zip(&expected).all(|(a, b)| (a - b).abs() < 1e-5), "{turn}");
        }
        let alone = Place(Device::flex());
        let plain = values(flip_axes(alone.predict_probabilities(flip_axes(patch(), 5)), 5));
        assert_ne!(plain, values(alone.predict_probabilities(patch())), "by itself it minds");
    }

    #[test]
    fn the_answer_is_the_mean_over_all_eight() {
        let network = Mirrored::new(Box::new(Place(Device::flex())));
        let found = values(network.predict_probabilities(patch()));
        // A ramp over 24 places, averaged over all mirrorings, is its middle everywhere.
        let middle = 11.5 / 64.0;
        let expected = values(patch().narrow(1, 0, 3)).into_iter().map(|value| value * middle);
        assert!(found.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-5));
    }
}
