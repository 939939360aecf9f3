//! Plan of a run's samples: which cases they are drawn from, in what shares, and which of them are mixed.

use std::sync::Arc;

use crate::brats::CaseFiles;
use crate::pipeline::Plan;
use crate::run::config::RunConfig;

/// Cases that a run trains on: those with labels of their own, then those with a teacher's, then synthetic ones.
#[derive(Debug, Clone)]
pub(super) struct TrainedCases {
    pub(super) cases: Arc<[CaseFiles]>,
    /// Number of pseudo-labelled cases.
    pub(super) annotated: usize,
    /// Number of synthetic cases, the last ones.
    pub(super) synthetic: usize,
}

impl TrainedCases {
    /// Plans the samples of `run`. Donors of mixed samples are real cases with labels of their own.
    pub(super) fn plan_samples(&self, run: &RunConfig) -> Plan {
        let Self { annotated, synthetic, .. } = *self;
        let labelled = self.cases.len() - annotated - synthetic;
        let pseudo = run.data.pseudo.as_ref().and_then(|pseudo| pseudo.share);
        let made = run.data.synthetic.as_ref().map(|synthetic| synthetic.share);
        let shares = pseudo.map(|share| (annotated, share)).into_iter();
        let shares: Vec<(usize, f64)> =
            shares.chain(made.map(|share| (synthetic, share))).collect();
        Plan::new(Arc::clone(&self.cases), run.seed, run.loader.patches_per_case)
            .with_shares(&shares)
            .with_donors(labelled, run.augment.mixing.share)
    }
}
