//! Case files in object storage: one ingest for many machines.
//!
//! A case file is never written again, so its object is named by what it holds, and whoever finds the name
//! need not ask further. Annotations, the quarantine and `places.jsonl` stay where they are.

mod listings;
mod object_name;
mod pull;
mod push;

use std::collections::VecDeque;
use std::thread;

use parking_lot::Mutex;
use serde::Serialize;

use crate::base::CaseError;
use crate::cache::CacheError;

/// Files that are under way at once: more than a connection's round trips take, and few enough that as many
/// case files in memory are no matter.
const AT_ONCE: usize = 4;

/// Result of copying case files to or from object storage.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct TransferReport {
    /// Case files that were copied.
    pub copied: usize,
    /// Bytes of them.
    pub bytes: u64,
    /// Case files that were there already.
    pub present: usize,
    /// Case files that are damaged and were not copied.
    pub damaged: Vec<CaseError>,
}

/// End of the work on one file.
enum Transferred {
    Copied(u64),
    Present,
    Damaged(CaseError),
}

/// Does `transfer` for every item on a few threads and adds up what became of them; `progress` gets the number
/// of those that are done. After the first error no further item is begun.
fn transfer_all<T: Send>(
    items: Vec<T>,
    transfer: impl Fn(T) -> Result<Transferred, CacheError> + Sync,
    progress: impl FnMut(usize) + Send,
) -> Result<TransferReport, CacheError> {
    struct State<T, P> {
        waiting: VecDeque<T>,
        report: TransferReport,
        failed: Option<CacheError>,
        done: usize,
        progress: P,
    }
    let state = Mutex::new(State {
        waiting: items.into(),
        report: TransferReport::default(),
        failed: None,
        done: 0,
        progress,
    });
    let next_item = || {
        let mut state = state.lock();
        if state.failed.is_some() { None } else { state.waiting.pop_front() }
    };
    let work = || {
        while let Some(item) = next_item() {
            let outcome = transfer(item);
            let mut state = state.lock();
            match outcome {
                Ok(Transferred::Copied(bytes)) => {
                    state.report.copied += 1;
                    state.report.bytes += bytes;
                }
                Ok(Transferred::Present) => state.report.present += 1,
                Ok(Transferred::Damaged(error)) => state.report.damaged.push(error),
                Err(error) => _ = state.failed.get_or_insert(error),
            }
            state.done += 1;
            let done = state.done;
            (state.progress)(done);
        }
    };
    thread::scope(|scope| {
        (1..AT_ONCE).for_each(|_| _ = scope.spawn(work));
        work();
    });
    let State { mut report, failed, .. } = state.into_inner();
    report.damaged.sort_by(|one, other| one.subject.cmp(&other.subject));
    failed.map_or(Ok(report), Err)
}
