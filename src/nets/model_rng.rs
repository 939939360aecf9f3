//! Random numbers of a network's training pass: dropout and latent noise, by keyed counters.
//!
//! The numbers come from [`KeyedRng`] on the host and not from the device's generator, so a resumed
//! run draws what the uninterrupted one would have, on any backend. Masks cross the bus as one byte
//! a value.

use burn::tensor::{Bool, Device, Tensor, TensorData};

use crate::base::{Domain, KeyedRng, SampleKey};
use crate::nets::cast;
#[cfg(feature = "cuda")]
use crate::nets::cuda;

/// Resolution of dropout: 16 random bits decide on a value, so shares are kept to 1/65536.
const LEVELS: f64 = 65536.0;

/// Random numbers of one training pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ModelRng {
    /// The run's seed.
    pub seed: u64,
    /// The pass: two passes of a run never share a number.
    pub step: u64,
}

impl ModelRng {
    /// Generator of one layer; `place` is the layer's constant.
    fn layer_rng(self, place: u64) -> KeyedRng {
        let key = SampleKey { seed: self.seed, epoch: 0, index: self.step };
        KeyedRng::new(key, Domain::Network).with_stream(place)
    }

    /// Samples standard normal values.
    pub fn sample_normal<const D: usize>(
        self,
        place: u64,
        shape: [usize; D],
        device: &Device,
    ) -> Tensor<D> {
        let mut rng = self.layer_rng(place);
        let values: Vec<f32> =
            (0..shape.iter().product()).map(|_| rng.standard_normal() as f32).collect();
        Tensor::from_data(TensorData::new(values, shape), device)
    }

    /// Dropout: sets a share of the values of `[b, c, d, h, w]` to 0 and scales the rest to keep
    /// the mean (Srivastava et al. 2014). A share of 0 changes nothing.
    pub fn drop_values(self, place: u64, share: f64, volume: Tensor<5>) -> Tensor<5> {
        let Some(chance) = DropProbability::from_share(share) else { return volume };
        let shape = volume.dims();
        let dropped = chance.drop_mask(&mut self.layer_rng(place), shape.iter().product());
        #[cfg(feature = "cuda")]
        if cuda::computes(&volume) {
            return cuda::drop_values(volume, &pack_bits(&dropped), chance.kept_scale() as f32);
        }
        let mask = TensorData::new(dropped, shape);
        let mask = Tensor::<5, Bool>::from_data(mask, &volume.device());
        volume.mask_fill(mask, 0.0) * chance.kept_scale()
    }

    /// Channel dropout (Tompson et al. 2015): neighbouring voxels are so alike that dropping single
    /// ones would hide little.
    pub fn drop_channels(self, place: u64, share: f64, volume: Tensor<5>) -> Tensor<5> {
        let Some(chance) = DropProbability::from_share(share) else { return volume };
        let [b, c, ..] = volume.dims();
        let dropped = chance.drop_mask(&mut self.layer_rng(place), b * c);
        let factor = |dropped: bool| if dropped { 0.0 } else { chance.kept_scale() as f32 };
        let factors: Vec<f32> = dropped.into_iter().map(factor).collect();
        let factors = TensorData::new(factors, [b, c, 1, 1, 1]);
        let factors = Tensor::<5>::from_data(factors, &volume.device());
        volume.clone() * cast(factors, volume.dtype())
    }
}

/// Dropout probability in 65536ths.
#[derive(Clone, Copy)]
struct DropProbability(u16);

impl DropProbability {
    /// Rounds a share; `None` if it comes to 0.
    fn from_share(share: f64) -> Option<Self> {
        let level = (share * LEVELS).round() as u16;
        (level > 0).then_some(Self(level))
    }

    /// Factor of the values that are kept, so that the mean stays.
    fn kept_scale(self) -> f64 {
        LEVELS / (LEVELS - f64::from(self.0))
    }

    /// Generates the mask, four values from each 64 random bits.
    fn drop_mask(self, rng: &mut KeyedRng, count: usize) -> Vec<bool> {
        let mut dropped = Vec::with_capacity(count.next_multiple_of(4));
        while dropped.len() < count {
            let bits = rng.next_bits();
            dropped.extend([0, 16, 32, 48].map(|shift| ((bits >> shift) as u16) < self.0));
        }
        dropped.truncate(count);
        dropped
    }
}

/// Packs 32 values a word, the first one lowest.
#[cfg(any(feature = "cuda", test))]
fn pack_bits(values: &[bool]) -> Vec<u32> {
    let pack = |values: &[bool]| {
        values.iter().enumerate().fold(0, |word, (at, value)| word | u32::from(*value) << at)
    };
    values.chunks(32).map(pack).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const DRAWS: ModelRng = ModelRng { seed: 3, step: 14 };

    fn ones(shape: [usize; 5]) -> Tensor<5> {
        Tensor::ones(shape, &Device::flex())
    }

    fn read<const D: usize>(tensor: Tensor<D>) -> Vec<f32> {
        tensor.into_data().try_to_vec().unwrap()
    }

    #[test]
    fn draws_depend_on_seed_step_and_place_alone() {
        let shape = [2, 5];
        let noise =
            |draws: ModelRng, place| read(draws.sample_normal(place, shape, &Device::flex()));
        let first = noise(DRAWS, 1);
        assert_eq!(first, noise(DRAWS, 1));
        for (draws, place) in
            [(ModelRng { seed: 4, ..DRAWS }, 1), (ModelRng { step: 15, ..DRAWS }, 1), (DRAWS, 2)]
        {
            assert!(first.iter().zip(noise(draws, place)).all(|(a, b)| *a != b));
        }
    }

    #[test]
    fn values_are_dropped_in_their_share_and_the_mean_stays() {
        let shape = [2, 3, 16, 16, 17];
        let values = read(DRAWS.drop_values(1, 0.1, ones(shape)));
        let count = values.len() as f32;
        let zeros = values.iter().filter(|&&value| value == 0.0).count() as f32;
        assert!((zeros / count - 0.1).abs() < 0.005, "{}", zeros / count);
        assert!(values.iter().all(|&value| value == 0.0 || (value - 1.0 / 0.9).abs() < 1e-4));
        assert!((values.iter().sum::<f32>() / count - 1.0).abs() < 0.005);
    }

    #[test]
    fn channels_are_dropped_whole_and_so_are_their_gradients() {
        let device = Device::flex().autodiff();
        let volume = Tensor::<5>::ones([4, 50, 2, 2, 2], &device).require_grad();
        let answer = DRAWS.drop_channels(1, 0.2, volume.clone());
        let values = read(answer.clone());
        let gradient = read(volume.grad(&answer.sum().backward()).unwrap());
        assert_eq!(values, gradient, "of a linear map of ones");
        let channels: Vec<&[f32]> = values.chunks_exact(8).collect();
        assert!(channels.iter().all(|channel| channel.iter().all(|v| *v == channel[0])));
        let gone = channels.iter().filter(|channel| channel[0] == 0.0).count();
        assert!((20..=60).contains(&gone), "{gone} of 200");
    }

    #[test]
    fn the_first_of_32_values_is_the_lowest_bit() {
        let mut values = [false; 40];
        for place in [0, 31, 33] {
            values[place] = true;
        }
        assert_eq!(pack_bits(&values), [1 | 1 << 31, 1 << 1]);
    }

    #[test]
    fn a_share_of_nothing_changes_nothing() {
        let volume = ones([1, 2, 2, 2, 2]) * 0.3;
        assert_eq!(read(DRAWS.drop_values(1, 0.0, volume.clone())), read(volume));
    }
}
