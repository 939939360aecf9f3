//! Cases on their way into the cache: who needs one before it is there waits for it here.

use std::collections::HashMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use crate::base::error::CaseError;
use crate::telemetry::meter::starving;
use crate::volume::case::CaseId;

/// What is known of the cases that were announced. Clones know the same.
///
/// A case that nobody announced, or that nobody will bring any more, is not waited for: whoever needs
/// it looks for it and, if need be, builds it.
#[derive(Debug, Clone, Default)]
pub struct Arrivals(Arc<Board>);

#[derive(Debug, Default)]
struct Board {
    /// Announced cases that are not in the cache: not yet, or, with the cause, not at all.
    absent: Mutex<HashMap<CaseId, Option<CaseError>>>,
    changed: Condvar,
}

impl Arrivals {
    /// Says that `cases` will come.
    pub fn announce(&self, cases: impl IntoIterator<Item = CaseId>) {
        self.absent().extend(cases.into_iter().map(|case| (case, None)));
    }

    /// Says that a case is in the cache, or why it never will be.
    pub fn settle(&self, case: &CaseId, outcome: Result<(), CaseError>) {
        match outcome {
            Ok(()) => self.absent().remove(case),
            Err(error) => self.absent().insert(case.clone(), Some(error)),
        };
        self.0.changed.notify_all();
    }

    /// Says that no more will come; what failed is still known.
    pub fn close(&self) {
        self.absent().retain(|_, failed| failed.is_some());
        self.0.changed.notify_all();
    }

    /// Waits until a case is there, or nobody brings it any more.
    ///
    /// # Errors
    /// Why it could not be brought.
    pub fn wait(&self, case: &CaseId) -> Result<(), CaseError> {
        let is_due = |absent: &mut HashMap<CaseId, Option<CaseError>>| {
            matches!(absent.get(case), Some(None))
        };
        let mut absent = self.absent();
        if is_due(&mut absent) {
            absent = starving(|| {
                self.0.changed.wait_while(absent, is_due).unwrap_or_else(PoisonError::into_inner)
            });
        }
        match absent.get(case) {
            Some(Some(error)) => Err(error.clone()),
            _ => Ok(()),
        }
    }

    /// Cases that are still to come.
    pub fn due(&self) -> usize {
        self.absent().values().filter(|failed| failed.is_none()).count()
    }

    fn absent(&self) -> MutexGuard<'_, HashMap<CaseId, Option<CaseError>>> {
        self.0.absent.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::error::Reason;

    #[test]
    fn only_what_is_announced_is_waited_for_and_a_failure_is_told_to_everybody() {
        let arrivals = Arrivals::default();
        let [here, late, bad, lost] = ["here", "late", "bad", "lost"].map(CaseId::new);
        assert_eq!(arrivals.wait(&here), Ok(()));
        arrivals.announce([late.clone(), bad.clone(), lost.clone()]);
        let error = CaseError::new(Reason::Format, "bad", "is torn", "mend it");
        std::thread::scope(|scope| {
            let waiting = [&late, &bad, &lost].map(|case| {
                let arrivals = arrivals.clone();
                scope.spawn(move || arrivals.wait(case))
            });
            arrivals.settle(&late, Ok(()));
            arrivals.settle(&bad, Err(error.clone()));
            assert_eq!(arrivals.due(), 1);
            arrivals.close();
            let seen = waiting.map(|thread| thread.join().unwrap());
            assert_eq!(seen, [Ok(()), Err(error.clone()), Ok(())]);
        });
        assert_eq!(arrivals.wait(&bad), Err(error));
    }
}
