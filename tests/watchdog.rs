//! A stage that never returns is named; a consumer that takes its time is not blamed.

use std::thread;
use std::time::Duration;

use gliaflow::internals::actor::{Limits, StopLatch, StopState, Topology};
use gliaflow::internals::base::Fault;

use crate::deadline::{LIMIT, within};
use crate::numbers::{Apply, Batches, Count, Gate, Open, runtime, until};

/// Far above any pause of a loaded machine, far below the patience of a developer.
const STALL: Duration = Duration::from_millis(400);

fn limits() -> Limits {
    Limits { stall_after: STALL, grace: Duration::from_millis(20), ..Limits::new(4) }
}

#[test]
fn a_stage_that_never_returns_becomes_a_report_that_names_it_and_its_item() {
    within(LIMIT, |watch| {
        let gate = Gate::default();
        let held = gate.clone();
        let (mut feed, running) = Topology::new("halted", limits(), &StopLatch::new())
            .source(Count::to(u64::MAX))
            .stage(|| Open, 1)
            .stage(
                move || {
                    let gate = held.clone();
                    Apply(move |number| {
                        if number == 3 {
                            gate.pass();
                        }
                        Ok(number)
                    })
                },
                2,
            )
            .sink(Batches::of(1), 1)
            .start(&runtime())
            .unwrap();
        watch.on(&running);
        // The consumer keeps asking, so what stands still is not its fault.
        let taken: Vec<Vec<u64>> = std::iter::from_fn(|| feed.next_output()).collect();
        assert_eq!(taken, [[0], [1], [2]]);
        let end = running.join_blocking();
        gate.open();
        let Err(Fault::Stalled { report, .. }) = end else { panic!("{end:?}") };
        let stuck: Vec<&str> = report.lines().filter(|line| line.contains(" busy ")).collect();
        let [line] = stuck.as_slice() else { panic!("{report}") };
        assert!(line.trim_start().starts_with("apply-"), "{report}");
        assert!(line.contains("ticket 3 (number 3)"), "{report}");
        for name in ["count-0", "open-0", "apply-0", "apply-1", "batches-0"] {
            assert!(report.contains(name), "{name} is missing:\n{report}");
        }
    });
}

#[test]
fn a_consumer_that_takes_its_time_is_not_a_stall_of_the_loader() {
    within(LIMIT, |watch| {
        let run = StopLatch::new();
        let (mut feed, running) = Topology::new("slow", limits(), &run)
            .source(Count::to(20))
            .stage(|| Open, 2)
            .sink(Batches::of(2), 1)
            .start(&runtime())
            .unwrap();
        watch.on(&running);
        let observer = running.observer();
        until(&observer, |seen| seen.observations()[2].blocked_now == 1);
        // Not awaited but endured: whatever the machine does, no fault may come of it.
        thread::sleep(3 * STALL);
        assert_eq!((run.state(), run.fault()), (StopState::Running, None));
        let taken: Vec<u64> = std::iter::from_fn(|| feed.next_output()).flatten().collect();
        assert!(taken.into_iter().eq(0..20));
        running.join_blocking().unwrap();
    });
}
