//! Floor 9: reports of a run from the files in its folder: curves as a picture, a page, series for
//! Prometheus. They can be made again at any time, for a run that has not ended too.

mod axis;
mod chart;
mod comparison;
mod curves;
mod live_history;
pub mod openmetrics;
pub mod overlay;
mod page;
mod picture;
mod progress_png;
mod region_style;
mod run_list;
mod run_record;
mod scores;
mod settings;
mod sketch;

use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::base::{Fault, write_atomically};
use crate::report::run_record::RunRecord;

pub use crate::report::comparison::{RunComparison, compare_runs, write_comparison};
pub use crate::report::live_history::live_history;
pub use crate::report::run_list::{ListedRun, find_runs};
pub use crate::report::sketch::Sketch;

/// The curves, as nnU-Net calls the file.
pub const PROGRESS: &str = "progress.png";
/// The page.
pub const PAGE: &str = "report.html";

/// Files written by [`write_report`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ReportFiles {
    /// Curves over the epochs: loss, Dice, learning rate, starvation.
    pub progress: PathBuf,
    /// Self-contained HTML page.
    pub page: PathBuf,
}

/// Writes [`PROGRESS`] into the folder of a run that goes on.
///
/// # Errors
/// As [`write_report`].
pub fn write_progress_picture(run: &Path) -> Result<(), Fault> {
    let record = RunRecord::read(run)?;
    write_atomically(&run.join(PROGRESS), &progress_png::progress_png(&record)?)
}

/// Writes [`PROGRESS`] and [`PAGE`] into a run's folder, from what the folder holds.
///
/// # Errors
/// If the folder holds no run, a file of it is damaged, or the disk does not take the new ones.
pub fn write_report(run: &Path) -> Result<ReportFiles, Fault> {
    let record = RunRecord::read(run)?;
    let written = ReportFiles { progress: run.join(PROGRESS), page: run.join(PAGE) };
    write_atomically(&written.progress, &progress_png::progress_png(&record)?)?;
    write_atomically(&written.page, page::render_page(&record).as_bytes())?;
    Ok(written)
}
