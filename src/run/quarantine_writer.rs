//! Writer of the cases that turn out to be bad during a run into the quarantine.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::base::{CaseError, Fingerprint};
use crate::cache::CaseStore;
use crate::run::Failure;
use crate::run::dataset_scan::quarantined_cases;
use crate::run::prepare::quarantine_case;
use crate::run_folder::DatasetLock;
use crate::volume::CaseId;

/// Writer of bad cases into the quarantine, each once. Clones share their state.
#[derive(Clone)]
pub(super) struct QuarantineWriter {
    store: Option<Arc<CaseStore>>,
    /// Fingerprints of the run's cases, until they are found bad.
    unknown: Arc<Mutex<BTreeMap<CaseId, Fingerprint>>>,
}

impl QuarantineWriter {
    /// Creates a writer for the cases of `lock`; those that are quarantined already are not again.
    pub(super) fn for_lock(
        lock: &DatasetLock,
        store: Option<&Arc<CaseStore>>,
    ) -> Result<Self, Failure> {
        let known = quarantined_cases(store)?;
        let unknown = lock.cases.iter().filter(|case| {
            let print = Some(case.fingerprint);
            !known.iter().any(|entry| entry.case == case.id && entry.fingerprint == print)
        });
        let unknown = unknown.map(|case| (case.id.clone(), case.fingerprint)).collect();
        Ok(Self { store: store.cloned(), unknown: Arc::new(Mutex::new(unknown)) })
    }

    pub(super) fn record_bad_case(&self, case: &CaseId, error: &CaseError) {
        let Some(store) = &self.store else { return };
        let mut unknown = self.unknown.lock();
        let Some(fingerprint) = unknown.remove(case) else { return };
        if let Err(fault) = quarantine_case(store, case, Some(fingerprint), error) {
            tracing::error!("the quarantine does not take {case}: {fault}");
        }
    }
}
