//! A run that is taken up with other settings of its loader is the run: threads, places and memory
//! decide when a sample is made, never what is in it.

use crate::cli::harness::Desk;
use crate::cli::resuming::{NETWORKS, assert_same, line, told_events};

/// Settings of the loader, from the fewest threads and places on.
const LOADERS: [&str; 4] = [
    "--set loader.workers.fetch=1 --set loader.workers.crop=1 --set loader.workers.augment=1 \
     --set loader.prefetch=1 --set loader.memory_mib=16",
    "--set loader.workers.fetch=2 --set loader.workers.crop=3 --set loader.workers.augment=4 \
     --set loader.prefetch=6 --set loader.memory_mib=300",
    "--set loader.workers=auto --set loader.prefetch=3",
    "--set loader.fused=true --set loader.workers.augment=3 --set loader.prefetch=1",
];

#[test]
fn a_run_taken_up_with_other_workers_prefetch_and_memory_is_the_run() {
    let desk = Desk::with_cohort(5);
    // A slow step leaves time for the kill, and the loader time to run ahead.
    let slow = "--set drill.slow_step_ms=15";
    let first = line(NETWORKS[0]);
    desk.run(&format!("{first} --run straight")).ok();
    let mut line = format!("{first} --run moved {}", LOADERS[0]);
    for loader in &LOADERS[1..] {
        let mut process = desk.start(&format!("{line} {slow}"));
        let steps = || {
            let journal = desk.path("moved/events.jsonl");
            let text = std::fs::read_to_string(journal).unwrap_or_default();
            // Counted where this process begins.
            let own = text.rsplit(r#""event":"resumed""#).next().unwrap_or_default();
            own.matches(r#""event":"checkpoint""#).count()
        };
        let is_first = line == format!("{first} --run moved {}", LOADERS[0]);
        process.wait_for("a checkpoint of its own", || {
            let journal = desk.path("moved/events.jsonl");
            let text = std::fs::read_to_string(journal).unwrap_or_default();
            let is_own = is_first || text.contains(r#""event":"resumed""#);
            (is_own && steps() > 0).then_some(())
        });
        process.signal("KILL");
        process.wait().was_killed();
        line = format!("train --resume moved {loader}");
    }
    desk.run(&line).ok();
    assert_same(&desk, "straight", "moved");
    assert!(told_events(&desk, "moved").len() > 48);
}
