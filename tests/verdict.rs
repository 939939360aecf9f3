//! Clocks in, one word and one sentence out: a test for each verdict.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use gliaflow::internals::actor::{Observation, TopologySnapshot};
use gliaflow::internals::pipeline::{
    BottleneckVerdict, CpuUsage, diagnose_beside_ingest, diagnose_run, diagnose_span,
};

const WALL: f64 = 100.0;
const IDLE: CpuUsage = CpuUsage { cores: 8, cpu_seconds: None, waiting_seconds: None };

/// An actor after 100 s, busy and blocked by these shares of its time and starved otherwise.
fn actor(name: &'static str, workers: usize, busy: f64, blocked: f64) -> Observation {
    let worker_seconds = WALL * workers as f64;
    Observation {
        name,
        workers,
        items: 500,
        busy_seconds: busy * worker_seconds,
        starved_seconds: (1.0 - busy - blocked) * worker_seconds,
        blocked_seconds: blocked * worker_seconds,
        worker_seconds,
        queue_depth: 0,
        queue_capacity: 12,
        restarts: 0,
        busy_now: 0,
        starved_now: workers,
        blocked_now: 0,
    }
}

fn queued(depth: usize, actor: Observation) -> Observation {
    Observation { queue_depth: depth, ..actor }
}

/// The verdict on a line whose trainer waits this share of the time.
fn verdict(actors: &[Observation], starved: f64, machine: CpuUsage) -> (String, String) {
    let BottleneckVerdict { bottleneck, sentence } =
        diagnose_run(actors, &actor("feed", 1, 1.0 - starved, 0.0), &machine);
    (bottleneck.to_string(), sentence)
}

/// Plan, fetch, crop, collate: with crop this busy and collate blocked this much.
fn line(crop: f64, blocked: f64) -> [Observation; 4] {
    [
        actor("plan", 1, 0.01, 0.9),
        actor("fetch", 1, 0.2, 0.0),
        queued(3, actor("crop", 2, crop, 0.0)),
        actor("collate", 1, 0.05, blocked),
    ]
}

/// A line whose workers could use more tickets.
fn with_few_tickets(actors: [Observation; 4]) -> [Observation; 4] {
    actors.map(|actor| Observation { queue_capacity: 6, ..actor })
}

#[test]
fn a_sink_that_waits_for_its_consumer_is_the_goal() {
    let (word, sentence) = verdict(&line(0.5, 0.4), 0.01, IDLE);
    assert_eq!(word, "trainer");
    assert!(sentence.contains("trainer 40 % of the time"), "{sentence}");
    assert!(sentence.contains("nothing to change"), "{sentence}");
    let (word, sentence) = verdict(&line(0.5, 0.4), 0.1, IDLE);
    assert!(word == "trainer" && sentence.contains("raise loader.prefetch"), "{sentence}");
}

#[test]
fn when_neither_waits_nothing_holds_the_run_back() {
    let (word, sentence) = verdict(&line(0.97, 0.01), 0.015, IDLE);
    assert_eq!(word, "none");
    let expected = "loader and trainer keep pace: the trainer waits 1.5 % of the time, the \
                    loader 1.0 %";
    assert_eq!(sentence, expected);
}

#[test]
fn a_busy_stage_before_which_items_wait_needs_another_worker() {
    let (word, sentence) = verdict(&line(0.97, 0.0), 0.3, IDLE);
    assert_eq!(word, "crop");
    let expected = "crop is busy 97 % of the time with 3 items waiting, and the trainer waits \
                    30 % of it: give it another worker (loader.workers.crop = 3), or use a \
                    cheaper profile";
    assert_eq!(sentence, expected);
}

#[test]
fn of_two_busy_stages_the_one_with_the_deeper_queue_is_guilty() {
    let mut actors = line(0.97, 0.0);
    actors[1] = queued(1, actor("fetch", 1, 0.99, 0.0));
    assert_eq!(verdict(&actors, 0.3, IDLE).0, "crop");
    actors[1] = queued(7, actor("fetch", 1, 0.95, 0.0));
    let (word, sentence) = verdict(&actors, 0.3, IDLE);
    assert!(word == "fetch" && sentence.contains("loader.workers.fetch = 2"), "{sentence}");
    assert!(sentence.ends_with("or ingest the cases beforehand"), "{sentence}");
    actors[1] = queued(7, actor("fetch", 1, 0.5, 0.0));
    assert_eq!(verdict(&actors, 0.3, IDLE).0, "crop", "a queue alone is no guilt");
}

#[test]
fn an_end_cannot_be_given_a_worker() {
    let mut actors = line(0.6, 0.0);
    actors[3] = queued(5, actor("collate", 1, 0.98, 0.0));
    let (word, sentence) = verdict(&actors, 0.3, IDLE);
    assert_eq!(word, "collate");
    assert!(sentence.contains("one worker for good"), "{sentence}");
    assert!(!sentence.contains("loader.workers"), "{sentence}");
}

#[test]
fn a_machine_that_has_no_core_left_is_told_from_a_stage_that_has_no_worker() {
    let two = CpuUsage { cores: 2, cpu_seconds: Some(196.0), waiting_seconds: None };
    let (word, sentence) = verdict(&line(0.97, 0.0), 1.0, two);
    assert_eq!(word, "crop");
    assert!(sentence.starts_with("all 2 cores are busy, 88 % of the loader's time"), "{sentence}");
    assert!(sentence.ends_with("use more cores, or use a cheaper profile"), "{sentence}");
    for (cores, cpu_seconds, saturated) in
        [(2, None, true), (2, Some(150.0), false), (4, None, false)]
    {
        let (_, sentence) = verdict(&line(0.97, 0.0), 1.0, CpuUsage { cores, cpu_seconds, ..IDLE });
        assert_eq!(sentence.contains("more cores"), saturated, "{sentence}");
    }
}

#[test]
fn a_loader_in_which_nobody_is_busy_lacks_tickets() {
    let (word, sentence) = verdict(&with_few_tickets(line(0.6, 0.0)), 0.3, IDLE);
    assert_eq!(word, "crop");
    assert!(sentence.contains("plan waits 90 % of it for a free place"), "{sentence}");
    assert!(sentence.ends_with("raise loader.memory_mib"), "{sentence}");
}

#[test]
fn more_memory_is_not_advised_where_it_gives_no_more_tickets() {
    let (word, sentence) = verdict(&line(0.6, 0.0), 0.3, IDLE);
    assert_eq!(word, "crop");
    assert!(sentence.contains("the 12 samples under way"), "{sentence}");
    assert!(!sentence.contains("loader.memory_mib"), "{sentence}");
    assert!(sentence.contains("loader.workers.crop = 3"), "{sentence}");
}

#[test]
fn cores_that_others_have_are_told_from_workers_that_lack() {
    let crowded = CpuUsage { cores: 2, cpu_seconds: Some(110.0), waiting_seconds: Some(60.0) };
    let (word, sentence) = verdict(&line(0.97, 0.0), 0.3, crowded);
    assert_eq!(word, "crop");
    assert!(sentence.starts_with("the process got 1.1 of 2 cores"), "{sentence}");
    assert!(sentence.contains("waited for one 35 % of the time"), "{sentence}");
    assert!(!sentence.contains("loader.workers"), "{sentence}");
    let quiet = CpuUsage { waiting_seconds: Some(10.0), ..crowded };
    assert!(verdict(&line(0.97, 0.0), 0.3, quiet).1.contains("loader.workers.crop = 3"));
}

#[test]
fn fused_stages_are_named_as_they_are_set_and_a_run_without_items_is_not_judged() {
    let mut actors = line(0.1, 0.0);
    actors[2] = actor("crop+augment", 4, 0.99, 0.0);
    let (word, sentence) = verdict(&actors, 0.3, IDLE);
    assert_eq!(word, "crop+augment");
    assert!(sentence.contains("(loader.workers.augment = 5)"), "{sentence}");
    let unused = Observation { items: 0, ..actor("feed", 1, 0.0, 0.0) };
    let verdict = diagnose_run(&actors, &unused, &IDLE);
    let written = serde_json::to_value(&verdict).unwrap();
    assert_eq!(written["bottleneck"], "none");
    assert!(verdict.sentence.starts_with("nothing was delivered"));
}

#[test]
fn a_loader_that_waits_for_cases_on_their_way_blames_who_brings_them() {
    let ingest = [
        actor("files", 1, 0.0, 0.9),
        actor("decode", 2, 0.97, 0.0),
        actor("normalize", 1, 0.3, 0.0),
        actor("tally", 1, 0.0, 0.0),
    ];
    let feed = actor("feed", 1, 0.4, 0.0);
    let beside = |actors: &[Observation]| diagnose_beside_ingest(&ingest, actors, &feed, &IDLE);
    let waiting = beside(&line(0.2, 0.0));
    assert_eq!(waiting.bottleneck.to_string(), "decode");
    assert!(waiting.sentence.contains("raise ingest.decode"), "{}", waiting.sentence);
    // A stage of the loader that is busy itself is the one to help first.
    assert_eq!(beside(&line(0.9, 0.0)).bottleneck.to_string(), "crop");
    // Ingest that has nothing to do any more is no reason.
    let idle = [actor("decode", 2, 0.1, 0.0)];
    let few = with_few_tickets(line(0.2, 0.0));
    let verdict = diagnose_beside_ingest(&idle, &few, &feed, &IDLE);
    assert!(verdict.sentence.contains("loader.memory_mib"), "{}", verdict.sentence);
}

#[test]
fn whoever_has_stopped_is_named_though_nothing_is_delivered_any_more() {
    let look = |crop: f64, blocked: f64, items: u64, starved: f64| TopologySnapshot {
        actors: line(crop, blocked).into(),
        feed: Observation { items, ..actor("feed", 1, 1.0 - starved, 0.0) },
    };
    // After as long again, in which the stage worked on one item, or the trainer on one batch.
    let twice = |look: &TopologySnapshot| {
        let more = |seen: &Observation| Observation {
            busy_seconds: 2.0 * seen.busy_seconds,
            starved_seconds: 2.0 * seen.starved_seconds,
            blocked_seconds: 2.0 * seen.blocked_seconds,
            worker_seconds: 2.0 * seen.worker_seconds,
            ..seen.clone()
        };
        TopologySnapshot { actors: look.actors.iter().map(more).collect(), feed: more(&look.feed) }
    };
    let stuck =
        |look: TopologySnapshot| diagnose_span(&twice(&look), &look, &IDLE).bottleneck.to_string();
    assert_eq!(stuck(look(0.0, 1.0, 9, 0.0)), "trainer");
    assert_eq!(stuck(look(1.0, 0.0, 9, 1.0)), "crop");
    // Before the first batch there is nobody to blame for a wait, but a trainer that does not come.
    assert_eq!(stuck(look(1.0, 0.0, 0, 1.0)), "none");
    assert_eq!(stuck(look(0.0, 1.0, 0, 0.0)), "trainer");
}
