//! List of the filters: their settings, and what is drawn for a sample.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::augment::filters::{
    ChannelFilters, ContrastInRange, GammaOfPatch, GaussianBlur, LowResolution,
    MultiplicativeBrightness,
};
use crate::augment::{ComposedTransform, PatchFilter, RenderedPatch, draw_uniform};
use crate::base::KeyedRng;
use crate::volume::Modality;

/// Settings of the filters, in the order in which they act; all are off unless a profile or the
/// configuration turns them on.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct FilterConfig {
    /// Gaussian blur.
    pub blur: GaussianBlur,
    /// Factor on each modality.
    pub brightness: MultiplicativeBrightness,
    /// Contrast about the patch's mean, within its range.
    pub contrast: ContrastInRange,
    /// Simulated low resolution.
    pub low_resolution: LowResolution,
    /// Gamma of the inverted patch, which keeps mean and standard deviation.
    pub inverted_gamma: GammaOfPatch,
    /// Gamma of the patch, which keeps mean and standard deviation.
    pub gamma: GammaOfPatch,
}

/// Drawn filters of one sample; what is absent was not drawn.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DrawnFilters {
    /// Standard deviations in voxels, `[z, y, x]`, of each modality that is blurred.
    pub blur: Option<[Option<[f32; 3]>; Modality::COUNT]>,
    /// Factor of each modality.
    pub brightness: Option<[f32; Modality::COUNT]>,
    /// Contrast factor of each modality.
    pub contrast: Option<[f32; Modality::COUNT]>,
    /// Factor on the voxels along an axis, of each modality whose resolution is lowered.
    pub low_resolution: Option<[Option<f32>; Modality::COUNT]>,
    /// Exponent of each modality, inverted.
    pub inverted_gamma: Option<[f32; Modality::COUNT]>,
    /// Exponent of each modality.
    pub gamma: Option<[f32; Modality::COUNT]>,
}

/// Streams of random numbers within [`Domain::Augment`](crate::base::Domain::Augment), never changed and
/// never reused: a filter that is added shifts nobody's draws.
mod stream {
    pub(super) const BLUR: u64 = 9;
    pub(super) const BRIGHTNESS: u64 = 10;
    pub(super) const CONTRAST: u64 = 11;
    pub(super) const LOW_RESOLUTION: u64 = 12;
    pub(super) const INVERTED_GAMMA: u64 = 13;
    pub(super) const GAMMA: u64 = 14;
}

impl FilterConfig {
    /// Filters of nnU-Net's training: `nnUNetTrainer.get_training_transforms` of nnU-Net 2.6.
    pub fn nnunet_filters() -> Self {
        let mut filters = Self::default();
        filters.blur.probability = 0.2;
        filters.brightness.probability = 0.15;
        filters.contrast.probability = 0.15;
        filters.low_resolution.probability = 0.25;
        filters.inverted_gamma.probability = 0.1;
        filters.gamma.probability = 0.3;
        filters
    }

    /// True if no filter is ever drawn.
    pub fn is_off(&self) -> bool {
        let Self { blur, brightness, contrast, low_resolution, inverted_gamma, gamma } = self;
        let colour = brightness.probability + contrast.probability;
        let curves = inverted_gamma.probability + gamma.probability;
        blur.probability + low_resolution.probability + colour + curves == 0.0
    }

    /// Draws the filters of one sample, each from its own stream.
    fn draw_filters(&self, rng: &KeyedRng) -> DrawnFilters {
        let of = |stream| rng.clone().with_stream(stream);
        DrawnFilters {
            blur: self.blur.draw_deviations(&mut of(stream::BLUR)),
            brightness: self.brightness.draw_factors(&mut of(stream::BRIGHTNESS)),
            contrast: self.contrast.draw_factors(&mut of(stream::CONTRAST)),
            low_resolution: self.low_resolution.draw_factors(&mut of(stream::LOW_RESOLUTION)),
            inverted_gamma: self.inverted_gamma.draw_exponents(&mut of(stream::INVERTED_GAMMA)),
            gamma: self.gamma.draw_exponents(&mut of(stream::GAMMA)),
        }
    }
}

impl DrawnFilters {
    /// True if nothing was drawn.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Filters of one modality.
    pub fn channel_filters(&self, modality: Modality) -> ChannelFilters {
        let place = modality.index();
        let of = |drawn: &Option<[f32; Modality::COUNT]>| drawn.map(|values| values[place]);
        ChannelFilters {
            blur: self.blur.and_then(|values| values[place]),
            contrast: of(&self.contrast),
            resolution: self.low_resolution.and_then(|values| values[place]),
            inverted_gamma: of(&self.inverted_gamma),
            gamma: of(&self.gamma),
        }
    }

    /// Appends the brightness, which a voxel alone determines, to the composition.
    pub(in crate::augment) fn compose_onto(&self, onto: &mut ComposedTransform) {
        let Some(factors) = self.brightness else { return };
        for (curve, factor) in onto.curves.iter_mut().zip(factors) {
            curve.brightness *= f64::from(factor);
        }
    }
}

impl PatchFilter for FilterConfig {
    const NAME: &'static str = "nnunet";
    type Params = DrawnFilters;

    fn draw_params(&self, rng: &mut KeyedRng) -> Option<DrawnFilters> {
        let drawn = self.draw_filters(rng);
        (!drawn.is_empty()).then_some(drawn)
    }

    fn filter_patch(drawn: &DrawnFilters, patch: &mut RenderedPatch<'_>) {
        let dims = patch.dims;
        let channels = patch.images.chunks_exact_mut(dims.voxel_count());
        for (modality, values) in Modality::ALL.into_iter().zip(channels) {
            if !patch.dropped.contains(&modality) {
                let filters = drawn.channel_filters(modality);
                patch.buffers.apply_filters(&filters, values, dims, patch.keeps_background);
            }
        }
    }
}

/// Draws whether a sample is filtered, and then each modality's factor, below 1 as often as above.
pub(super) fn draw_each_around_one(
    rng: &mut KeyedRng,
    probability: f64,
    range: [f64; 2],
) -> Option<[f32; Modality::COUNT]> {
    let drawn = rng.draw_bool(probability);
    drawn.then(|| std::array::from_fn(|_| draw_around_one(rng, range)))
}

/// Draws a factor below 1 as often as above, as far as the range reaches there (batchgeneratorsv2,
/// `BGContrast`).
fn draw_around_one(rng: &mut KeyedRng, [low, high]: [f64; 2]) -> f32 {
    let is_below = rng.draw_bool(0.5) && low < 1.0;
    draw_uniform(rng, if is_below { [low, high.min(1.0)] } else { [low.max(1.0), high.max(1.0)] })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::{Domain, SampleKey};

    fn drawn(config: &FilterConfig, index: u64) -> DrawnFilters {
        let key = SampleKey { seed: 20181, epoch: 3, index };
        config.draw_filters(&KeyedRng::new(key, Domain::Augment))
    }

    #[test]
    fn filters_are_off_unless_asked_for_and_draw_nothing_then() {
        assert!(FilterConfig::default().is_off());
        assert!(!FilterConfig::nnunet_filters().is_off());
        for index in 0..100 {
            assert!(drawn(&FilterConfig::default(), index).is_empty());
        }
    }

    #[test]
    fn shares_and_ranges_are_nnunets() {
        const SAMPLES: u64 = 4000;
        let config = FilterConfig::nnunet_filters();
        let all: Vec<DrawnFilters> = (0..SAMPLES).map(|index| drawn(&config, index)).collect();
        let share = |has: &dyn Fn(&DrawnFilters) -> bool| {
            all.iter().filter(|filters| has(filters)).count() as f64 / SAMPLES as f64
        };
        // Five standard deviations of the largest share are 0.04.
        let close = |found: f64, expected: f64| (found - expected).abs() < 0.04;
        assert!(close(share(&|filters| filters.blur.is_some()), 0.2));
        assert!(close(share(&|filters| filters.brightness.is_some()), 0.15));
        assert!(close(share(&|filters| filters.contrast.is_some()), 0.15));
        assert!(close(share(&|filters| filters.low_resolution.is_some()), 0.25));
        assert!(close(share(&|filters| filters.inverted_gamma.is_some()), 0.1));
        assert!(close(share(&|filters| filters.gamma.is_some()), 0.3));
        let factors: Vec<f32> =
            all.iter().filter_map(|filters| filters.contrast).flatten().collect();
        assert!(factors.iter().all(|factor| (0.75..=1.25).contains(factor)));
        let below = factors.iter().filter(|factor| **factor < 1.0).count();
        assert!(close(below as f64 / factors.len() as f64, 0.5), "{below} of {}", factors.len());
        let gammas: Vec<f32> = all.iter().filter_map(|filters| filters.gamma).flatten().collect();
        // Evenly drawn from the whole range, 0.375 would be below 1.
        let below = gammas.iter().filter(|exponent| **exponent < 1.0).count();
        assert!(close(below as f64 / gammas.len() as f64, 0.5), "{below} of {}", gammas.len());
        let blurred = all.iter().filter_map(|filters| filters.blur).flatten();
        let (some, none): (Vec<_>, Vec<_>) = blurred.partition(Option::is_some);
        assert!(close(some.len() as f64 / (some.len() + none.len()) as f64, 0.5));
        assert!(some.iter().flatten().flatten().all(|sigma| (0.5..=1.0).contains(sigma)));
    }

    #[test]
    fn drawn_filters_survive_text_to_the_last_bit_and_stay_what_they_are() {
        let mut always = FilterConfig::nnunet_filters();
        always.blur.probability = 1.0;
        always.low_resolution.probability = 1.0;
        let filters = drawn(&always, 5);
        let text = serde_json::to_string(&filters).unwrap();
        assert_eq!(serde_json::from_str::<DrawnFilters>(&text).unwrap(), filters);
        let without = FilterConfig { blur: GaussianBlur::default(), ..always };
        assert_eq!(DrawnFilters { blur: filters.blur, ..drawn(&without, 5) }, filters);
    }
}
