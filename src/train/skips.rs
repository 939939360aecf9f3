//! Skipped samples, on their way from the loader's thread into the journal.
//!
//! The loader is ahead of the trainer. A skip is journalled with the step whose batch comes after
//! it, so that a journal cut back to a checkpoint neither lacks one nor has one twice.

use std::collections::VecDeque;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::actor::SkippedItem;
use crate::run_folder::{Event, SkippedEvent};
use crate::volume::CaseId;

/// Queue of skips that no completed step has passed yet, in the order of the plan. Clones share it.
#[derive(Clone, Default)]
pub struct SkipQueue(Arc<Mutex<VecDeque<SkippedEvent>>>);

impl SkipQueue {
    /// Adds a skip of a sample of `case` by a loader that started at position `first_sample`.
    pub fn add_skip(&self, first_sample: u64, case: &CaseId, skip: &SkippedItem) {
        let position = first_sample + skip.ordinal;
        let item = skip.item.clone();
        let error = skip.error.to_string();
        self.0.lock().push_back(SkippedEvent { item, case: Some(case.clone()), position, error });
    }

    /// Takes the skips before a position in the plan.
    pub fn take_before(&self, position: u64) -> Vec<Event> {
        let mut queue = self.0.lock();
        let passed = queue.partition_point(|left| left.position < position);
        queue.drain(..passed).map(Event::Skipped).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::{CaseError, Reason};

    #[test]
    fn a_skip_waits_for_the_step_that_passes_it() {
        let skips = SkipQueue::default();
        for ordinal in [1, 4, 5] {
            let error = CaseError::new(Reason::Io, "x", "is gone", "bring it back");
            let skip = SkippedItem { ordinal, item: "epoch 0 index 1".into(), error };
            skips.clone().add_skip(100, &CaseId::new("x"), &skip);
        }
        let positions = |position| -> Vec<u64> {
            let position_of = |event| match event {
                Event::Skipped(SkippedEvent { position, .. }) => position,
                other => panic!("{other:?}"),
            };
            skips.take_before(position).into_iter().map(position_of).collect()
        };
        assert!(positions(101).is_empty());
        assert_eq!(positions(105), [101, 104]);
        assert_eq!(positions(u64::MAX), [105]);
        assert!(positions(u64::MAX).is_empty());
    }
}
