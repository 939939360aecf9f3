//! Modalities left out of a sample at random, so that a network learns to do without one.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use smart_default::SmartDefault;

use crate::base::KeyedRng;
use crate::volume::{Modality, ModalitySet};

/// Settings of the modalities that are left out.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema, SmartDefault)]
#[serde(deny_unknown_fields, default)]
pub struct ModalityDropout {
    /// Share of samples in which a modality is left out, 0 to 1; each draws on its own, and one at
    /// least is left.
    #[schemars(range(min = 0, max = 1))]
    pub probability: f64,
    /// Modalities of the run.
    #[serde(skip)]
    pub modalities: ModalitySet,
}

impl ModalityDropout {
    /// Stream of random numbers within [`Domain::Augment`](crate::base::Domain::Augment).
    pub(super) const STREAM: u64 = 8;

    /// True if no modality is ever left out.
    pub fn is_off(&self) -> bool {
        self.probability == 0.0
    }

    /// Draws the modalities to leave out of one sample.
    pub(super) fn draw_dropped(&self, rng: &mut KeyedRng) -> Vec<Modality> {
        if self.is_off() {
            return Vec::new();
        }
        let all = self.modalities.iter();
        let mut dropped: Vec<Modality> = all.filter(|_| rng.draw_bool(self.probability)).collect();
        if dropped.len() == self.modalities.len() {
            dropped.remove(rng.uniform_below(dropped.len() as u64) as usize);
        }
        dropped
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::{Domain, SampleKey};

    fn drawn(probability: f64, names: &[&str], index: u64) -> Vec<Modality> {
        let modalities = ModalitySet::of_names(names.iter().copied()).unwrap();
        let key = SampleKey { seed: 7, epoch: 1, index };
        let mut rng = KeyedRng::new(key, Domain::Augment).with_stream(ModalityDropout::STREAM);
        ModalityDropout { probability, modalities }.draw_dropped(&mut rng)
    }

    #[test]
    fn each_modality_is_left_out_as_often_as_asked_and_never_all() {
        let names = ["t1", "t1ce", "t2", "flair"];
        let mut counts = [0; 4];
        for index in 0..4000 {
            let dropped = drawn(0.25, &names, index);
            assert!(dropped.len() < 4);
            assert_eq!(dropped, drawn(0.25, &names, index));
            dropped.iter().for_each(|modality| counts[modality.index()] += 1);
        }
        // 1000 less a few of the one left of all, standard deviation 27.
        assert!(counts.iter().all(|count| (850..1110).contains(count)), "{counts:?}");
        assert!((0..100).all(|index| drawn(1.0, &["t1ce", "flair"], index).len() == 1));
        assert!((0..100).all(|index| drawn(1.0, &["t2"], index).is_empty()));
        assert!((0..100).all(|index| drawn(0.0, &names, index).is_empty()));
    }
}
