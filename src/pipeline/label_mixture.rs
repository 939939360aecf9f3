//! Mixture of samples from two kinds of cases in a given proportion, such as labelled and
//! pseudo-labelled ones.
//!
//! Each kind is cycled through in passes, every case once per pass in a new order; an epoch takes
//! from each cycle by its share and shuffles. Like the rest of a plan it is a function of the seed,
//! and the state before any epoch is computed without iterating.

use crate::base::{Domain, KeyedRng, SampleKey};

/// Mixture of ordinary cases at the front of a cohort and special cases at its end.
#[derive(Debug, Clone)]
pub(super) struct LabelMixture {
    pub(super) seed: u64,
    /// Number of ordinary and of special cases, both above 0.
    pub(super) groups: [u64; 2],
    /// Share of samples from special cases.
    pub(super) share: f64,
}

impl LabelMixture {
    /// Cases of an epoch of `length` samples, in order.
    pub(super) fn epoch_order(&self, epoch: u64, length: u64) -> Vec<u32> {
        let before = self.special_before(epoch, length);
        let after = self.special_before(epoch + 1, length);
        let mut is_special: Vec<bool> = (0..length).map(|place| place < after - before).collect();
        self.order_rng(epoch, 0).shuffle(&mut is_special);
        let mut walks = [
            CaseCycle::starting_at(self, 0, epoch * length - before),
            CaseCycle::starting_at(self, 1, before),
        ];
        is_special.into_iter().map(|special| walks[usize::from(special)].next_case()).collect()
    }

    /// Number of samples from special cases before an epoch.
    fn special_before(&self, epoch: u64, length: u64) -> u64 {
        ((epoch * length) as f64 * self.share).floor() as u64
    }

    fn order_rng(&self, number: u64, stream: u64) -> KeyedRng {
        let key = SampleKey { seed: self.seed, epoch: number, index: 0 };
        KeyedRng::new(key, Domain::Order).with_stream(stream)
    }
}

/// Cycle over the cases of one kind, reshuffled in each pass.
struct CaseCycle<'a> {
    mix: &'a LabelMixture,
    kind: usize,
    next: u64,
    pass: u64,
    order: Vec<u32>,
}

impl<'a> CaseCycle<'a> {
    fn starting_at(mix: &'a LabelMixture, kind: usize, next: u64) -> Self {
        let pass = next / mix.groups[kind];
        let mut walk = Self { mix, kind, next, pass, order: Vec::new() };
        walk.shuffle_pass();
        walk
    }

    fn shuffle_pass(&mut self) {
        let first = if self.kind == 0 { 0 } else { self.mix.groups[0] };
        let cases = first..first + self.mix.groups[self.kind];
        self.order = cases.map(|case| case as u32).collect();
        self.mix.order_rng(self.pass, 1 + self.kind as u64).shuffle(&mut self.order);
    }

    fn next_case(&mut self) -> u32 {
        let cases = self.mix.groups[self.kind];
        if self.next / cases != self.pass {
            self.pass = self.next / cases;
            self.shuffle_pass();
        }
        let case = self.order[(self.next % cases) as usize];
        self.next += 1;
        case
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn walked(mix: &LabelMixture, length: u64, epochs: u64) -> Vec<Vec<u32>> {
        (0..epochs).map(|epoch| mix.epoch_order(epoch, length)).collect()
    }

    #[test]
    fn each_epoch_has_the_share_and_the_run_exactly() {
        for share in [0.05, 0.2, 1.0 / 3.0, 0.9] {
            let mix = LabelMixture { seed: 3, groups: [8, 3], share };
            let epochs = walked(&mix, 11, 40);
            let special = |order: &[u32]| order.iter().filter(|case| **case >= 8).count() as f64;
            for order in &epochs {
                assert!((special(order) - 11.0 * share).abs() < 1.0, "{share}: {order:?}");
            }
            let all = special(&epochs.concat());
            assert!((all - 440.0 * share).abs() < 1.0, "{share}: {all}");
        }
    }

    #[test]
    fn within_a_kind_every_case_comes_equally_often_and_in_changing_order() {
        let mix = LabelMixture { seed: 3, groups: [5, 4], share: 0.3 };
        let all = walked(&mix, 10, 30).concat();
        let of_kind = |cases: std::ops::Range<u32>| -> Vec<u32> {
            all.iter().copied().filter(|case| cases.contains(case)).collect()
        };
        for cases in [0..5, 5..9] {
            let walk = of_kind(cases.clone());
            let passes = walk.chunks_exact(cases.len());
            for pass in passes.clone() {
                let mut sorted = pass.to_vec();
                sorted.sort_unstable();
                assert!(sorted.into_iter().eq(cases.clone()), "{pass:?}");
            }
            assert!(passes.clone().any(|pass| pass != &walk[..cases.len()]), "always the same");
        }
        let first: Vec<bool> = all[..10].iter().map(|case| *case >= 5).collect();
        let others = all.chunks_exact(10).skip(1);
        let kinds = |order: &[u32]| order.iter().map(|case| *case >= 5).collect::<Vec<bool>>();
        assert!(others.into_iter().any(|order| kinds(order) != first), "always at the same places");
    }

    #[test]
    fn another_seed_is_another_order() {
        let mix = |seed| LabelMixture { seed, groups: [5, 4], share: 0.5 };
        assert_eq!(mix(1).epoch_order(7, 9), mix(1).epoch_order(7, 9));
        assert_ne!(mix(1).epoch_order(7, 9), mix(2).epoch_order(7, 9));
    }
}
