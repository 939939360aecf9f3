//! Decides how many workers each stage should have, from measured times alone: no thread, no timer.
//!
//! A stage whose items take s seconds passes n / s items a second with n workers, and a line passes
//! what its slowest stage passes. s is the busy time per item, which the meters measure, so the
//! best split of the threads is computed and not searched for; queue depths say nothing that this
//! does not. Since every measurement is noisy and every move is a disturbance, workers move only if
//!
//! - the consumer starves: a loader that keeps up is left alone, idle workers cost it nothing;
//! - the slowest stage is busy: if it is not, tickets, the source or the sink hold the line up;
//! - the best split promises a tenth more;
//! - two consecutive observations agree, and six where a small gain would undo the last move;
//!
//! and then half of the way, so that one bad observation does half of the harm.

use crate::actor::{Observation, TopologySnapshot};

/// Share of its time that a consumer may wait before workers move; `tune` allows the same.
const STARVING: f64 = 0.02;
/// Busy share of its workers' time from which the slowest stage counts as the bottleneck.
const BUSY: f64 = 0.75;
/// Least throughput gain, as a factor, that moves workers. With up to 20 workers in the slowest
/// stage, a split that is two workers short of the best always reaches it.
const CLEAR_GAIN: f64 = 1.1;
/// Fewest items of every stage in an observation, in all and per worker: the items in progress at
/// its start and end, whose busy time is known only in part, must not weigh much.
const ITEMS: u64 = 16;
const ITEMS_PER_WORKER: u64 = 8;
/// Consecutive observations in which some stage must ask for more workers before it gets them.
const OBSERVATIONS: u32 = 2;
/// Same number where a stage would give back a worker that it just got: noise must not decide.
const OBSERVATIONS_TO_UNDO: u32 = 6;
/// Throughput gain, as a factor, that is no noise: [`OBSERVATIONS`] are enough even for such a stage.
const GREAT_GAIN: f64 = 1.3;

/// New number of workers for a stage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WorkerChange {
    /// Stage name.
    pub stage: &'static str,
    /// Workers wanted so far.
    pub from: usize,
    /// Workers wanted from now on.
    pub to: usize,
}

/// Decides when to change the workers of one topology.
#[derive(Debug)]
pub struct WorkerBalancer {
    threads: usize,
    /// Wanted workers of each stage; one that is leaving is not counted.
    workers: Vec<usize>,
    /// Start of the present observation period.
    start: Option<TopologySnapshot>,
    /// Consecutive observations in which each stage has asked for more workers.
    asked: Vec<u32>,
    /// Stages that got more workers at the last change.
    favoured: Vec<bool>,
}

/// Measured speed of one stage.
#[derive(Debug, Clone, Copy)]
struct StageTiming {
    /// Busy seconds per item.
    service: f64,
    /// Busy share of the workers' time.
    busy: f64,
}

/// Split with a higher throughput than the present one, and the timings that it follows from.
#[derive(Debug)]
struct BetterSplit {
    timings: Vec<StageTiming>,
    split: Vec<usize>,
    /// Expected throughput gain, as a factor.
    gain: f64,
}

impl WorkerBalancer {
    /// Shares out `threads` workers, or as many as the stages start with if that is more.
    pub const fn new(threads: usize) -> Self {
        Self { threads, workers: Vec::new(), start: None, asked: Vec::new(), favoured: Vec::new() }
    }

    /// Takes a snapshot of the topology and returns the changes, which the caller makes. Calls may
    /// be any time apart.
    pub fn plan_changes(&mut self, now: TopologySnapshot) -> Vec<WorkerChange> {
        let Some(start) = &self.start else {
            self.workers = inner_stages(&now.actors).iter().map(|stage| stage.workers).collect();
            self.asked = vec![0; self.workers.len()];
            self.favoured = vec![false; self.workers.len()];
            self.start = Some(now);
            return Vec::new();
        };
        let TopologySnapshot { actors: passed, feed } = now.since(start);
        if !self.has_enough_items(&passed) {
            return Vec::new();
        }
        self.start = Some(now);
        let better = self.better_split(&passed, &feed);
        self.count_requests(better.as_ref());
        let Some(next) = better.and_then(|better| self.next_split(&better)) else {
            return Vec::new();
        };
        let changes = list_changes(inner_stages(&passed), &self.workers, &next);
        self.favoured = next.iter().zip(&self.workers).map(|(next, had)| next > had).collect();
        self.asked.fill(0);
        self.workers = next;
        changes
    }

    fn has_enough_items(&self, passed: &[Observation]) -> bool {
        inner_stages(passed)
            .iter()
            .zip(&self.workers)
            .all(|(stage, &workers)| stage.items >= ITEMS.max(ITEMS_PER_WORKER * workers as u64))
    }

    /// Returns a clearly better split than the present one, if there is one.
    fn better_split(&self, passed: &[Observation], feed: &Observation) -> Option<BetterSplit> {
        if feed.starved_seconds < STARVING * feed.worker_seconds {
            return None;
        }
        let [source, .., sink] = passed else { return None };
        let timings: Vec<StageTiming> = inner_stages(passed).iter().map(stage_timing).collect();
        let slowest = slowest_stage(&timings, &self.workers)?;
        if timings[slowest].busy < BUSY {
            return None;
        }
        let present: usize = self.workers.iter().sum();
        let split = best_split(&timings, self.threads.max(present));
        let ends = bottleneck_rate(&[stage_timing(source), stage_timing(sink)], &[1, 1]);
        let gain = bottleneck_rate(&timings, &split).min(ends)
            / bottleneck_rate(&timings, &self.workers).min(ends);
        (gain >= CLEAR_GAIN).then_some(BetterSplit { timings, split, gain })
    }

    /// Counts the consecutive observations in which each stage has asked for more workers.
    fn count_requests(&mut self, better: Option<&BetterSplit>) {
        let wanted = better.map_or(self.workers.as_slice(), |better| &better.split);
        for ((asked, wanted), workers) in self.asked.iter_mut().zip(wanted).zip(&self.workers) {
            *asked = if wanted > workers { *asked + 1 } else { 0 };
        }
    }

    /// Returns the next step to a better split, if enough observations in a row have asked for it.
    fn next_split(&self, better: &BetterSplit) -> Option<Vec<usize>> {
        let next = self.half_way(&better.timings, &better.split);
        let stages = || next.iter().zip(&self.workers);
        let undoes = stages().zip(&self.favoured).any(|((next, had), last)| *last && next < had);
        let needed =
            if undoes && better.gain < GREAT_GAIN { OBSERVATIONS_TO_UNDO } else { OBSERVATIONS };
        let agreed =
            stages().zip(&self.asked).any(|((next, had), &asked)| next > had && asked >= needed);
        agreed.then_some(next)
    }

    /// Moves half of the workers that must move, at least one. No step on the way is slower than
    /// where it starts: only stages with more than they need give.
    fn half_way(&self, timings: &[StageTiming], best: &[usize]) -> Vec<usize> {
        let mut next = self.workers.clone();
        let missing: usize =
            best.iter().zip(&next).map(|(best, workers)| best.saturating_sub(*workers)).sum();
        for _ in 0..missing.div_ceil(2) {
            let needy = (0..next.len()).filter(|&stage| next[stage] < best[stage]);
            let Some(taker) = needy.max_by(|&a, &b| compare_load(timings, &next, a, b)) else {
                break;
            };
            let all_placed = next.iter().sum::<usize>() >= self.threads;
            let surplus = |stage: usize| next[stage].saturating_sub(best[stage]);
            let richest = (0..next.len()).max_by_key(|&stage| surplus(stage));
            let giver = richest.filter(|&stage| all_placed && surplus(stage) > 0);
            if let Some(stage) = giver {
                next[stage] -= 1;
            }
            next[taker] += 1;
        }
        next
    }
}

/// Actors between source and sink.
fn inner_stages(actors: &[Observation]) -> &[Observation] {
    match actors {
        [_, stages @ .., _] => stages,
        _ => &[],
    }
}

fn stage_timing(passed: &Observation) -> StageTiming {
    StageTiming {
        service: passed.busy_seconds / passed.items.max(1) as f64,
        busy: passed.busy_seconds / passed.worker_seconds,
    }
}

/// Items per second that the slowest stage passes.
fn bottleneck_rate(timings: &[StageTiming], workers: &[usize]) -> f64 {
    let rates =
        timings.iter().zip(workers).map(|(timing, &workers)| workers as f64 / timing.service);
    rates.fold(f64::INFINITY, f64::min)
}

/// Orders two stages by seconds per item over all their workers.
fn compare_load(
    timings: &[StageTiming],
    workers: &[usize],
    a: usize,
    b: usize,
) -> std::cmp::Ordering {
    let load = |stage: usize| timings[stage].service / workers[stage] as f64;
    load(a).total_cmp(&load(b))
}

fn slowest_stage(timings: &[StageTiming], workers: &[usize]) -> Option<usize> {
    (0..timings.len()).max_by(|&a, &b| compare_load(timings, workers, a, b))
}

/// Best split of `threads` workers: one each, then always one more to the slowest stage.
fn best_split(timings: &[StageTiming], threads: usize) -> Vec<usize> {
    let mut workers = vec![1; timings.len()];
    for _ in timings.len()..threads {
        if let Some(stage) = slowest_stage(timings, &workers) {
            workers[stage] += 1;
        }
    }
    workers
}

fn list_changes(stages: &[Observation], from: &[usize], to: &[usize]) -> Vec<WorkerChange> {
    let all = stages.iter().zip(from).zip(to);
    let all = all.map(|((stage, &from), &to)| WorkerChange { stage: stage.name, from, to });
    all.filter(|change| change.from != change.to).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn timings(services: &[f64]) -> Vec<StageTiming> {
        services.iter().map(|&service| StageTiming { service, busy: 1.0 }).collect()
    }

    /// Every split of `threads` over `stages`, at least one each.
    fn splits(stages: usize, threads: usize) -> Vec<Vec<usize>> {
        if stages == 1 {
            return vec![vec![threads]];
        }
        let mut all = Vec::new();
        for first in 1..=threads - (stages - 1) {
            for rest in splits(stages - 1, threads - first) {
                all.push([vec![first], rest].concat());
            }
        }
        all
    }

    proptest! {
        #[test]
        fn the_best_split_is_as_fast_as_the_fastest_of_all(
            services in prop::collection::vec(0.001f64..1.0, 1..5), spare in 0usize..9,
        ) {
            let (timings, threads) = (timings(&services), services.len() + spare);
            let split = best_split(&timings, threads);
            prop_assert_eq!(split.iter().sum::<usize>(), threads);
            let all = splits(services.len(), threads);
            let fastest = all.iter().map(|split| bottleneck_rate(&timings, split)).fold(0.0, f64::max);
            prop_assert_eq!(bottleneck_rate(&timings, &split), fastest);
        }

        #[test]
        fn half_the_way_is_never_slower_and_leads_to_the_best_within_a_few_steps(
            stages in prop::collection::vec((0.001f64..1.0, 1usize..9), 1..5), spare in 0usize..9,
        ) {
            let (services, workers): (Vec<f64>, Vec<usize>) = stages.into_iter().unzip();
            let (timings, present) = (timings(&services), workers.iter().sum::<usize>());
            let mut balance = WorkerBalancer { workers, ..WorkerBalancer::new(present + spare) };
            let best = best_split(&timings, present + spare);
            for _ in 0..7 {
                let next = balance.half_way(&timings, &best);
                prop_assert!(bottleneck_rate(&timings, &next) >= bottleneck_rate(&timings, &balance.workers));
                prop_assert!(next.iter().sum::<usize>() <= present + spare);
                balance.workers = next;
            }
            prop_assert_eq!(balance.workers, best);
        }
    }
}
