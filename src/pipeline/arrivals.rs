//! Cases that a background ingest is bringing into the cache; samples that need one wait here.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::{Condvar, Mutex};

use crate::base::CaseError;
use crate::telemetry::record_starved;
use crate::volume::CaseId;

/// Announced cases of a background ingest, and the failures among them. Clones share the state.
///
/// Cases that were not announced, or that the ingest has given up, are not waited for: the fetch
/// stage looks them up and builds them if need be.
#[derive(Debug, Clone, Default)]
pub struct Arrivals(Arc<ArrivalState>);

#[derive(Debug, Default)]
struct ArrivalState {
    /// Announced cases that are not in the cache: pending (`None`), or failed with the cause.
    absent: Mutex<HashMap<CaseId, Option<CaseError>>>,
    changed: Condvar,
}

impl Arrivals {
    /// Announces that `cases` will be ingested.
    pub fn announce(&self, cases: impl IntoIterator<Item = CaseId>) {
        self.0.absent.lock().extend(cases.into_iter().map(|case| (case, None)));
    }

    /// Records that a case is in the cache, or why it failed.
    pub fn record_outcome(&self, case: &CaseId, outcome: Result<(), CaseError>) {
        match outcome {
            Ok(()) => self.0.absent.lock().remove(case),
            Err(error) => self.0.absent.lock().insert(case.clone(), Some(error)),
        };
        self.0.changed.notify_all();
    }

    /// Ends the ingest: pending cases are no longer waited for, failures are kept.
    pub fn close(&self) {
        self.0.absent.lock().retain(|_, failed| failed.is_some());
        self.0.changed.notify_all();
    }

    /// Waits until a case is in the cache, or is no longer being ingested.
    ///
    /// # Errors
    /// The cause if the case could not be ingested.
    pub fn wait_for(&self, case: &CaseId) -> Result<(), CaseError> {
        let is_due = |absent: &mut HashMap<CaseId, Option<CaseError>>| {
            matches!(absent.get(case), Some(None))
        };
        let mut absent = self.0.absent.lock();
        if is_due(&mut absent) {
            record_starved(|| self.0.changed.wait_while(&mut absent, is_due));
        }
        match absent.get(case) {
            Some(Some(error)) => Err(error.clone()),
            _ => Ok(()),
        }
    }

    /// Number of announced cases that are still pending.
    pub fn pending_count(&self) -> usize {
        self.0.absent.lock().values().filter(|failed| failed.is_none()).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Reason;

    #[test]
    fn only_what_is_announced_is_waited_for_and_a_failure_is_told_to_everybody() {
        let arrivals = Arrivals::default();
        let [here, late, bad, lost] = ["here", "late", "bad", "lost"].map(CaseId::new);
        assert_eq!(arrivals.wait_for(&here), Ok(()));
        arrivals.announce([late.clone(), bad.clone(), lost.clone()]);
        let error = CaseError::new(Reason::Format, "bad", "is torn", "mend it");
        std::thread::scope(|scope| {
            let waiting = [&late, &bad, &lost].map(|case| {
                let arrivals = arrivals.clone();
                scope.spawn(move || arrivals.wait_for(case))
            });
            arrivals.record_outcome(&late, Ok(()));
            arrivals.record_outcome(&bad, Err(error.clone()));
            assert_eq!(arrivals.pending_count(), 1);
            arrivals.close();
            let seen = waiting.map(|thread| thread.join().unwrap());
            assert_eq!(seen, [Ok(()), Err(error.clone()), Ok(())]);
        });
        assert_eq!(arrivals.wait_for(&bad), Err(error));
    }
}
