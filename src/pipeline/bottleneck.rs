//! Bottleneck of a run and its remedy: a pure function of a topology's clocks.
//!
//! A sink that waits for its consumer means that the trainer is slower, which is the goal. A
//! trainer that waits means that the loader is slower, and the bottleneck is the busy actor with
//! items queued before it; unless all cores are in use, or others have them, or no actor is busy,
//! which is a lack of tickets as long as there are fewer than its workers can use.

use std::borrow::Cow;

use serde::{Deserialize, Serialize, Serializer};

use crate::actor::{Observation, TopologySnapshot};
use crate::base::format_percent;

/// Share of its time that loader or trainer may wait for the other and still keep pace; the limit
/// of `tune`, too.
const WAITING: f64 = 0.02;
/// Busy share of an actor's workers from which it can hold up the others.
const BUSY: f64 = 0.75;
/// Busy shares that differ by less are equal; the deeper queue decides between them.
const ALIKE: f64 = 0.05;
/// Share of all cores' time from which another worker would find no free core.
const SATURATED: f64 = 0.9;
/// Share of the time in which threads could run, but waited for a core, from which others hold cores.
const CROWDED: f64 = 0.2;

/// Slowest part of a run.
#[derive(strum::Display)]
#[strum(serialize_all = "lowercase")]
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(from = "String")]
pub enum Bottleneck {
    /// Loader and trainer keep pace, or nothing was measured.
    None,
    /// The trainer: the loader keeps up.
    Trainer,
    /// The slowest actor of the loader.
    #[strum(default)]
    Stage(Cow<'static, str>),
}

impl From<String> for Bottleneck {
    fn from(name: String) -> Self {
        match name.as_str() {
            "none" => Self::None,
            "trainer" => Self::Trainer,
            _ => Self::Stage(name.into()),
        }
    }
}

impl Serialize for Bottleneck {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Cores of the machine and CPU time used.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CpuUsage {
    /// Cores that the process may use.
    pub cores: usize,
    /// CPU seconds of the process over the observed span; the workers' busy seconds if `None`.
    pub cpu_seconds: Option<f64>,
    /// Seconds in which threads of the process could run and waited for a core; `None` where unknown.
    pub waiting_seconds: Option<f64>,
}

impl CpuUsage {
    /// Share of the time in which threads could run that they waited for a core.
    fn waiting_share(&self) -> f64 {
        let (cpu, waiting) = (self.cpu_seconds.unwrap_or(0.0), self.waiting_seconds.unwrap_or(0.0));
        share_of(waiting, cpu + waiting)
    }
}

/// Bottleneck of a run, with the reason and the remedy.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BottleneckVerdict {
    /// The bottleneck.
    pub bottleneck: Bottleneck,
    /// Reason and remedy in one sentence, lower case, without a full stop.
    pub sentence: String,
}

/// Finds the bottleneck of a run, or of a span of one ([`Observation::since`]). `actors` begin with
/// the source and end with the sink; `feed` is the consumer.
pub fn diagnose_run(
    actors: &[Observation],
    feed: &Observation,
    machine: &CpuUsage,
) -> BottleneckVerdict {
    diagnose_with(actors, feed, feed.items > 0, machine)
}

/// Finds the bottleneck between two snapshots. A span without output counts if there was output
/// before it: then an actor has stalled.
pub fn diagnose_span(
    now: &TopologySnapshot,
    earlier: &TopologySnapshot,
    machine: &CpuUsage,
) -> BottleneckVerdict {
    let span = now.since(earlier);
    diagnose_with(&span.actors, &span.feed, now.feed.items > 0, machine)
}

fn diagnose_with(
    actors: &[Observation],
    feed: &Observation,
    has_delivered: bool,
    machine: &CpuUsage,
) -> BottleneckVerdict {
    let [source, .., sink] = actors else { return no_verdict() };
    if feed.worker_seconds <= 0.0 {
        return no_verdict();
    }
    let starved = share_of(feed.starved_seconds, feed.worker_seconds);
    let blocked = share_of(sink.blocked_seconds, sink.worker_seconds);
    // Before the first output the consumer waits in any case; but not while outputs wait for it.
    if !has_delivered && blocked < BUSY {
        return no_verdict();
    }
    if starved.max(blocked) < WAITING {
        let sentence = format!(
            "loader and trainer keep pace: the trainer waits {} of the time, the loader {}",
            format_percent(starved),
            format_percent(blocked)
        );
        return BottleneckVerdict { bottleneck: Bottleneck::None, sentence };
    }
    if blocked >= starved {
        return BottleneckVerdict {
            bottleneck: Bottleneck::Trainer,
            sentence: describe_trainer_wait(starved, blocked),
        };
    }
    let guilty = busiest_actor(actors);
    let blame = LoaderDiagnosis { guilty, source, sink, starved };
    let bottleneck = Bottleneck::Stage(guilty.name.into());
    let sentence = if cpu_utilisation(actors, feed, machine) >= SATURATED {
        blame.suggest_cores(actors, machine)
    } else if machine.waiting_share() >= CROWDED {
        describe_crowd(starved, feed, machine)
    } else if busy_share(guilty) < BUSY {
        if has_tickets_enough(actors) { blame.suggest_tickets() } else { blame.suggest_memory() }
    } else {
        blame.suggest_worker()
    };
    BottleneckVerdict { bottleneck, sentence }
}

/// Finds the bottleneck of a run beside an ingest of cases, which may be the actor that the trainer
/// waits for.
pub fn diagnose_beside_ingest(
    being_ingested: &[Observation],
    actors: &[Observation],
    feed: &Observation,
    machine: &CpuUsage,
) -> BottleneckVerdict {
    blame_ingest(diagnose_run(actors, feed, machine), being_ingested, actors, feed)
}

/// Replaces a verdict on the loader by one on the ingest beside it if only the ingest is busy.
pub(super) fn blame_ingest(
    verdict: BottleneckVerdict,
    being_ingested: &[Observation],
    actors: &[Observation],
    feed: &Observation,
) -> BottleneckVerdict {
    let Bottleneck::Stage(_) = verdict.bottleneck else { return verdict };
    let slowest = being_ingested.iter().max_by(|a, b| busy_share(a).total_cmp(&busy_share(b)));
    let Some(slowest) = slowest else { return verdict };
    if busy_share(slowest) < BUSY || actors.iter().any(|actor| busy_share(actor) >= BUSY) {
        return verdict;
    }
    let sentence = format!(
        "cases are still on their way into the cache, {} is busy {} of the time, and the trainer waits \
         {} of it: raise ingest.{}, or run `gliaflow ingest` beforehand",
        slowest.name,
        format_percent(busy_share(slowest)),
        format_percent(share_of(feed.starved_seconds, feed.worker_seconds)),
        slowest.name
    );
    BottleneckVerdict { bottleneck: Bottleneck::Stage(slowest.name.into()), sentence }
}

fn no_verdict() -> BottleneckVerdict {
    let sentence = "nothing was delivered, so there is nothing to judge".to_owned();
    BottleneckVerdict { bottleneck: Bottleneck::None, sentence }
}

fn describe_trainer_wait(starved: f64, blocked: f64) -> String {
    let waits = format!("the loader waits for the trainer {} of the time", format_percent(blocked));
    if starved < WAITING {
        return format!("{waits}: it keeps up, as it should, and there is nothing to change");
    }
    format!(
        "{waits}, and the trainer still waits {} of it: if that is more than the first batch, batches \
         come unevenly, raise loader.prefetch",
        format_percent(starved)
    )
}

/// Describes cores that others have: what stages take is then no measure of what they cost.
fn describe_crowd(starved: f64, feed: &Observation, machine: &CpuUsage) -> String {
    let (cores, used) = (machine.cores, machine.cpu_seconds.unwrap_or(0.0) / feed.worker_seconds);
    let [waited, starved] = [machine.waiting_share(), starved].map(format_percent);
    format!(
        "the process got {used:.1} of {cores} cores, and its threads waited for one {waited} of the time in \
         which they could run, while the trainer waits {starved} of the time: others have the rest, so \
         more workers would not help; free cores, or measure again in quiet"
    )
}

/// Returns true if there are tickets for twice the workers, of which more memory gives no more.
fn has_tickets_enough(actors: &[Observation]) -> bool {
    let [_, stages @ .., sink] = actors else { return false };
    let workers: usize = stages.iter().map(|stage| stage.workers).sum();
    // Every mailbox has a place for each ticket.
    sink.queue_capacity > 2 * workers
}

/// Busiest actor; among equally busy ones the one with the deepest queue.
fn busiest_actor(actors: &[Observation]) -> &Observation {
    let busiest = actors.iter().map(busy_share).fold(0.0, f64::max);
    let alike = actors.iter().filter(|actor| busy_share(actor) >= busiest - ALIKE);
    alike
        .max_by(|a, b| {
            a.queue_depth.cmp(&b.queue_depth).then(busy_share(a).total_cmp(&busy_share(b)))
        })
        .expect("a busiest actor is as busy as itself, and there are two ends")
}

/// Share of all cores' time in use.
fn cpu_utilisation(actors: &[Observation], feed: &Observation, machine: &CpuUsage) -> f64 {
    let cpu = machine.cpu_seconds.unwrap_or_else(|| actors.iter().map(|a| a.busy_seconds).sum());
    share_of(cpu, machine.cores as f64 * feed.worker_seconds)
}

/// Trainer's wait and the actor that causes it.
struct LoaderDiagnosis<'a> {
    guilty: &'a Observation,
    source: &'a Observation,
    sink: &'a Observation,
    /// Share of its time that the trainer waits.
    starved: f64,
}

impl LoaderDiagnosis<'_> {
    /// Suggests another worker for the busiest actor.
    fn suggest_worker(&self) -> String {
        let guilty = self.guilty;
        let name = guilty.name;
        let busy = format_percent(busy_share(guilty));
        let waits = format_percent(self.starved);
        if [self.source.name, self.sink.name].contains(&name) {
            return format!(
                "{name} is busy {busy} of the time and has one worker for good, and the trainer waits \
                 {waits} of it: {}",
                cost_remedy(name).unwrap_or("give it less to do")
            );
        }
        let more = guilty.workers + 1;
        let or = cost_remedy(name).map_or_else(String::new, |remedy| format!(", or {remedy}"));
        format!(
            "{name} is busy {busy} of the time with {} waiting, and the trainer waits {waits} of it: \
             give it another worker (loader.workers.{} = {more}){or}",
            format_items(guilty.queue_depth),
            workers_key(name)
        )
    }

    /// Suggests more cores or less work: another worker would find no free core.
    fn suggest_cores(&self, actors: &[Observation], machine: &CpuUsage) -> String {
        let all: f64 = actors.iter().map(|actor| actor.busy_seconds).sum();
        let name = self.guilty.name;
        let dear = share_of(self.guilty.busy_seconds, all);
        let cores = if machine.cores == 1 {
            "the one core is".to_owned()
        } else {
            format!("all {} cores are", machine.cores)
        };
        format!(
            "{cores} busy, {} of the loader's time with {name}, and the trainer waits {} of the time: \
             more workers would not help, use more cores{}",
            format_percent(dear),
            format_percent(self.starved),
            cost_remedy(name).map_or_else(String::new, |remedy| format!(", or {remedy}"))
        )
    }

    /// Suggests workers, with which tickets come: no actor is busy, and memory would give no more tickets.
    fn suggest_tickets(&self) -> String {
        let Self { guilty, sink, starved, .. } = self;
        let name = guilty.name;
        format!(
            "the trainer waits {} of the time, though no stage is busy more than {} of it ({name}): the {} \
             samples under way are as many as the workers can use, whatever the memory; give {name} another \
             worker (loader.workers.{} = {}), or raise loader.prefetch if batches come unevenly",
            format_percent(*starved),
            format_percent(busy_share(guilty)),
            sink.queue_capacity,
            workers_key(name),
            guilty.workers + 1
        )
    }

    /// Suggests more memory: the trainer waits though no actor is busy, so too few samples are in
    /// flight.
    fn suggest_memory(&self) -> String {
        let Self { guilty, source, starved, .. } = self;
        let waits = share_of(source.blocked_seconds, source.worker_seconds);
        format!(
            "the trainer waits {} of the time, though no stage is busy more than {} of it ({}) and {} \
             waits {} of it for a free place: let more samples be under way, raise loader.memory_mib",
            format_percent(*starved),
            format_percent(busy_share(guilty)),
            guilty.name,
            source.name,
            format_percent(waits)
        )
    }
}

/// Remedy that makes an actor's items cheaper.
fn cost_remedy(name: &str) -> Option<&'static str> {
    name.split('+').find_map(|part| match part {
        "fetch" | "decode" => Some("ingest the cases beforehand"),
        "crop" | "augment" => Some("use a cheaper profile"),
        "collate" => Some("use a smaller crop.patch"),
        _ => None,
    })
}

/// Key of an actor's setting in `loader.workers`; fused stages use the last one's.
fn workers_key(name: &str) -> &str {
    name.rsplit('+').next().unwrap_or(name)
}

fn busy_share(actor: &Observation) -> f64 {
    share_of(actor.busy_seconds, actor.worker_seconds)
}

fn share_of(part: f64, whole: f64) -> f64 {
    if whole > 0.0 { part / whole } else { 0.0 }
}

fn format_items(count: usize) -> String {
    if count == 1 { "1 item".to_owned() } else { format!("{count} items") }
}
