//! Where a worker would help most: a decision from the clocks alone, with no thread and no timer.
//!
//! A stage whose items take s seconds passes n / s items a second with n workers, and a line passes
//! what its slowest stage passes. s is the busy time of an item, which the clocks measure, so the best
//! split of the threads is computed and not searched for; queues say nothing that this does not.
//! Since every measurement is noisy and every move is a disturbance, workers move only if
//!
//! - the consumer starves: a loader that keeps up is left alone, idle workers cost it nothing;
//! - the slowest stage is busy: if it is not, tickets or an end hold the line up, not workers;
//! - the best split promises a tenth more;
//! - two looks in a row say so, and more of them where the last move would be undone for little;
//!
//! and then half of the way, so that one bad look does half of the harm.

use crate::actor::observe::Observation;

/// Share of its time that a consumer may wait before workers move: what `tune` allows, too.
const STARVING: f64 = 0.02;
/// Share of its workers' time that the slowest stage must be busy to be what holds the line up.
const BUSY: f64 = 0.75;
/// What the best split must promise, as a factor. With up to 20 workers in the slowest stage, one
/// that is two workers short of the best is always worth a move.
const CLEAR_GAIN: f64 = 1.1;
/// Items of every stage in a look, in all and for each worker: the items on the desks at its two
/// ends, whose busy time is known only in part, must not weigh much.
const ITEMS: u64 = 16;
const ITEMS_PER_WORKER: u64 = 8;
/// Looks in a row in which some stage must ask for more workers before it gets them.
const LOOKS: u32 = 2;
/// The same, where a stage that got the last workers would give one back: two splits between which
/// noise decides must not take turns.
const LOOKS_TO_UNDO: u32 = 6;
/// A promise that is no noise, as a factor: then even such a stage gives after the usual looks.
const GREAT_GAIN: f64 = 1.3;

/// A stage that is to have another number of workers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Change {
    /// The stage.
    pub stage: &'static str,
    /// Workers that it was meant to have.
    pub from: usize,
    /// Workers that it is meant to have from now on.
    pub to: usize,
}

/// Watches one topology and says when to change its workers.
#[derive(Debug)]
pub struct Balance {
    threads: usize,
    /// What each stage is meant to have; a worker on its way out is not in it.
    workers: Vec<usize>,
    /// Where the present look began.
    start: Option<Seen>,
    /// Looks in a row in which each stage has asked for more.
    asked: Vec<u32>,
    /// Whether each stage got more workers at the last change.
    favoured: Vec<bool>,
}

#[derive(Debug)]
struct Seen {
    actors: Vec<Observation>,
    feed: Observation,
}

/// One stage, measured.
#[derive(Debug, Clone, Copy)]
struct Pace {
    /// Busy seconds of an item.
    service: f64,
    /// Share of its workers' time that it was busy.
    busy: f64,
}

/// A split that promises more than the present one, and what that follows from.
#[derive(Debug)]
struct Better {
    paces: Vec<Pace>,
    split: Vec<usize>,
    /// What it promises, as a factor.
    gain: f64,
}

impl Balance {
    /// Shares out `threads` workers, or as many as the stages start with if that is more.
    pub const fn new(threads: usize) -> Self {
        Self { threads, workers: Vec::new(), start: None, asked: Vec::new(), favoured: Vec::new() }
    }

    /// Takes in one look at a topology, its source first and its sink last, and says what to
    /// change; the caller does it. The looks may be any time apart.
    pub fn look(&mut self, actors: Vec<Observation>, feed: Observation) -> Vec<Change> {
        let now = Seen { actors, feed };
        let Some(start) = &self.start else {
            self.workers = stages(&now.actors).iter().map(|stage| stage.workers).collect();
            self.asked = vec![0; self.workers.len()];
            self.favoured = vec![false; self.workers.len()];
            self.start = Some(now);
            return Vec::new();
        };
        let passed: Vec<Observation> =
            now.actors.iter().zip(&start.actors).map(|(now, start)| now.since(start)).collect();
        let feed = now.feed.since(&start.feed);
        if !self.is_enough(&passed) {
            return Vec::new();
        }
        self.start = Some(now);
        let better = self.better(&passed, &feed);
        self.hear(better.as_ref());
        let Some(next) = better.and_then(|better| self.step(&better)) else { return Vec::new() };
        let changes = changes(stages(&passed), &self.workers, &next);
        self.favoured = next.iter().zip(&self.workers).map(|(next, had)| next > had).collect();
        self.asked.fill(0);
        self.workers = next;
        changes
    }

    fn is_enough(&self, passed: &[Observation]) -> bool {
        stages(passed)
            .iter()
            .zip(&self.workers)
            .all(|(stage, &workers)| stage.items >= ITEMS.max(ITEMS_PER_WORKER * workers as u64))
    }

    /// A clearly better split than the present one, if there is one.
    fn better(&self, passed: &[Observation], feed: &Observation) -> Option<Better> {
        if feed.starved_seconds < STARVING * feed.worker_seconds {
            return None;
        }
        let [source, .., sink] = passed else { return None };
        let paces: Vec<Pace> = stages(passed).iter().map(pace).collect();
        let slowest = slowest(&paces, &self.workers)?;
        if paces[slowest].busy < BUSY {
            return None;
        }
        let present: usize = self.workers.iter().sum();
        let split = best_split(&paces, self.threads.max(present));
        let ends = rate(&[pace(source), pace(sink)], &[1, 1]);
        let gain = rate(&paces, &split).min(ends) / rate(&paces, &self.workers).min(ends);
        (gain >= CLEAR_GAIN).then_some(Better { paces, split, gain })
    }

    /// Counts the looks in a row in which each stage has asked for more.
    fn hear(&mut self, better: Option<&Better>) {
        let wanted = better.map_or(self.workers.as_slice(), |better| &better.split);
        for ((asked, wanted), workers) in self.asked.iter_mut().zip(wanted).zip(&self.workers) {
            *asked = if wanted > workers { *asked + 1 } else { 0 };
        }
    }

    /// The next step to a better split, if enough looks in a row have asked for it.
    fn step(&self, better: &Better) -> Option<Vec<usize>> {
        let next = self.half_way(&better.paces, &better.split);
        let stages = || next.iter().zip(&self.workers);
        let undoes = stages().zip(&self.favoured).any(|((next, had), last)| *last && next < had);
        let needed = if undoes && better.gain < GREAT_GAIN { LOOKS_TO_UNDO } else { LOOKS };
        let agreed =
            stages().zip(&self.asked).any(|((next, had), &asked)| next > had && asked >= needed);
        agreed.then_some(next)
    }

    /// Half of the workers that must change their place, at least one. No step on the way is slower
    /// than where it starts: only stages with more than they need give.
    fn half_way(&self, paces: &[Pace], best: &[usize]) -> Vec<usize> {
        let mut next = self.workers.clone();
        let missing: usize =
            best.iter().zip(&next).map(|(best, workers)| best.saturating_sub(*workers)).sum();
        for _ in 0..missing.div_ceil(2) {
            let needy = (0..next.len()).filter(|&stage| next[stage] < best[stage]);
            let Some(taker) = needy.max_by(|&a, &b| load(paces, &next, a, b)) else { break };
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

/// The actors between the two ends.
fn stages(actors: &[Observation]) -> &[Observation] {
    match actors {
        [_, stages @ .., _] => stages,
        _ => &[],
    }
}

fn pace(passed: &Observation) -> Pace {
    Pace {
        service: passed.busy_seconds / passed.items.max(1) as f64,
        busy: passed.busy_seconds / passed.worker_seconds,
    }
}

/// Items a second that the slowest of them passes.
fn rate(paces: &[Pace], workers: &[usize]) -> f64 {
    let rates = paces.iter().zip(workers).map(|(pace, &workers)| workers as f64 / pace.service);
    rates.fold(f64::INFINITY, f64::min)
}

/// Orders two stages by the time that an item takes from each of their workers.
fn load(paces: &[Pace], workers: &[usize], a: usize, b: usize) -> std::cmp::Ordering {
    let load = |stage: usize| paces[stage].service / workers[stage] as f64;
    load(a).total_cmp(&load(b))
}

fn slowest(paces: &[Pace], workers: &[usize]) -> Option<usize> {
    (0..paces.len()).max_by(|&a, &b| load(paces, workers, a, b))
}

/// The split of `threads` workers whose slowest stage is fastest: one each, then always one more to
/// the slowest. Nothing else can help a line, so this is the best there is.
fn best_split(paces: &[Pace], threads: usize) -> Vec<usize> {
    let mut workers = vec![1; paces.len()];
    for _ in paces.len()..threads {
        if let Some(stage) = slowest(paces, &workers) {
            workers[stage] += 1;
        }
    }
    workers
}

fn changes(stages: &[Observation], from: &[usize], to: &[usize]) -> Vec<Change> {
    let all = stages.iter().zip(from).zip(to);
    let all = all.map(|((stage, &from), &to)| Change { stage: stage.name, from, to });
    all.filter(|change| change.from != change.to).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn paces(services: &[f64]) -> Vec<Pace> {
        services.iter().map(|&service| Pace { service, busy: 1.0 }).collect()
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
            let (paces, threads) = (paces(&services), services.len() + spare);
            let split = best_split(&paces, threads);
            prop_assert_eq!(split.iter().sum::<usize>(), threads);
            let all = splits(services.len(), threads);
            let fastest = all.iter().map(|split| rate(&paces, split)).fold(0.0, f64::max);
            prop_assert_eq!(rate(&paces, &split), fastest);
        }

        #[test]
        fn half_the_way_is_never_slower_and_leads_to_the_best_within_a_few_steps(
            stages in prop::collection::vec((0.001f64..1.0, 1usize..9), 1..5), spare in 0usize..9,
        ) {
            let (services, workers): (Vec<f64>, Vec<usize>) = stages.into_iter().unzip();
            let (paces, present) = (paces(&services), workers.iter().sum::<usize>());
            let mut balance = Balance { workers, ..Balance::new(present + spare) };
            let best = best_split(&paces, present + spare);
            for _ in 0..7 {
                let next = balance.half_way(&paces, &best);
                prop_assert!(rate(&paces, &next) >= rate(&paces, &balance.workers));
                prop_assert!(next.iter().sum::<usize>() <= present + spare);
                balance.workers = next;
            }
            prop_assert_eq!(balance.workers, best);
        }
    }
}
