//! Order of the samples: an endless sequence that is a pure function of the seed. Any position is
//! computed directly, so resuming needs no iteration.

use std::sync::Arc;

use crate::actor::{Describe, Source};
use crate::base::{Domain, KeyedRng, SampleKey};
use crate::brats::CaseFiles;
use crate::pipeline::donor_order::DonorOrder;
use crate::pipeline::label_mixture::{LabelMixture, SpecialGroup};

/// Sample that is named but not yet made.
#[derive(Debug, Clone)]
pub struct PlannedSample {
    /// Key of the sample.
    pub key: SampleKey,
    /// Position of the sample in the plan.
    pub position: u64,
    /// Cohort of the sample's case.
    pub cohort: Arc<[CaseFiles]>,
    /// Index of the case in the cohort.
    pub case: usize,
    /// Index of the case whose tumour is put into it, if there is one.
    pub donor: Option<usize>,
}

impl PlannedSample {
    /// Files of the sample's case.
    pub fn case_files(&self) -> &CaseFiles {
        &self.cohort[self.case]
    }

    /// Files of the donor of a mixed sample.
    pub fn donor_files(&self) -> Option<&CaseFiles> {
        self.donor.map(|donor| &self.cohort[donor])
    }
}

impl Describe for PlannedSample {
    fn describe(&self) -> String {
        let SampleKey { epoch, index, .. } = self.key;
        format!("epoch {epoch} index {index} ({})", self.case_files().id)
    }

    fn subject(&self) -> Option<String> {
        Some(self.case_files().id.to_string())
    }
}

/// Order of samples: each epoch visits every case `patches_per_case` times, shuffled by `(seed,
/// epoch)`; or it has as many samples, in a given mixture ([`Plan::with_special_share`]).
#[derive(Debug, Clone)]
pub struct Plan {
    cohort: Arc<[CaseFiles]>,
    seed: u64,
    patches_per_case: u64,
    mix: Option<LabelMixture>,
    donors: Option<DonorOrder>,
}

/// Cases and donors of an epoch, in order.
#[derive(Debug, Clone)]
struct EpochOrder {
    cases: Vec<u32>,
    /// Donors in the order of `cases`; empty where no sample is mixed.
    donors: Vec<Option<u32>>,
}

impl Plan {
    /// Plan over `cohort`.
    ///
    /// # Panics
    /// If the cohort is empty or `patches_per_case` is 0: resolving a configuration excludes both.
    pub fn new(cohort: Arc<[CaseFiles]>, seed: u64, patches_per_case: u64) -> Self {
        assert!(!cohort.is_empty() && patches_per_case > 0, "a plan needs something to plan");
        Self { cohort, seed, patches_per_case, mix: None, donors: None }
    }

    /// Draws `share` of the samples, above 0 and below 1, from the last `special` cases.
    ///
    /// # Panics
    /// If there is no such case or no other.
    #[must_use]
    pub fn with_special_share(self, special: usize, share: f64) -> Self {
        self.with_shares(&[(special, share)])
    }

    /// Draws shares of the samples, above 0 and together below 1, from groups of so many cases, the last ones of
    /// the cohort in its order.
    ///
    /// # Panics
    /// If a group has no case, or there is no other.
    #[must_use]
    pub fn with_shares(self, groups: &[(usize, f64)]) -> Self {
        if groups.is_empty() {
            return self;
        }
        let all: usize = groups.iter().map(|(cases, _)| cases).sum();
        let ordinary = self.cohort.len().checked_sub(all).expect("some cases of all") as u64;
        let special: Vec<SpecialGroup> = groups
            .iter()
            .map(|(cases, share)| SpecialGroup { cases: *cases as u64, share: *share })
            .collect();
        let is_mix = ordinary > 0 && special.iter().all(|group| group.cases > 0);
        assert!(is_mix, "a mix of one kind is none");
        Self { mix: Some(LabelMixture { seed: self.seed, ordinary, special }), ..self }
    }

    /// Mixes `share` of the samples, 0 to 1, with donors from the first `donors` cases. A sample whose turn it would
    /// be to be mixed with itself is not mixed.
    ///
    /// # Panics
    /// If there are not as many cases.
    #[must_use]
    pub fn with_donors(self, donors: usize, share: f64) -> Self {
        assert!(donors <= self.cohort.len(), "donors are cases of the cohort");
        let order = DonorOrder { seed: self.seed, donors: donors as u64, share };
        Self { donors: (donors > 0 && share > 0.0).then_some(order), ..self }
    }

    /// Number of samples in an epoch.
    pub fn epoch_len(&self) -> u64 {
        self.cohort.len() as u64 * self.patches_per_case
    }

    /// Number of cases that samples are drawn from.
    pub fn case_count(&self) -> u64 {
        self.cohort.len() as u64
    }

    /// Position of a key in the sequence, from 0.
    pub fn position_of(&self, key: SampleKey) -> u64 {
        key.epoch * self.epoch_len() + key.index
    }

    /// Sample at a position; needs no iteration.
    pub fn sample_at(&self, position: u64) -> PlannedSample {
        let epoch = position / self.epoch_len();
        self.planned_sample(epoch, position % self.epoch_len(), &self.epoch_order(epoch))
    }

    /// Sample at `index` of an epoch with this order.
    fn planned_sample(&self, epoch: u64, index: u64, order: &EpochOrder) -> PlannedSample {
        let key = SampleKey { seed: self.seed, epoch, index };
        let case = order.cases[index as usize];
        let donor = order.donors.get(index as usize).copied().flatten();
        PlannedSample {
            key,
            position: self.position_of(key),
            cohort: Arc::clone(&self.cohort),
            case: case as usize,
            donor: donor.filter(|donor| *donor != case).map(|donor| donor as usize),
        }
    }

    /// Cases of the cohort, each once, in the order in which the samples from position `first` on
    /// need them.
    pub fn cases_from(&self, first: u64) -> Vec<CaseFiles> {
        let mut ordered: Vec<u32> = Vec::with_capacity(self.cohort.len());
        let mut seen = vec![false; self.cohort.len()];
        let epoch = first / self.epoch_len();
        let begun = (first % self.epoch_len()) as usize;
        for (epoch, skipped) in [(epoch, begun), (epoch + 1, 0)] {
            let order = self.epoch_order(epoch);
            for index in skipped as u64..self.epoch_len() {
                let sample = self.planned_sample(epoch, index, &order);
                for case in [Some(sample.case), sample.donor].into_iter().flatten() {
                    if !std::mem::replace(&mut seen[case], true) {
                        ordered.push(case as u32);
                    }
                }
            }
        }
        // Two epochs of a mixture need not visit all cases.
        ordered.extend((0..).zip(&seen).filter(|(_, seen)| !**seen).map(|(case, _)| case));
        ordered.into_iter().map(|case| self.cohort[case as usize].clone()).collect()
    }

    fn epoch_order(&self, epoch: u64) -> EpochOrder {
        let length = self.epoch_len();
        let donors = self.donors.as_ref().map(|donors| donors.of_epoch(epoch, length));
        EpochOrder { cases: self.case_order(epoch, length), donors: donors.unwrap_or_default() }
    }

    /// Case indices of an epoch, in order.
    fn case_order(&self, epoch: u64, length: u64) -> Vec<u32> {
        if let Some(mix) = &self.mix {
            return mix.epoch_order(epoch, length);
        }
        let cases = self.cohort.len() as u64;
        let mut order: Vec<u32> = (0..length).map(|place| (place % cases) as u32).collect();
        let key = SampleKey { seed: self.seed, epoch, index: 0 };
        KeyedRng::new(key, Domain::Order).shuffle(&mut order);
        order
    }
}

/// Source of a [`Plan`]'s samples from a position on; it never ends by itself.
pub struct SamplePlanner {
    plan: Plan,
    next: u64,
    epoch: u64,
    order: EpochOrder,
}

impl SamplePlanner {
    /// Source from position `first` on: 0 for a new run, the checkpoint's for a resumed one.
    pub fn starting_at(plan: Plan, first: u64) -> Self {
        let epoch = first / plan.epoch_len();
        let order = plan.epoch_order(epoch);
        Self { plan, next: first, epoch, order }
    }
}

impl Source for SamplePlanner {
    const NAME: &'static str = "plan";
    type Item = PlannedSample;

    fn next(&mut self) -> Option<PlannedSample> {
        let epoch = self.next / self.plan.epoch_len();
        let index = self.next % self.plan.epoch_len();
        if epoch != self.epoch {
            self.epoch = epoch;
            self.order = self.plan.epoch_order(epoch);
        }
        self.next += 1;
        Some(self.plan.planned_sample(epoch, index, &self.order))
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::volume::{CaseId, LabelScheme, PatientId, RunChannels};

    pub(crate) fn cohort(cases: usize) -> Arc<[CaseFiles]> {
        (0..cases)
            .map(|number| CaseFiles {
                id: CaseId::new(format!("case{number}")),
                patient: PatientId::new(format!("case{number}")),
                images: Default::default(),
                labels: None,
                mask: None,
                stack: None,
                scheme: LabelScheme::Brats2018,
                channels: RunChannels::default(),
                max_voxels: 1 << 20,
                grade: None,
            })
            .collect()
    }

    fn walk(first: u64, count: usize) -> Vec<(SampleKey, usize)> {
        let plan = Plan::new(cohort(5), 9, 2);
        let mut planner = SamplePlanner::starting_at(plan, first);
        (0..count)
            .map(|_| planner.next().expect("endless"))
            .map(|sample| (sample.key, sample.case))
            .collect()
    }

    #[test]
    fn an_epoch_visits_every_case_equally_and_epochs_differ() {
        let samples = walk(0, 20);
        for epoch in samples.chunks(10) {
            for case in 0..5 {
                assert_eq!(epoch.iter().filter(|(_, drawn)| *drawn == case).count(), 2);
            }
        }
        let cases = |range: std::ops::Range<usize>| -> Vec<usize> {
            samples[range].iter().map(|(_, case)| *case).collect()
        };
        assert_ne!(cases(0..10), cases(10..20));
    }

    #[test]
    fn cases_are_asked_for_in_the_order_of_their_first_sample() {
        for first in [0, 3, 9, 10] {
            let plan = Plan::new(cohort(5), 9, 2);
            let mut wanted: Vec<usize> = Vec::new();
            for (_, case) in walk(first, 20) {
                if !wanted.contains(&case) {
                    wanted.push(case);
                }
            }
            let ordered = plan.cases_from(first).into_iter().map(|files| files.id);
            let wanted = wanted.into_iter().map(|case| CaseId::new(format!("case{case}")));
            assert!(ordered.eq(wanted), "from {first}");
        }
    }

    #[test]
    fn starting_in_the_middle_gives_the_tail_of_the_whole() {
        let whole = walk(0, 40);
        for first in [1, 9, 10, 11, 27] {
            assert_eq!(walk(first, 40 - first as usize), whole[first as usize..]);
            let sample = Plan::new(cohort(5), 9, 2).sample_at(first);
            assert_eq!((sample.key, sample.case), whole[first as usize]);
        }
        let plan = Plan::new(cohort(5), 9, 2);
        assert_eq!(plan.position_of(whole[27].0), 27);
    }

    #[test]
    fn a_mixed_plan_can_be_entered_anywhere_and_asks_for_every_case() {
        let plan = Plan::new(cohort(7), 9, 2).with_special_share(3, 0.1);
        let mut planner = SamplePlanner::starting_at(plan.clone(), 0);
        let whole: Vec<_> = (0..60).map(|_| planner.next().expect("endless")).collect();
        for (position, sample) in whole.iter().enumerate() {
            let again = plan.sample_at(position as u64);
            assert_eq!((again.key, again.case), (sample.key, sample.case), "at {position}");
        }
        assert_eq!(plan.epoch_len(), 14, "as many as without");
        for first in [0, 13, 30] {
            let mut wanted = plan.cases_from(first);
            assert_eq!(wanted[0].id, whole[first as usize].case_files().id);
            wanted.sort_by(|a, b| a.id.cmp(&b.id));
            assert!(wanted.iter().map(|files| &files.id).eq(cohort(7).iter().map(|f| &f.id)));
        }
    }

    #[test]
    fn a_plan_with_donors_orders_the_same_cases_and_asks_for_a_donor_when_it_is_needed() {
        let plain = Plan::new(cohort(6), 9, 2);
        let plan = plain.clone().with_donors(4, 0.5);
        let mut planner = SamplePlanner::starting_at(plan.clone(), 0);
        let whole: Vec<_> = (0..48).map(|_| planner.next().expect("endless")).collect();
        for (position, sample) in whole.iter().enumerate() {
            let again = plan.sample_at(position as u64);
            assert_eq!((again.key, again.case), (sample.key, sample.case), "at {position}");
            assert_eq!(again.donor, sample.donor, "at {position}");
            assert_eq!(plain.sample_at(position as u64).case, sample.case, "at {position}");
            assert!(sample.donor.is_none_or(|donor| donor < 4 && donor != sample.case));
        }
        assert!(whole.iter().filter(|sample| sample.donor.is_some()).count() > 12);
        for first in [0, 5, 17] {
            let mut wanted: Vec<usize> = Vec::new();
            for sample in &whole[first..] {
                wanted.extend([Some(sample.case), sample.donor].into_iter().flatten());
            }
            let mut seen = std::collections::BTreeSet::new();
            wanted.retain(|case| seen.insert(*case));
            let ordered = plan.cases_from(first as u64).into_iter().map(|files| files.id);
            let wanted = wanted.into_iter().map(|case| CaseId::new(format!("case{case}")));
            assert!(ordered.eq(wanted), "from {first}");
        }
    }
}
