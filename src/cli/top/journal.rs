//! State and history of a run from the journal in its folder.
//!
//! Lines are parsed without the trainer's types, which are not part of every build: a field that is
//! missing is a figure that is not shown.

use std::collections::BTreeMap;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::Deserialize;

use crate::base::fs;
use crate::base::text::format_duration;
use crate::cli::top::history::TrainingHistory;
use crate::cli::top::snapshot::TopologyVerdict;
use crate::cli::top::view::{RunProgress, RunView};

const EVENTS: &str = "events.jsonl";
const SUMMARY: &str = "summary.json";

/// Bytes read at a journal's end: some ten thousand steps.
const TAIL: u64 = 8 << 20;

/// State of a run as its journal has it.
#[derive(Debug, Clone, Default)]
pub(super) struct RunJournal {
    pub(super) history: TrainingHistory,
    /// Steps that the run is to have.
    pub(super) steps_planned: Option<u64>,
    /// The run's end, if that is the last line.
    pub(super) end: Option<RunEnd>,
    last: JournalLine,
}

/// State and cause of a run's end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct RunEnd {
    /// `finished`, `stopped` or `failed`.
    pub(super) state: String,
    /// Cause of a failure.
    pub(super) cause: Option<String>,
}

/// A journal line: the fields of all events that are used here.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct JournalLine {
    time: f64,
    event: String,
    step: Option<u64>,
    steps: Option<u64>,
    epoch: Option<u64>,
    loss: Option<f64>,
    learning_rate: Option<f64>,
    gradient_norm: Option<f64>,
    dice: Option<BTreeMap<String, f64>>,
    state: Option<String>,
    cause: Option<String>,
}

impl RunJournal {
    /// Reads the journal in a run's folder.
    ///
    /// # Errors
    /// If there is none, or it cannot be read.
    pub(super) fn read(folder: &Path) -> io::Result<Self> {
        let mut file = fs::open(folder.join(EVENTS))?;
        let mut past = Self::default();
        let mut head = String::new();
        BufReader::new(&file).read_line(&mut head)?;
        past.apply_line(&head);
        let length = file.metadata()?.len();
        let start = length.saturating_sub(TAIL).max(head.len() as u64);
        file.seek(SeekFrom::Start(start))?;
        let mut bytes = Vec::new();
        file.take(TAIL).read_to_end(&mut bytes)?;
        // The first line of the piece and the last may be torn: those that do not parse are left out.
        String::from_utf8_lossy(&bytes).lines().for_each(|line| past.apply_line(line));
        Ok(past)
    }

    fn apply_line(&mut self, text: &str) {
        let Ok(line) = serde_json::from_str::<JournalLine>(text) else { return };
        self.end = None;
        match line.event.as_str() {
            "started" => self.steps_planned = line.steps,
            "step" => {
                if let (Some(step), Some(loss)) = (line.step, line.loss) {
                    self.history.add_loss(step, loss);
                }
                self.last.learning_rate = line.learning_rate;
                self.last.gradient_norm = line.gradient_norm;
            }
            "epoch" => self.last.epoch = line.epoch.map(|epoch| epoch + 1),
            "validation" => {
                self.history.add_dice(line.dice.unwrap_or_default().into_iter().collect());
            }
            "finished" => {
                let state = line.state.unwrap_or_else(|| "finished".into());
                self.end = Some(RunEnd { state, cause: line.cause });
            }
            _ => {}
        }
        self.last.step = line.step.or(self.last.step);
        self.last.time = line.time;
    }

    /// Converts to a view of the run's last figures; `why` its endpoint has no newer ones.
    pub(super) fn into_view(self, folder: &Path, why: &str) -> RunView {
        let (state, notice) = match &self.end {
            Some(RunEnd { state, cause }) => (state.clone(), cause.clone()),
            None => ("no end written".to_owned(), Some(self.missing_end_notice(why))),
        };
        RunView {
            run: folder.display().to_string(),
            state,
            source: format!("from {EVENTS}"),
            verdicts: read_verdict(folder).into_iter().collect(),
            notice,
            progress: RunProgress {
                epoch: self.last.epoch,
                step: self.last.step,
                steps_planned: self.steps_planned,
                learning_rate: self.last.learning_rate,
                gradient_norm: self.last.gradient_norm,
                ..RunProgress::default()
            },
            losses: self.history.losses(),
            dice: self.history.dice_by_region(),
            ..RunView::default()
        }
    }

    /// Notice for a journal without an end.
    fn missing_end_notice(&self, why: &str) -> String {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
        let ago = format_duration(now.as_secs_f64() - self.last.time);
        format!(
            "{why}; the journal's last line is {ago} old: if nothing is training, the process was \
             killed, and `gliaflow train --resume` goes on"
        )
    }
}

/// Bottleneck of a finished run, and the sentence about it.
fn read_verdict(folder: &Path) -> Option<(String, String)> {
    #[derive(Deserialize)]
    struct SummaryFile {
        loader: TopologyVerdict,
    }
    let text = fs::read_to_string(folder.join(SUMMARY)).ok()?;
    let SummaryFile { loader } = serde_json::from_str(&text).ok()?;
    Some((loader.bottleneck, loader.sentence))
}

#[cfg(test)]
mod tests {
    use super::*;

    const STARTED: &str = r#"{"time":1,"event":"started","step":0,"steps":40,"device":"cpu"}"#;

    fn step(number: u64) -> String {
        format!(
            r#"{{"time":{number},"event":"step","step":{number},"epoch":0,"loss":{},"learning_rate":0.001,"gradient_norm":2.5}}"#,
            1.0 / number as f64
        )
    }

    /// A folder with these lines as a journal.
    fn folder(lines: &[String]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join(EVENTS), lines.join("\n")).unwrap();
        folder
    }

    #[test]
    fn a_run_that_ended_shows_its_last_figures_and_its_cause() {
        let validation = r#"{"time":5,"event":"validation","epoch":1,"step":4,"dice":{"ET":0.5,"WT":0.75},"mean_dice":0.6}"#;
        let end = r#"{"time":6,"event":"finished","step":4,"state":"failed","cause":"disk full"}"#;
        let epoch = r#"{"time":5,"event":"epoch","epoch":0,"loss":null,"seconds":1}"#;
        let mut lines = vec![STARTED.to_owned()];
        lines.extend((1..=4).map(step));
        lines.extend([epoch, validation, end].map(String::from));
        let folder = folder(&lines);
        let loader = r#"{"loader":{"bottleneck":"trainer","sentence":"it keeps up"}}"#;
        std::fs::write(folder.path().join(SUMMARY), loader).unwrap();
        let view =
            RunJournal::read(folder.path()).unwrap().into_view(folder.path(), "nobody answers");
        assert_eq!((view.state.as_str(), view.notice.as_deref()), ("failed", Some("disk full")));
        assert_eq!((view.progress.step, view.progress.steps_planned), (Some(4), Some(40)));
        assert_eq!((view.progress.epoch, view.progress.learning_rate), (Some(1), Some(0.001)));
        assert_eq!(view.losses, [1.0, 0.5, 1.0 / 3.0, 0.25]);
        assert_eq!(view.dice, [("ET".into(), vec![0.5]), ("WT".into(), vec![0.75])]);
        assert_eq!(view.verdicts, [("trainer".into(), "it keeps up".into())]);
    }

    #[test]
    fn a_journal_that_is_torn_or_goes_on_has_no_end_and_that_is_said() {
        let end = r#"{"time":2,"event":"finished","step":1,"state":"stopped","cause":null}"#;
        let lines = [STARTED.into(), step(1), end.into(), step(2), "{\"time\":3,\"ev".into()];
        let folder = folder(&lines);
        let past = RunJournal::read(folder.path()).unwrap();
        assert_eq!(past.end, None);
        let view = past.into_view(folder.path(), "nobody answers at 127.0.0.1:1");
        assert_eq!(view.state, "no end written");
        let notice = view.notice.unwrap();
        assert!(notice.starts_with("nobody answers at 127.0.0.1:1; the journal's"), "{notice}");
        assert!(notice.contains("--resume"), "{notice}");
        assert_eq!(view.progress.step, Some(2));
        assert!(RunJournal::read(&folder.path().join("nowhere")).is_err());
    }

    #[test]
    fn of_a_long_journal_the_first_line_and_the_end_are_read() {
        let mut lines = vec![STARTED.to_owned()];
        let steps = TAIL / step(10_000).len() as u64 + 10_000;
        lines.extend((1..=steps).map(step));
        let folder = folder(&lines);
        let past = RunJournal::read(folder.path()).unwrap();
        assert_eq!(past.steps_planned, Some(40));
        assert_eq!(past.last.step, Some(steps));
        assert!(past.history.losses().len() > 1000);
    }
}
