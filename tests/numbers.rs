//! The smallest topology that has everything: numbers are named, worked on, and put into batches.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::panic::resume_unwind;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, OnceLock};
use std::thread;

use gliaflow::internals::actor::{
    Describe, Limits, Observer, Outcome, Sink, SkippedItem, Source, Stage,
};
use gliaflow::internals::base::{CaseError, Reason};
use tokio::runtime::{Builder, Handle};

/// An item.
pub(crate) struct Number(pub(crate) u64);

impl Describe for Number {
    fn describe(&self) -> String {
        format!("number {}", self.0)
    }
}

/// Names 0, 1, 2, … below `end`, and counts how often it was asked, independently of any ledger.
pub(crate) struct Count {
    next: u64,
    end: u64,
    asked: Arc<AtomicU64>,
}

impl Count {
    pub(crate) fn to(end: u64) -> Self {
        Self { next: 0, end, asked: Arc::default() }
    }

    pub(crate) fn asked(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.asked)
    }
}

impl Source for Count {
    const NAME: &'static str = "count";
    type Item = Number;

    fn next(&mut self) -> Option<Number> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        let number = self.next;
        self.next += 1;
        (number < self.end).then_some(Number(number))
    }
}

/// Takes the number out, so that the stages behind it take and make numbers.
pub(crate) struct Open;

impl Stage for Open {
    const NAME: &'static str = "open";
    type In = Number;
    type Out = u64;

    fn process(&mut self, item: Number) -> Result<u64, CaseError> {
        Ok(item.0)
    }
}

/// Whatever a test wants done to a number.
pub(crate) struct Apply<F>(pub(crate) F);

impl<F: FnMut(u64) -> Result<u64, CaseError> + 'static> Stage for Apply<F> {
    const NAME: &'static str = "apply";
    type In = u64;
    type Out = u64;

    fn process(&mut self, item: u64) -> Result<u64, CaseError> {
        (self.0)(item)
    }
}

/// Outcomes that were not ready, in the order of their arrival at the sink.
pub(crate) type Skips = Arc<Mutex<Vec<SkippedItem>>>;

/// Batches of `size` numbers, in order; the last may be smaller.
pub(crate) struct Batches {
    size: usize,
    batch: Vec<u64>,
    skips: Skips,
}

impl Batches {
    pub(crate) fn of(size: usize) -> Self {
        Self { size, batch: Vec::new(), skips: Skips::default() }
    }

    pub(crate) fn skips(&self) -> Skips {
        Arc::clone(&self.skips)
    }
}

impl Sink for Batches {
    const NAME: &'static str = "batches";
    type In = u64;
    type Out = Vec<u64>;

    fn accept_outcome(&mut self, outcome: Outcome<u64>) -> Option<Vec<u64>> {
        match outcome {
            Ok(number) => self.batch.push(number),
            Err(skip) => self.skips.lock().unwrap().push(skip),
        }
        (self.batch.len() == self.size).then(|| std::mem::take(&mut self.batch))
    }

    fn finish(&mut self) -> Option<Vec<u64>> {
        let rest = std::mem::take(&mut self.batch);
        (!rest.is_empty()).then_some(rest)
    }
}

/// Limits that no test runs into by accident.
pub(crate) fn limits(tickets: usize) -> Limits {
    Limits::new(tickets)
}

/// A runtime on a thread of its own, as in the binary.
pub(crate) fn runtime() -> Handle {
    static RUNTIME: OnceLock<Handle> = OnceLock::new();
    let start = || {
        let runtime = Builder::new_current_thread().enable_time().build().unwrap();
        let handle = runtime.handle().clone();
        thread::spawn(move || runtime.block_on(std::future::pending::<()>()));
        handle
    };
    RUNTIME.get_or_init(start).clone()
}

/// A misfortune.
pub(crate) fn refuse(number: u64) -> CaseError {
    CaseError::new(Reason::Format, format!("number {number}"), "is unlucky", "choose another")
}

/// A panic that does not print: only the hook is left out, unwinding is the real thing.
pub(crate) fn quiet_panic(message: String) -> ! {
    resume_unwind(Box::new(message))
}

/// A door that stage code waits at until the test opens it.
#[derive(Clone, Default)]
pub(crate) struct Gate(Arc<(Mutex<GateState>, Condvar)>);

#[derive(Default)]
struct GateState {
    open: bool,
    waiting: usize,
}

impl Gate {
    /// Waits for the gate to open.
    pub(crate) fn pass(&self) {
        let (state, changed) = &*self.0;
        let mut state = state.lock().unwrap();
        state.waiting += 1;
        changed.notify_all();
        while !state.open {
            state = changed.wait(state).unwrap();
        }
    }

    /// Waits until somebody waits at the gate.
    pub(crate) fn wait_for_somebody(&self) {
        let (state, changed) = &*self.0;
        let state = state.lock().unwrap();
        drop(changed.wait_while(state, |state| state.waiting == 0).unwrap());
    }

    /// Opens it for good.
    pub(crate) fn open(&self) {
        let (state, changed) = &*self.0;
        state.lock().unwrap().open = true;
        changed.notify_all();
    }
}

/// Waits until a predicate of one consistent look at the topology holds. To be used under a deadline.
pub(crate) fn until(observer: &Observer, holds: impl Fn(&Observer) -> bool) {
    loop {
        let before = observer.activity_changes();
        if holds(observer) && observer.activity_changes() == before {
            return;
        }
        thread::yield_now();
    }
}
