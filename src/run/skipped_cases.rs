//! Cases whose samples a run skips: counted, journalled and quarantined, and named with the way out
//! where they are more than the run allows.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::actor::{EarlierSkips, SkipBudget, SkippedItem, allowed_subjects};
use crate::base::Fault;
use crate::pipeline::Plan;
use crate::pipeline::collate::OnSkip;
use crate::run::Failure;
use crate::run::config::case_table::list_names;
use crate::run::context::RunContext;
use crate::run_folder::{DatasetLock, SkippedEvent};
use crate::telemetry::catalog;
use crate::train::SkipQueue;
use crate::volume::Split;

/// Cases of which a run has skipped samples. Clones share them.
#[derive(Clone)]
pub(super) struct SkippedCases(Arc<Mutex<BTreeSet<Arc<str>>>>);

impl SkippedCases {
    /// Takes over the cases of an earlier process of the run.
    pub(super) fn of_context(context: &RunContext<'_>) -> Self {
        Self(Arc::new(Mutex::new(context.earlier_skips.subjects.clone())))
    }

    /// Returns the callback that counts and journals a skipped sample, and quarantines its case.
    pub(super) fn recorder(
        &self,
        context: &RunContext<'_>,
        skips: SkipQueue,
        plan: Plan,
        first_sample: u64,
    ) -> OnSkip {
        let memory = context.bad_cases.clone();
        let names = Arc::clone(&self.0);
        Box::new(move |skip: &SkippedItem| {
            catalog::skipped_samples(Split::Train.name(), skip.error.reason).increment(1);
            let planned = plan.sample_at(first_sample + skip.ordinal);
            let case = &planned.case_files().id;
            skips.add_skip(first_sample, case, skip);
            names.lock().insert(case.as_str().into());
            memory.record_bad_case(case, &skip.error);
        })
    }

    /// Adds the way out to the fault of too many skips.
    pub(super) fn explain(&self, failure: Failure, context: &RunContext<'_>) -> Failure {
        let Failure::Run(fault @ Fault::TooManySkipped { .. }) = failure else { return failure };
        let names: Vec<Arc<str>> = self.0.lock().iter().cloned().collect();
        let bad = names.len() as u64;
        let total = context.cohort.train.len() as u64;
        let share = context.config.run.loader.skip_share;
        let allowed = allowed_subjects(SkipBudget { share, ..SkipBudget::OF_TRAINING }, total);
        let resume = format!("`gliaflow train --resume {}`", context.run_path().display());
        let mut advice = format!(
            "bad are {bad} of {total} cases to train on ({}), and {allowed} may be; mend or replace \
             their files, then {resume} goes on",
            list_names(&names)
        );
        if let Some(share) = share_that_allows(bad, total) {
            advice.push_str(&format!(", or add --set loader.skip_share={share} to it, or more: what comes may be bad as well"));
        }
        Failure::TooManySkipped { fault: Box::new(fault), advice }
    }
}

/// Least `loader.skip_share`, in hundredths, under which `bad` of `total` cases may be bad.
pub(super) fn share_that_allows(bad: u64, total: u64) -> Option<f64> {
    let shares = (1..100).map(|hundredths| f64::from(hundredths) / 100.0);
    let allows =
        |share: &f64| allowed_subjects(SkipBudget { share: *share, at_least: 0 }, total) >= bad;
    shares.into_iter().find(allows)
}

/// Skips that `told`, the journal of a run, has before position `next_sample` of the plan. Those of
/// cases whose files were replaced since do not count.
pub(super) fn earlier_skips(
    told: &[SkippedEvent],
    lock: &DatasetLock,
    next_sample: u64,
) -> EarlierSkips {
    let counts = |skip: &&SkippedEvent| {
        let case = skip.case.as_ref();
        skip.position < next_sample
            && !case.is_some_and(|case| lock.was_replaced_after(case, skip.position))
    };
    let skips: Vec<&SkippedEvent> = told.iter().filter(counts).collect();
    let cases = skips.iter().filter_map(|skip| skip.case.as_ref());
    EarlierSkips {
        seen: next_sample,
        skipped: skips.len() as u64,
        subjects: cases.map(|case| case.as_str().into()).collect(),
    }
}

/// Advice for held-out cases, which are looked at before there is a run.
pub(super) fn advice_before_run(bad: u64, looked_at: u64, folder: &Path) -> String {
    let mend = format!("mend or replace their files in {}", folder.display());
    match share_that_allows(bad, looked_at) {
        Some(share) => format!("{mend}, or allow more with --set loader.skip_share={share}"),
        None => mend,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_share_that_is_advised_allows_what_was_bad_and_none_allows_all() {
        assert_eq!(share_that_allows(4, 6), Some(0.67));
        assert_eq!(share_that_allows(4, 5), Some(0.8));
        assert_eq!(share_that_allows(11, 1000), Some(0.02));
        assert_eq!(share_that_allows(4, 4), None);
    }
}
