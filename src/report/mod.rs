//! Floor 6: reports of a run from the files in its folder: curves as a picture, a page, series for
//! Prometheus. They can be made again at any time, for a run that has not ended too.

mod axis;
mod chart;
mod curves;
mod event_log;
pub mod openmetrics;
pub mod overlay;
mod page;
mod picture;
mod run_record;
mod scores;
mod settings;
mod sketch;
mod text;

use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::base::error::Fault;
use crate::report::run_record::Record;

pub use crate::report::sketch::Sketch;

/// The curves, as nnU-Net calls the file.
pub const PROGRESS: &str = "progress.png";
/// The page.
pub const PAGE: &str = "report.html";

/// Files written by [`write_report`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Written {
    /// Curves over the epochs: loss, Dice, learning rate, starvation.
    pub progress: PathBuf,
    /// Self-contained HTML page.
    pub page: PathBuf,
}

/// Writes [`PROGRESS`] and [`PAGE`] into a run's folder, from what the folder holds.
///
/// # Errors
/// If the folder holds no run, a file of it is damaged, or the disk does not take the new ones.
pub fn write(run: &Path) -> Result<Written, Fault> {
    let record = Record::read(run)?;
    let written = Written { progress: run.join(PROGRESS), page: run.join(PAGE) };
    put(&written.progress, &curves::png(&record)?)?;
    put(&written.page, page::html(&record).as_bytes())?;
    Ok(written)
}

/// Writes a file atomically: a reader sees the old file or the new one.
fn put(path: &Path, bytes: &[u8]) -> Result<(), Fault> {
    let beside = path.with_extension("tmp");
    let written = std::fs::write(&beside, bytes).and_then(|()| std::fs::rename(&beside, path));
    written.map_err(|error| Fault::io(path, &error))
}
