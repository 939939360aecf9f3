//! Account of a topology's skips against their budget.
//!
//! Several items may be about one thing, as the samples of an epoch are about cases: a bad one comes
//! up again and again, and is still one.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::actor::SkipBudget;
use crate::base::{CaseError, Fault};

/// Skips in the source's order before the first item of a topology.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EarlierSkips {
    /// Number of items before.
    pub seen: u64,
    /// Number of them that were skipped.
    pub skipped: u64,
    /// Subjects of the skipped ones.
    pub subjects: BTreeSet<Arc<str>>,
}

/// Number of subjects among `total` that may be bad under `budget`. One must be left, or a source
/// that never ends would be skipped for ever.
pub fn allowed_subjects(budget: SkipBudget, total: u64) -> u64 {
    budget.allowed_skips(total).min(total.saturating_sub(1))
}

/// Skips of a topology and before it.
#[derive(Debug)]
pub(super) struct SkipAccount {
    budget: SkipBudget,
    earlier: EarlierSkips,
    /// Number of different subjects; absent if each item is its own.
    subjects: Option<u64>,
}

impl SkipAccount {
    pub(super) fn within(budget: SkipBudget) -> Self {
        Self { budget, earlier: EarlierSkips::default(), subjects: None }
    }

    /// Account of items about `subjects` subjects, after `earlier` ones.
    pub(super) fn about_subjects(self, subjects: u64, earlier: EarlierSkips) -> Self {
        Self { subjects: Some(subjects), earlier, ..self }
    }

    /// Adds a skip, the `skipped`th among the first `seen` items of the topology.
    ///
    /// # Errors
    /// The items are over the budget, and so are the subjects, where several are about one.
    pub(super) fn add_skip(
        &mut self,
        (seen, skipped): (u64, u64),
        subject: Option<Arc<str>>,
        error: &CaseError,
    ) -> Result<(), Fault> {
        let earlier = &mut self.earlier;
        earlier.subjects.extend(subject);
        let issued = earlier.seen + seen;
        let skipped = earlier.skipped + skipped;
        let budget = self.budget.allowed_skips(issued);
        let bad = earlier.subjects.len() as u64;
        let has_few = |total| bad <= allowed_subjects(self.budget, total);
        if skipped <= budget || self.subjects.is_some_and(has_few) {
            return Ok(());
        }
        Err(Fault::TooManySkipped { skipped, issued, budget, last: error.clone() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Reason;

    const BUDGET: SkipBudget = SkipBudget { share: 0.1, at_least: 3 };

    #[test]
    fn a_share_of_the_subjects_may_be_bad_but_at_least_a_number_and_never_all() {
        let allowed = [1, 2, 4, 5, 30, 100].map(|total| allowed_subjects(BUDGET, total));
        assert_eq!(allowed, [0, 1, 3, 3, 3, 10]);
    }

    #[test]
    fn a_subject_counts_once_and_those_before_the_topology_count_too() {
        let error = CaseError::new(Reason::Io, "x", "is gone", "bring it back");
        let earlier =
            EarlierSkips { seen: 10, skipped: 2, subjects: ["a", "b"].map(Arc::from).into() };
        let mut account = SkipAccount::within(BUDGET).about_subjects(6, earlier);
        for (number, subject) in (1..).zip(["b", "c", "c", "a"]) {
            assert_eq!(account.add_skip((number, number), Some(subject.into()), &error), Ok(()));
        }
        let fault = account.add_skip((5, 5), Some("d".into()), &error).unwrap_err();
        assert_eq!(fault, Fault::TooManySkipped { skipped: 7, issued: 15, budget: 3, last: error });
    }
}
