//! What holds a run back, in one word, and what to change, in one sentence: a pure function of the
//! clocks of a topology.
//!
//! A sink that waits for its consumer means that the trainer is the slower one, which is the goal. A
//! trainer that waits means that the loader is, and the guilty actor is the busy one with items
//! queued before it; unless every core works already, which is the machine's limit, or nobody is
//! busy, which is a lack of tickets.

use std::fmt;

use serde::{Serialize, Serializer};

use crate::actor::observe::Observation;

/// Share of its time that either side may wait for the other without a word about it; what `tune`
/// allows the trainer.
const WAITING: f64 = 0.02;
/// Share of its workers' time from which on an actor is busy enough to hold the others up.
const BUSY: f64 = 0.75;
/// Actors whose shares are this close are equally busy; the deeper queue tells them apart.
const ALIKE: f64 = 0.05;
/// Share of all cores' time from which on another worker would find no core.
const SATURATED: f64 = 0.9;

/// The one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bottleneck {
    /// Neither side waits for the other, or nothing was measured.
    None,
    /// The consumer: the loader keeps up.
    Trainer,
    /// The actor of the loader that takes the longest.
    Stage(&'static str),
}

impl fmt::Display for Bottleneck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "none",
            Self::Trainer => "trainer",
            Self::Stage(name) => name,
        })
    }
}

impl Serialize for Bottleneck {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// What the verdict must know of the machine.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Machine {
    /// Cores that the process may use.
    pub cores: usize,
    /// CPU time of the process over the span of the observations; where it cannot be told, the
    /// workers' busy time stands in for it.
    pub cpu_seconds: Option<f64>,
}

/// What holds a run back.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Verdict {
    /// In one word.
    pub bottleneck: Bottleneck,
    /// Why, and what to change. Lower case, without a full stop.
    pub sentence: String,
}

/// One look at a topology.
#[derive(Debug, Clone)]
pub struct Look {
    /// Its actors, the source first and the sink last.
    pub actors: Vec<Observation>,
    /// Its consumer.
    pub feed: Observation,
}

impl Look {
    /// What happened since an earlier look.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        let pairs = self.actors.iter().zip(&earlier.actors);
        let actors = pairs.map(|(now, then)| now.since(then)).collect();
        Self { actors, feed: self.feed.since(&earlier.feed) }
    }
}

/// Judges a run, or a span of one ([`Observation::since`]), by its actors, the source first and the
/// sink last, and its consumer.
pub fn judge(actors: &[Observation], feed: &Observation, machine: &Machine) -> Verdict {
    judge_with(actors, feed, feed.items > 0, machine)
}

/// Judges what happened between two looks. A span in which nothing was delivered is judged too, if
/// something was before: then somebody has stopped.
pub fn judge_span(now: &Look, earlier: &Look, machine: &Machine) -> Verdict {
    let span = now.since(earlier);
    judge_with(&span.actors, &span.feed, now.feed.items > 0, machine)
}

fn judge_with(
    actors: &[Observation],
    feed: &Observation,
    has_delivered: bool,
    machine: &Machine,
) -> Verdict {
    let [source, .., sink] = actors else { return nothing() };
    if feed.worker_seconds <= 0.0 {
        return nothing();
    }
    let starved = share(feed.starved_seconds, feed.worker_seconds);
    let blocked = share(sink.blocked_seconds, sink.worker_seconds);
    // Before the first output the consumer waits, whoever is slow; but not while outputs wait for it.
    if !has_delivered && blocked < BUSY {
        return nothing();
    }
    if starved.max(blocked) < WAITING {
        let sentence = format!(
            "loader and trainer keep pace: the trainer waits {} of the time, the loader {}",
            percent(starved),
            percent(blocked)
        );
        return Verdict { bottleneck: Bottleneck::None, sentence };
    }
    if blocked >= starved {
        return Verdict { bottleneck: Bottleneck::Trainer, sentence: trainer(starved, blocked) };
    }
    let guilty = guilty(actors);
    let blame = Blame { guilty, source, sink, starved };
    let bottleneck = Bottleneck::Stage(guilty.name);
    let sentence = match used(actors, feed, machine) {
        used if used >= SATURATED => blame.machine(actors, machine),
        _ if busy(guilty) < BUSY => blame.tickets(),
        _ => blame.stage(),
    };
    Verdict { bottleneck, sentence }
}

/// The same for a run beside whose loader cases are still `being_ingested`: whoever brings the cases may
/// be the one that the trainer waits for.
pub fn judge_beside(
    being_ingested: &[Observation],
    actors: &[Observation],
    feed: &Observation,
    machine: &Machine,
) -> Verdict {
    blame_ingest(judge(actors, feed, machine), being_ingested, actors, feed)
}

/// A verdict on a loader, with the blame on the ingest beside it where that is the busy one.
pub(super) fn blame_ingest(
    verdict: Verdict,
    being_ingested: &[Observation],
    actors: &[Observation],
    feed: &Observation,
) -> Verdict {
    let Bottleneck::Stage(_) = verdict.bottleneck else { return verdict };
    let slowest = being_ingested.iter().max_by(|a, b| busy(a).total_cmp(&busy(b)));
    let (Some(slowest), false) = (slowest, actors.iter().any(|actor| busy(actor) >= BUSY)) else {
        return verdict;
    };
    if busy(slowest) < BUSY {
        return verdict;
    }
    let sentence = format!(
        "cases are still on their way into the cache, {} is busy {} of the time, and the trainer waits \
         {} of it: raise ingest.{}, or run `gliaflow ingest` beforehand",
        slowest.name,
        percent(busy(slowest)),
        percent(share(feed.starved_seconds, feed.worker_seconds)),
        slowest.name
    );
    Verdict { bottleneck: Bottleneck::Stage(slowest.name), sentence }
}

fn nothing() -> Verdict {
    let sentence = "nothing was delivered, so there is nothing to judge".to_owned();
    Verdict { bottleneck: Bottleneck::None, sentence }
}

fn trainer(starved: f64, blocked: f64) -> String {
    let waits = format!("the loader waits for the trainer {} of the time", percent(blocked));
    if starved < WAITING {
        return format!("{waits}: it keeps up, as it should, and there is nothing to change");
    }
    format!(
        "{waits}, and the trainer still waits {} of it: if that is more than the first batch, batches \
         come unevenly, raise loader.prefetch",
        percent(starved)
    )
}

/// The busiest actor; of those that are equally busy, the one with the most items before it.
fn guilty(actors: &[Observation]) -> &Observation {
    let busiest = actors.iter().map(busy).fold(0.0, f64::max);
    let alike = actors.iter().filter(|actor| busy(actor) >= busiest - ALIKE);
    alike
        .max_by(|a, b| a.queue_depth.cmp(&b.queue_depth).then(busy(a).total_cmp(&busy(b))))
        .expect("a busiest actor is as busy as itself, and there are two ends")
}

/// Share of all cores' time that was used.
fn used(actors: &[Observation], feed: &Observation, machine: &Machine) -> f64 {
    let cpu = machine.cpu_seconds.unwrap_or_else(|| actors.iter().map(|a| a.busy_seconds).sum());
    share(cpu, machine.cores as f64 * feed.worker_seconds)
}

/// A trainer that waits, and on whom.
struct Blame<'a> {
    guilty: &'a Observation,
    source: &'a Observation,
    sink: &'a Observation,
    /// Share of its time that the trainer waits.
    starved: f64,
}

impl Blame<'_> {
    /// Another worker would help.
    fn stage(&self) -> String {
        let Self { guilty, starved, .. } = self;
        let (name, busy, waits) = (guilty.name, percent(busy(guilty)), percent(*starved));
        let is_end = [self.source.name, self.sink.name].contains(&name);
        if is_end {
            return format!(
                "{name} is busy {busy} of the time and has one worker for good, and the trainer waits \
                 {waits} of it: {}",
                cheaper(name).unwrap_or("give it less to do")
            );
        }
        let more = guilty.workers + 1;
        let or = cheaper(name).map_or_else(String::new, |remedy| format!(", or {remedy}"));
        format!(
            "{name} is busy {busy} of the time with {} waiting, and the trainer waits {waits} of it: \
             give it another worker (loader.workers.{} = {more}){or}",
            items(guilty.queue_depth),
            key(name)
        )
    }

    /// Another worker would find no core.
    fn machine(&self, actors: &[Observation], machine: &Machine) -> String {
        let all: f64 = actors.iter().map(|actor| actor.busy_seconds).sum();
        let name = self.guilty.name;
        let dear = share(self.guilty.busy_seconds, all);
        let cores = if machine.cores == 1 {
            "the one core is".to_owned()
        } else {
            format!("all {} cores are", machine.cores)
        };
        format!(
            "{cores} busy, {} of the loader's time with {name}, and the trainer waits {} of the time: \
             more workers would not help, use more cores{}",
            percent(dear),
            percent(self.starved),
            cheaper(name).map_or_else(String::new, |remedy| format!(", or {remedy}"))
        )
    }

    /// Nobody works all the time, although the trainer waits: too few items are under way.
    fn tickets(&self) -> String {
        let Self { guilty, source, starved, .. } = self;
        let waits = share(source.blocked_seconds, source.worker_seconds);
        format!(
            "the trainer waits {} of the time, though no stage is busy more than {} of it ({}) and {} \
             waits {} of it for a free place: let more samples be under way, raise loader.memory_mib",
            percent(*starved),
            percent(busy(guilty)),
            guilty.name,
            source.name,
            percent(waits)
        )
    }
}

/// What makes an actor's items cheaper, where something does.
fn cheaper(name: &str) -> Option<&'static str> {
    let remedy = |part: &str| match part {
        "fetch" | "decode" => Some("ingest the cases beforehand"),
        "crop" | "augment" => Some("use a cheaper profile"),
        "collate" => Some("use a smaller crop.patch"),
        _ => None,
    };
    name.split('+').find_map(remedy)
}

/// The setting of a stage's workers; fused stages have the last one's.
fn key(name: &str) -> &str {
    name.rsplit('+').next().unwrap_or(name)
}

fn busy(actor: &Observation) -> f64 {
    share(actor.busy_seconds, actor.worker_seconds)
}

fn share(part: f64, whole: f64) -> f64 {
    if whole > 0.0 { part / whole } else { 0.0 }
}

fn percent(share: f64) -> String {
    let percent = 100.0 * share;
    if percent > 0.0 && percent < 10.0 {
        return format!("{percent:.1} %");
    }
    format!("{percent:.0} %")
}

fn items(count: usize) -> String {
    if count == 1 { "1 item".to_owned() } else { format!("{count} items") }
}
