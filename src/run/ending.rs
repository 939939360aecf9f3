//! End of a run: the last event of its journal, and its report. A process killed between the summary
//! and these leaves a run that has ended and does not say so; the next start makes up for it.

use std::path::Path;

use crate::base::{Fault, fs};
use crate::report;
use crate::run::Failure;
use crate::run::context::RunContext;
use crate::run_folder::{
    Event, EventLog, FinishedEvent, Journal, RunDirectory, RunSummary, SUMMARY, read_json,
};
use crate::train::checkpoint;

/// State of a run that took all its steps.
const FINISHED: &str = "finished";

/// Records in the journal how a run ended, and writes its report.
///
/// # Errors
/// If the disk does not take the event.
pub(super) fn record_end(
    context: &RunContext<'_>,
    outcome: &Result<RunSummary, Failure>,
) -> Result<(), Fault> {
    let (state, cause) = match outcome {
        Ok(_) => (FINISHED.to_owned(), None),
        Err(Failure::Stopped(_) | Failure::Aborted) => ("stopped".to_owned(), None),
        Err(failure) => ("failed".to_owned(), Some(failure.to_string())),
    };
    let step = outcome.as_ref().map_or_else(|_| context.journal.last_step(), |done| done.steps);
    let end = Event::Finished(FinishedEvent { step, state, cause });
    let written = context.journal.write_event(&end).and_then(|()| context.journal.sync_position());
    if !matches!(outcome, Err(Failure::Aborted)) {
        write_report(context.directory.path());
    }
    written.map(drop)
}

/// Removes the report of a run that goes on: one that is there beside a summary is complete. A failure
/// of it fails no run.
pub(super) fn remove_earlier_report(run: &Path) {
    if let Err(error) = fs::if_present(fs::remove_file(run.join(report::PAGE))) {
        tracing::warn!("the earlier report stays: {error}");
    }
}

/// Completes what the end of a run leaves behind, and returns its summary; `None` if it has not
/// ended or lacks nothing.
///
/// # Errors
/// If another process has the run, or the disk does not take the files.
pub fn complete_ended_run(directory: &RunDirectory) -> Result<Option<RunSummary>, Fault> {
    let run = directory.path();
    let Some(summary) = read_json::<RunSummary>(&run.join(SUMMARY))? else { return Ok(None) };
    checkpoint::remove_scored_cases(run)?;
    let end = EventLog::read_from(run)?.finished;
    let is_told = end.is_some_and(|end| end.event.state == FINISHED);
    if is_told && run.join(report::PAGE).is_file() {
        return Ok(None);
    }
    if !is_told {
        let state = FINISHED.to_owned();
        let journal = Journal::reopen(run)?;
        let end = FinishedEvent { step: summary.steps, state, cause: None };
        journal.write_event(&Event::Finished(end))?;
        journal.sync_position()?;
    }
    write_report(run);
    Ok(Some(summary))
}

/// Writes the report; a failure of it fails no run.
fn write_report(run: &Path) {
    if let Err(fault) = report::write_report(run) {
        tracing::warn!("no report: {fault}; try `gliaflow report {}`", run.display());
    }
}
