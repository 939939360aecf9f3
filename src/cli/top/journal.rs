//! State and history of a run from the journal in its folder.

use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom};
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::base::{format_duration, fs};
use crate::cli::top::history::TrainingHistory;
use crate::cli::top::view::{RunProgress, RunView};
use crate::run_folder::{
    EVENTS, Event, FinishedEvent, RunSummary, SUMMARY, Timestamped, read_json, run_name,
};

/// Bytes read at a journal's end: some ten thousand steps.
const TAIL: u64 = 8 << 20;

/// State of a run as its journal has it.
#[derive(Debug, Clone, Default)]
pub(super) struct RunJournal {
    pub(super) history: TrainingHistory,
    /// The last figures.
    pub(super) progress: RunProgress,
    /// The run's end, if that is the last line.
    pub(super) end: Option<FinishedEvent>,
    last_time: f64,
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
        let Ok(Timestamped { time, event }) = serde_json::from_str(text) else { return };
        self.end = None;
        self.last_time = time;
        self.progress.step = Event::steps_done(&event).or(self.progress.step);
        match event {
            Event::Started(event) => self.progress.steps_planned = Some(event.steps),
            Event::Resumed(event) if event.steps > 0 => {
                self.progress.steps_planned = Some(event.steps);
            }
            Event::Step(record) => {
                self.history.add_loss(record.step, record.loss);
                self.progress.learning_rate = Some(record.learning_rate);
                self.progress.gradient_norm = Some(record.gradient_norm);
            }
            Event::Epoch(event) => self.progress.epoch = Some(event.epoch + 1),
            Event::Validation(event) => self.history.add_dice(event.dice.into_iter().collect()),
            Event::Finished(event) => self.end = Some(event),
            _ => {}
        }
    }

    /// Converts to a view of the run's last figures; `why` its endpoint has no newer ones.
    pub(super) fn into_view(self, folder: &Path, why: &str) -> RunView {
        let (state, notice) = match &self.end {
            Some(FinishedEvent { state, cause, .. }) => (state.clone(), cause.clone()),
            None => ("no end written".to_owned(), Some(self.missing_end_notice(why))),
        };
        RunView {
            run: run_name(folder),
            state,
            source: format!("from {EVENTS}"),
            verdicts: read_verdict(folder).into_iter().collect(),
            notice,
            progress: self.progress,
            losses: self.history.losses(),
            dice: self.history.dice_by_region(),
            ..RunView::default()
        }
    }

    fn missing_end_notice(&self, why: &str) -> String {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
        let ago = format_duration(now.as_secs_f64() - self.last_time);
        format!(
            "{why}; the journal's last line is {ago} old: if nothing is training, the process was \
             killed, and `gliaflow train --resume` goes on"
        )
    }
}

/// Bottleneck of a finished run, and the sentence about it.
fn read_verdict(folder: &Path) -> Option<(String, String)> {
    let summary: RunSummary = read_json(&folder.join(SUMMARY)).ok()??;
    let loader = summary.loader?;
    Some((loader.bottleneck.to_string(), loader.sentence))
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
        assert_eq!(past.progress.steps_planned, Some(40));
        assert_eq!(past.progress.step, Some(steps));
        assert!(past.history.losses().len() > 1000);
    }
}
