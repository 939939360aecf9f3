//! Thread that a loader belongs to. Python's thread asks it for a batch and waits in short spans, between
//! which it looks for signals: the loader's own wait has no end that Ctrl-C could bring about.

use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use gliaflow::internals::base::{Fault, Fingerprint, spawn_named};
use gliaflow::internals::pipeline::Batch;
use gliaflow::internals::volume::{LabelScheme, RunChannels, label};
use gliaflow::prelude::{Failure, Loader, LoaderBuilder, LoaderPosition, StopHandle};

/// Span of a wait.
const SPAN: Duration = Duration::from_millis(50);

/// Facts of a loader that has started.
#[derive(Debug, Clone)]
pub(crate) struct LoaderFacts {
    /// Modalities and regions of the dataset.
    pub(crate) channels: RunChannels,
    /// Cases that samples are drawn from.
    pub(crate) cases: Vec<String>,
    /// Cases that were left out, with the reason.
    pub(crate) excluded: Vec<(String, String)>,
    pub(crate) samples_per_epoch: u64,
    /// Canonical labels, each with the value that the files have for it.
    pub(crate) label_values: Vec<(u8, u8)>,
}

impl LoaderFacts {
    fn of_loader(loader: &Loader) -> Self {
        let first = loader.cases().first();
        let left_out = loader.excluded_cases().iter();
        Self {
            channels: first.map_or_else(RunChannels::default, |files| files.channels),
            cases: loader.cases().iter().map(|files| files.id.as_str().to_owned()).collect(),
            excluded: left_out.map(|own| (own.case.to_string(), own.error.to_string())).collect(),
            samples_per_epoch: loader.samples_per_epoch(),
            label_values: first.map_or_else(Vec::new, |files| values_of(files.scheme)),
        }
    }

    /// Fingerprint of the cases, on which the order of samples depends.
    pub(crate) fn cases_fingerprint(&self) -> String {
        Fingerprint::of_config(&self.cases).short_hex(16)
    }
}

fn values_of(scheme: LabelScheme) -> Vec<(u8, u8)> {
    let mut values = vec![(label::BACKGROUND, 0)];
    for (_, own) in scheme.label_pairs() {
        if values.iter().all(|(known, _)| known != own) {
            values.push((*own, scheme.to_file(*own)));
        }
    }
    values.sort_unstable();
    values
}

/// Answer of the thread: its loader has started, or a batch.
enum Answer {
    Started(LoaderFacts),
    Batch(Batch),
    End,
    Failed(Failure),
}

/// Loader on a thread of its own.
pub(crate) struct LoaderThread {
    requests: Option<SyncSender<()>>,
    answers: Receiver<Answer>,
    stop: StopHandle,
    thread: Option<JoinHandle<()>>,
    /// True while an answer is on its way.
    is_asked: bool,
    /// Place behind the last batch that was taken.
    pub(crate) position: LoaderPosition,
}

/// Outcome of one span of a wait.
pub(crate) enum Waited {
    /// No answer yet.
    NotYet,
    Batch(Batch),
    End,
}

impl LoaderThread {
    /// Starts the thread, which starts the loader.
    pub(crate) fn start(builder: LoaderBuilder, position: LoaderPosition) -> Result<Self, Fault> {
        let (requests, asked) = sync_channel::<()>(1);
        let (answer, answers) = sync_channel::<Answer>(1);
        let stop = builder.stop_handle();
        let thread = spawn_named("python-loader", move || serve(builder, &asked, &answer))?;
        let (requests, thread) = (Some(requests), Some(thread));
        Ok(Self { requests, answers, stop, thread, is_asked: true, position })
    }

    /// Waits for a span that the loader has started; `None` if it has not.
    pub(crate) fn wait_for_start(&mut self) -> Result<Option<LoaderFacts>, Failure> {
        match self.answers.recv_timeout(SPAN) {
            Ok(Answer::Started(facts)) => {
                self.is_asked = false;
                Ok(Some(facts))
            }
            Ok(Answer::Failed(failure)) => Err(failure),
            Err(RecvTimeoutError::Timeout) => Ok(None),
            Ok(Answer::Batch(_) | Answer::End) | Err(RecvTimeoutError::Disconnected) => {
                Err(ended_early())
            }
        }
    }

    /// Asks for the next batch, unless it is asked for already, and waits for a span.
    pub(crate) fn wait_for_batch(&mut self) -> Result<Waited, Failure> {
        if !self.is_asked {
            let Some(requests) = &self.requests else { return Ok(Waited::End) };
            if requests.send(()).is_err() {
                return Ok(Waited::End);
            }
            self.is_asked = true;
        }
        let answer = match self.answers.recv_timeout(SPAN) {
            Ok(answer) => answer,
            Err(RecvTimeoutError::Timeout) => return Ok(Waited::NotYet),
            Err(RecvTimeoutError::Disconnected) => return Err(ended_early()),
        };
        self.is_asked = false;
        match answer {
            Answer::Batch(batch) => {
                let Batch { next_sample, number, .. } = batch;
                self.position = LoaderPosition { next_sample, next_batch: number + 1 };
                Ok(Waited::Batch(batch))
            }
            Answer::Started(_) => Ok(Waited::NotYet),
            Answer::End => Ok(Waited::End),
            Answer::Failed(failure) => Err(failure),
        }
    }

    /// Leaves the thread as it is, in a process that was forked off: its threads are not there.
    pub(crate) fn forget(self) {
        std::mem::forget(self);
    }
}

impl Drop for LoaderThread {
    fn drop(&mut self) {
        self.stop.abort_run();
        self.requests = None;
        if let Some(thread) = self.thread.take() {
            // A panic has been an answer already: its channel's end.
            let _ = thread.join();
        }
    }
}

fn ended_early() -> Failure {
    Failure::Run(Fault::Environment {
        subject: "the loader's thread".into(),
        problem: "ended without an answer".into(),
        remedy: "report it with the lines above; a new loader goes on from state_dict()".into(),
    })
}

/// Starts the loader, and answers each request with the next batch.
fn serve(builder: LoaderBuilder, requests: &Receiver<()>, answers: &SyncSender<Answer>) {
    let mut loader = match builder.start() {
        Ok(loader) => loader,
        Err(failure) => {
            // Nobody waits any more if this fails.
            let _ = answers.send(Answer::Failed(failure));
            return;
        }
    };
    let mut answer = Answer::Started(LoaderFacts::of_loader(&loader));
    while answers.send(answer).is_ok() && requests.recv().is_ok() {
        answer = match loader.next() {
            Some(Ok(batch)) => Answer::Batch(batch),
            Some(Err(failure)) => Answer::Failed(failure),
            None => Answer::End,
        };
    }
}
