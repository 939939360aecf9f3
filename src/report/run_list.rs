//! The runs in a folder, one line each: state, steps, best Dice, times. Journals of weeks are scanned for
//! what is not a step, and none is held in memory.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use serde::Serialize;

use crate::base::fs;
use crate::run_folder::{
    CONFIG, ENDPOINT, EVENTS, EvaluationScores, Event, SUMMARY, Timestamped, VALIDATION, read_json,
    run_name,
};
use crate::telemetry::Endpoint;

/// Depth of folders below the one that is searched.
const DEPTH: usize = 4;
/// Bytes at a line's beginning that name its event.
const TAG: usize = 96;
/// Seconds without a sign of life after which a run of another machine counts as gone.
const SILENCE: f64 = 900.0;

/// Run in a list.
#[derive(Debug, Clone, Default, Serialize)]
pub struct ListedRun {
    /// Folder of the run.
    pub folder: PathBuf,
    /// Name of the run.
    pub name: String,
    /// `training`, `finished`, `stopped`, `failed`, or `no end written` of a process that was killed.
    pub state: String,
    /// Cause of a failure.
    pub cause: Option<String>,
    /// Network.
    pub network: Option<String>,
    /// Device of the last process.
    pub device: Option<String>,
    /// Steps done.
    pub steps: u64,
    /// Steps planned.
    pub planned_steps: Option<u64>,
    /// Best mean Dice of all validations.
    pub best_dice: Option<f64>,
    /// Epochs done at the best validation.
    pub best_epoch: Option<u64>,
    /// Mean Dice by region, of the scores of the held-out cases or of the last validation.
    pub dice: BTreeMap<String, f64>,
    /// Time of the first event, in seconds since the Unix epoch.
    pub began: Option<f64>,
    /// Time of the last event.
    pub last_sign_of_life: Option<f64>,
    /// Wall seconds of all its processes.
    pub wall_seconds: f64,
    /// Processes so far.
    pub processes: u64,
}

/// Finds the runs in `folder` and below it, by their folders.
pub fn find_runs(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    collect_runs(folder, DEPTH, &mut found);
    found.sort();
    found
}

fn collect_runs(folder: &Path, depth: usize, into: &mut Vec<PathBuf>) {
    if folder.join(EVENTS).is_file() && folder.join(CONFIG).is_file() {
        return into.push(folder.to_path_buf());
    }
    if depth == 0 {
        return;
    }
    // A folder that may not be read has no runs to show.
    for path in fs::list_dir(folder).unwrap_or_default() {
        if path.is_dir() && !path.is_symlink() {
            collect_runs(&path, depth - 1, into);
        }
    }
}

impl ListedRun {
    /// Reads the run in `folder`; what is missing or damaged is left out.
    pub fn read(folder: &Path) -> Self {
        let config = fs::read_to_string(folder.join(CONFIG)).unwrap_or_default();
        let settings: toml::Table = toml::from_str(&config).unwrap_or_default();
        let network = settings.get("model").and_then(|model| model.get("name"));
        let mut run = Self {
            folder: folder.to_path_buf(),
            name: run_name(folder),
            network: network.and_then(toml::Value::as_str).map(str::to_owned),
            ..Self::default()
        };
        // As for the other files: a run without a journal has taken no step.
        let _ = run.read_journal(folder);
        let scores: Option<EvaluationScores> =
            read_json(&folder.join(VALIDATION).join(SUMMARY)).ok().flatten();
        if let Some(scores) = scores {
            let regions = scores.network.summary_by_region().iter();
            run.dice = regions.map(|(name, scored)| (name.to_owned(), scored.dice.mean)).collect();
        }
        if run.state.is_empty() {
            run.state = if run.seems_alive() { "training" } else { "no end written" }.to_owned();
        }
        run
    }

    fn read_journal(&mut self, folder: &Path) -> std::io::Result<()> {
        let mut lines = BufReader::with_capacity(1 << 18, fs::open(folder.join(EVENTS))?);
        let [mut line, mut last_step, mut before] = [const { Vec::new() }; 3];
        let mut since = None;
        while lines.read_until(b'\n', &mut line)? > 0 && line.ends_with(b"\n") {
            let head = &line[..line.len().min(TAG)];
            if contains_bytes(head, b"\"event\":\"step\"") {
                std::mem::swap(&mut line, &mut last_step);
                before.clone_from(&last_step);
                line.clear();
                continue;
            }
            if let Ok(Timestamped { time, event }) = serde_json::from_slice(&line) {
                if matches!(event, Event::Started(_) | Event::Resumed(_)) {
                    self.end_process(since, &before);
                    (since, self.processes) = (Some(time), self.processes + 1);
                }
                self.began = self.began.or(Some(time));
                self.add_event(event);
            }
            before.clone_from(&line);
            line.clear();
        }
        if let Ok(Timestamped { event, .. }) =
            serde_json::from_slice::<Timestamped<Event>>(&last_step)
        {
            self.steps = self.steps.max(event.steps_done().unwrap_or_default());
        }
        self.end_process(since, &before);
        self.last_sign_of_life = time_of(&before);
        if before == last_step {
            self.state.clear();
        }
        Ok(())
    }

    /// Adds the wall time of a process, from its first line to its last.
    fn end_process(&mut self, since: Option<f64>, last_line: &[u8]) {
        if let (Some(since), Some(until)) = (since, time_of(last_line)) {
            self.wall_seconds += (until - since).max(0.0);
        }
    }

    fn add_event(&mut self, event: Event) {
        self.state.clear();
        self.steps = event.steps_done().unwrap_or_default().max(self.steps);
        match event {
            Event::Started(event) => {
                (self.planned_steps, self.device) = (Some(event.steps), Some(event.device));
            }
            Event::Resumed(event) => {
                self.steps = event.step;
                self.planned_steps = Some(event.steps).filter(|steps| *steps > 0);
                self.device = Some(event.device);
            }
            Event::Validation(event) => {
                if event.best {
                    (self.best_dice, self.best_epoch) = (Some(event.mean_dice), Some(event.epoch));
                }
                self.dice = event.dice;
            }
            Event::Finished(event) => (self.state, self.cause) = (event.state, event.cause),
            _ => {}
        }
    }

    /// Returns true if the process that began the run last seems to run still.
    fn seems_alive(&self) -> bool {
        let endpoint: Option<Endpoint> = read_json(&self.folder.join(ENDPOINT)).ok().flatten();
        let Some(endpoint) = endpoint else { return false };
        if endpoint.is_remote() {
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            return self.last_sign_of_life.is_some_and(|at| now.as_secs_f64() - at < SILENCE);
        }
        let name = fs::read_to_string(format!("/proc/{}/comm", endpoint.process));
        name.is_ok_and(|name| name.trim() == "gliaflow")
    }
}

fn time_of(line: &[u8]) -> Option<f64> {
    serde_json::from_slice::<Timestamped<Event>>(line).ok().map(|at| at.time)
}

fn contains_bytes(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window == part)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write_run(folder: &Path, journal: &str) {
        fs::create_dir_all(folder).unwrap();
        fs::write(folder.join(CONFIG), "[model]\nname = \"unet\"\n").unwrap();
        fs::write(folder.join(EVENTS), journal).unwrap();
    }

    const TWO_PROCESSES: &str = r#"{"time":100.0,"event":"started","step":0,"steps":8,"device":"cpu"}
{"time":110.0,"event":"step","step":1,"loss":1.5}
{"time":111.0,"event":"validation","epoch":1,"step":1,"mean_dice":0.5,"dice":{"core":0.5},"best":true}
{"time":112.0,"event":"finished","step":1,"state":"stopped"}
{"time":500.0,"event":"resumed","step":1,"steps":10,"device":"cuda"}
{"time":507.0,"event":"step","step":2,"loss":1.25}
"#;

    #[test]
    fn runs_are_found_below_a_folder_and_their_time_is_that_of_their_processes() {
        let root = tempfile::tempdir().unwrap();
        write_run(&root.path().join("demo/runs/unet-001"), TWO_PROCESSES);
        let end = "{\"time\":508.0,\"event\":\"finished\",\"step\":2,\"state\":\"failed\",\"cause\":\"disk\"}\n";
        write_run(&root.path().join("unet-002"), &format!("{TWO_PROCESSES}{end}"));
        fs::create_dir_all(root.path().join("empty")).unwrap();
        let found = find_runs(root.path());
        let runs: Vec<ListedRun> = found.iter().map(|folder| ListedRun::read(folder)).collect();
        let names: Vec<&str> = runs.iter().map(|run| run.name.as_str()).collect();
        assert_eq!(names, ["unet-001", "unet-002"]);
        let one = &runs[0];
        assert_eq!((one.state.as_str(), one.network.as_deref()), ("no end written", Some("unet")));
        assert_eq!((one.steps, one.planned_steps, one.processes), (2, Some(10), 2));
        assert_eq!((one.best_dice, one.best_epoch, one.dice["core"]), (Some(0.5), Some(1), 0.5));
        assert_eq!((one.wall_seconds, one.last_sign_of_life), (12.0 + 7.0, Some(507.0)));
        assert_eq!((runs[1].state.as_str(), runs[1].cause.as_deref()), ("failed", Some("disk")));
        assert_eq!((runs[1].wall_seconds, runs[1].steps), (12.0 + 8.0, 2));
    }
}
