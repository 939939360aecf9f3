//! Floor 6: a run told after the fact, from the files in its folder: curves as a picture, everything
//! as a page, figures for Prometheus. It decides nothing and asks nobody, so it can be made again at
//! any time, for a run that has not ended too.

mod axis;
mod chart;
mod curves;
pub mod openmetrics;
pub mod overlay;
mod page;
mod picture;
mod record;
mod scores;
mod setting;
mod sketch;
mod story;
mod text;

use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::base::error::Fault;
use crate::report::record::Record;

pub use crate::report::sketch::Sketch;

/// The curves, as nnU-Net calls the file.
pub const PROGRESS: &str = "progress.png";
/// The page.
pub const PAGE: &str = "report.html";

/// What was written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Written {
    /// Curves over the epochs: loss, Dice, learning rate, starvation.
    pub progress: PathBuf,
    /// One self-contained page.
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

/// Beside first: whoever looks sees the old file or the new one.
fn put(path: &Path, bytes: &[u8]) -> Result<(), Fault> {
    let beside = path.with_extension("tmp");
    let written = std::fs::write(&beside, bytes).and_then(|()| std::fs::rename(&beside, path));
    written.map_err(|error| Fault::io(path, &error))
}
