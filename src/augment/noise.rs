//! Gaussian noise on the normalised intensities.

use serde::{Deserialize, Serialize};

use crate::augment::composition::Composition;
use crate::augment::transform::{Transform, improbable, out_of_range, within};
use crate::base::seed::KeyedRng;

/// Settings of the noise.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Noise {
    /// Share of samples, 0 to 1.
    pub probability: f64,
    /// Variances, lowest first; one for all modalities.
    pub variance: [f64; 2],
}

impl Default for Noise {
    /// A variance of 0 to 0.1 with probability 0.1, as nnU-Net.
    fn default() -> Self {
        Self { probability: 0.1, variance: [0.0, 0.1] }
    }
}

/// Drawn noise field of one sample.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DrawnNoise {
    /// Standard deviation, in units of the modality's.
    pub deviation: f32,
    /// Key of the field; see `super::normal`.
    pub key: [u32; 2],
}

impl Transform for Noise {
    const STREAM: u64 = 7;

    type Params = Option<DrawnNoise>;

    fn draw(&self, rng: &mut KeyedRng) -> Self::Params {
        let noisy = rng.chance(self.probability);
        noisy.then(|| {
            let deviation = within(rng, self.variance).sqrt();
            let bits = rng.bits();
            DrawnNoise { deviation, key: [bits as u32, (bits >> 32) as u32] }
        })
    }

    fn compose(params: &Self::Params, onto: &mut Composition) {
        onto.noise = params.or(onto.noise);
    }

    fn problem(&self) -> Option<String> {
        improbable("probability", self.probability)
            .or_else(|| out_of_range("variance", self.variance, 0.0..=100.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::seed::{Domain, SampleKey};

    #[test]
    fn the_variance_is_uniform_not_the_deviation() {
        let always = Noise { probability: 1.0, ..Noise::default() };
        let drawn = |index| {
            let key = SampleKey { seed: 1, epoch: 0, index };
            let mut rng = KeyedRng::new(key, Domain::Augment).stream(Noise::STREAM);
            always.draw(&mut rng).expect("always").deviation
        };
        let variances: Vec<f32> = (0..4000).map(|index| drawn(index).powi(2)).collect();
        assert!(variances.iter().all(|variance| (0.0..=0.100001).contains(variance)));
        let mean = variances.iter().sum::<f32>() / 4000.0;
        // 0.05 expected, standard deviation of the mean 0.00046.
        assert!((mean - 0.05).abs() < 0.002, "{mean}");
    }
}
