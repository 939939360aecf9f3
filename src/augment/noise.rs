//! Gaussian noise on the normalised intensities.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use smart_default::SmartDefault;

use crate::augment::{ComposedTransform, Transform, draw_uniform};
use crate::base::KeyedRng;

/// Settings of the noise.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema, SmartDefault)]
#[serde(deny_unknown_fields, default)]
pub struct GaussianNoise {
    /// Share of samples, 0 to 1; as nnU-Net.
    #[schemars(range(min = 0, max = 1))]
    #[default(0.1)]
    pub probability: f64,
    /// Variances, lowest first; one for all modalities; as nnU-Net.
    #[schemars(inner(range(min = 0, max = 100)), extend("x-ascending" = true))]
    #[default([0.0, 0.1])]
    pub variance: [f64; 2],
    /// Draws the deviation evenly between the roots of `variance`, as batchgeneratorsv2 does; otherwise the
    /// variance.
    // Left out where it is off: fingerprints of runs before it was there stay theirs.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub even_in_deviation: bool,
}

impl GaussianNoise {
    /// Noise with standard deviations of a range.
    pub fn of_deviations(probability: f64, range: [f64; 2]) -> Self {
        let variance = range.map(|deviation| deviation * deviation);
        Self { probability, variance, even_in_deviation: true }
    }
}

/// Drawn noise field of one sample.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DrawnNoise {
    /// Standard deviation, in units of the modality's.
    pub deviation: f32,
    /// Key of the field; see `super::counter_normal`.
    pub key: [u32; 2],
}

impl Transform for GaussianNoise {
    const STREAM: u64 = 7;

    type Params = Option<DrawnNoise>;

    fn draw_params(&self, rng: &mut KeyedRng) -> Self::Params {
        let noisy = rng.draw_bool(self.probability);
        noisy.then(|| {
            let deviation = if self.even_in_deviation {
                draw_uniform(rng, self.variance.map(f64::sqrt))
            } else {
                draw_uniform(rng, self.variance).sqrt()
            };
            let bits = rng.next_bits();
            DrawnNoise { deviation, key: [bits as u32, (bits >> 32) as u32] }
        })
    }

    fn compose_onto(params: &Self::Params, onto: &mut ComposedTransform) {
        onto.noise = params.or(onto.noise);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::{Domain, SampleKey};

    #[test]
    fn the_variance_is_uniform_not_the_deviation() {
        let always = GaussianNoise { probability: 1.0, ..GaussianNoise::default() };
        let drawn = |index| {
            let key = SampleKey { seed: 1, epoch: 0, index };
            let mut rng = KeyedRng::new(key, Domain::Augment).with_stream(GaussianNoise::STREAM);
            always.draw_params(&mut rng).expect("always").deviation
        };
        let variances: Vec<f32> = (0..4000).map(|index| drawn(index).powi(2)).collect();
        assert!(variances.iter().all(|variance| (0.0..=0.100001).contains(variance)));
        let mean = variances.iter().sum::<f32>() / 4000.0;
        // 0.05 expected, standard deviation of the mean 0.00046.
        assert!((mean - 0.05).abs() < 0.002, "{mean}");
    }
}
