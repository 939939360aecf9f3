//! Donors of mixed samples ([`MixingConfig`](crate::augment::MixingConfig)): which samples of an epoch are mixed,
//! and with which case.
//!
//! A share of an epoch's samples is mixed, at places that are shuffled anew; donors are cycled through in passes,
//! every one once per pass in a new order. Like the rest of a plan it is a function of the seed, and the state before
//! any epoch is computed without iterating.

use crate::pipeline::label_mixture::{CaseCycle, order_rng};

/// Streams of random numbers within [`Domain::Order`](crate::base::Domain::Order) that no other order has.
const PLACES: u64 = 16;
const DONORS: u64 = 17;

/// Order of the donors, which are the first cases of a cohort.
#[derive(Debug, Clone)]
pub(super) struct DonorOrder {
    pub(super) seed: u64,
    /// Number of donors, above 0.
    pub(super) donors: u64,
    /// Share of samples that are mixed.
    pub(super) share: f64,
}

impl DonorOrder {
    /// Donor of each of the `length` samples of an epoch; `None` for those that are not mixed.
    pub(super) fn of_epoch(&self, epoch: u64, length: u64) -> Vec<Option<u32>> {
        let before = self.mixed_before(epoch, length);
        let mixed = self.mixed_before(epoch + 1, length) - before;
        let mut is_mixed: Vec<bool> = (0..length).map(|place| place < mixed).collect();
        order_rng(self.seed, epoch, PLACES).shuffle(&mut is_mixed);
        let mut cycle = CaseCycle::starting_at(self.seed, 0..self.donors, DONORS, before);
        is_mixed.into_iter().map(|mixed| mixed.then(|| cycle.next_case())).collect()
    }

    /// Number of mixed samples before an epoch.
    fn mixed_before(&self, epoch: u64, length: u64) -> u64 {
        ((epoch * length) as f64 * self.share).floor() as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_epoch_has_its_share_and_donors_come_equally_often() {
        for share in [0.1, 0.5, 1.0] {
            let order = DonorOrder { seed: 7, donors: 5, share };
            let epochs: Vec<_> = (0..40).map(|epoch| order.of_epoch(epoch, 12)).collect();
            for epoch in &epochs {
                let mixed = epoch.iter().flatten().count() as f64;
                assert!((mixed - 12.0 * share).abs() < 1.0, "{epoch:?}");
            }
            let all: Vec<u32> = epochs.concat().into_iter().flatten().collect();
            for pass in all.chunks_exact(5) {
                let mut sorted = pass.to_vec();
                sorted.sort_unstable();
                assert_eq!(sorted, [0, 1, 2, 3, 4]);
            }
            assert!(all.chunks_exact(5).any(|pass| pass != &all[..5]), "always the same order");
        }
        let order = DonorOrder { seed: 7, donors: 5, share: 0.5 };
        let places =
            |epoch| order.of_epoch(epoch, 12).iter().map(Option::is_some).collect::<Vec<bool>>();
        assert!((1..9).any(|epoch| places(epoch) != places(0)), "always at the same places");
        assert_ne!(order.of_epoch(3, 12), DonorOrder { seed: 8, ..order.clone() }.of_epoch(3, 12));
    }
}
