//! Mixture of samples from several kinds of cases in given proportions, such as labelled, pseudo-labelled and
//! synthetic ones.
//!
//! Each kind is cycled through in passes, every case once per pass in a new order; an epoch takes
//! from each cycle by its share and shuffles. Like the rest of a plan it is a function of the seed,
//! and the state before any epoch is computed without iterating.

use std::ops::Range;

use crate::base::{Domain, KeyedRng, SampleKey};

/// Mixture of ordinary cases at the front of a cohort and groups of special cases behind them.
#[derive(Debug, Clone)]
pub(super) struct LabelMixture {
    pub(super) seed: u64,
    /// Number of ordinary cases, above 0.
    pub(super) ordinary: u64,
    /// Groups of special cases, in the cohort's order.
    pub(super) special: Vec<SpecialGroup>,
}

/// Group of cases with a share of the samples.
#[derive(Debug, Clone, Copy)]
pub(super) struct SpecialGroup {
    /// Number of cases, above 0.
    pub(super) cases: u64,
    /// Share of samples.
    pub(super) share: f64,
}

impl LabelMixture {
    /// Cases of an epoch of `length` samples, in order.
    pub(super) fn epoch_order(&self, epoch: u64, length: u64) -> Vec<u32> {
        // Kind 0 is that of ordinary cases, which take the places that are left.
        let mut kinds: Vec<usize> = Vec::with_capacity(length as usize);
        let mut walks = Vec::with_capacity(1 + self.special.len());
        let mut first = self.ordinary;
        let mut special_before = 0;
        for (number, group) in self.special.iter().enumerate() {
            let [before, after] =
                [epoch, epoch + 1].map(|epoch| group.samples_before(epoch, length));
            kinds.resize(kinds.len() + (after - before) as usize, 1 + number);
            let cases = first..first + group.cases;
            first = cases.end;
            special_before += before;
            walks.push(CaseCycle::starting_at(self.seed, cases, 2 + number as u64, before));
        }
        kinds.resize(length as usize, 0);
        let ordinary_before = epoch * length - special_before;
        walks.insert(0, CaseCycle::starting_at(self.seed, 0..self.ordinary, 1, ordinary_before));
        order_rng(self.seed, epoch, 0).shuffle(&mut kinds);
        kinds.into_iter().map(|kind| walks[kind].next_case()).collect()
    }
}

impl SpecialGroup {
    /// Number of samples from the group before an epoch.
    fn samples_before(self, epoch: u64, length: u64) -> u64 {
        ((epoch * length) as f64 * self.share).floor() as u64
    }
}

/// Generator of an order: that of an epoch or of a pass, by its number.
pub(super) fn order_rng(seed: u64, number: u64, stream: u64) -> KeyedRng {
    let key = SampleKey { seed, epoch: number, index: 0 };
    KeyedRng::new(key, Domain::Order).with_stream(stream)
}

/// Endless cycle over a range of cases, reshuffled in each pass.
pub(super) struct CaseCycle {
    seed: u64,
    cases: Range<u64>,
    /// Stream of random numbers of this cycle alone.
    stream: u64,
    next: u64,
    pass: u64,
    order: Vec<u32>,
}

impl CaseCycle {
    /// Cycle that goes on behind its first `next` cases.
    pub(super) fn starting_at(seed: u64, cases: Range<u64>, stream: u64, next: u64) -> Self {
        let pass = next / (cases.end - cases.start);
        let mut walk = Self { seed, cases, stream, next, pass, order: Vec::new() };
        walk.shuffle_pass();
        walk
    }

    fn shuffle_pass(&mut self) {
        self.order = self.cases.clone().map(|case| case as u32).collect();
        order_rng(self.seed, self.pass, self.stream).shuffle(&mut self.order);
    }

    /// Next case of the cycle.
    pub(super) fn next_case(&mut self) -> u32 {
        let cases = self.order.len() as u64;
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

    fn mixture(seed: u64, [ordinary, cases]: [u64; 2], share: f64) -> LabelMixture {
        LabelMixture { seed, ordinary, special: vec![SpecialGroup { cases, share }] }
    }

    fn walked(mix: &LabelMixture, length: u64, epochs: u64) -> Vec<Vec<u32>> {
        (0..epochs).map(|epoch| mix.epoch_order(epoch, length)).collect()
    }

    #[test]
    fn each_epoch_has_the_share_and_the_run_exactly() {
        for share in [0.05, 0.2, 1.0 / 3.0, 0.9] {
            let mix = mixture(3, [8, 3], share);
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
        let mix = mixture(3, [5, 4], 0.3);
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
        let mix = |seed| mixture(seed, [5, 4], 0.5);
        assert_eq!(mix(1).epoch_order(7, 9), mix(1).epoch_order(7, 9));
        assert_ne!(mix(1).epoch_order(7, 9), mix(2).epoch_order(7, 9));
    }

    #[test]
    fn several_groups_have_each_its_share_and_the_first_one_is_drawn_as_it_is_alone() {
        let alone = mixture(3, [6, 3], 0.25);
        let special = [(3, 0.25), (2, 0.1)].map(|(cases, share)| SpecialGroup { cases, share });
        let both = LabelMixture { special: special.to_vec(), ..alone.clone() };
        let [one, all] = [&alone, &both].map(|mix| walked(mix, 12, 30).concat());
        let of = |order: &[u32], cases: std::ops::Range<u32>| -> Vec<u32> {
            order.iter().copied().filter(|case| cases.contains(case)).collect()
        };
        assert_eq!(of(&one, 6..9), of(&all, 6..9));
        assert_eq!(of(&all, 6..9).len(), 90);
        assert_eq!(of(&all, 9..11).len(), 36);
        assert_eq!(of(&all, 0..6).len(), 360 - 126);
    }
}
