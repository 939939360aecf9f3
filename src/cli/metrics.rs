//! `metrics`: export of a run's metric series for Prometheus.

use std::io::{BufWriter, ErrorKind};
use std::path::{Path, PathBuf};

use crate::base::Fault;
use crate::base::fs::{self, AtPath};
use crate::cli::{CommandOutput, Console, VerbResult};
use crate::report::openmetrics::{MetricHistory, OpenMetricsSummary};
use crate::run::Failure;

/// Write a run's figures over time as Prometheus would have recorded them
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example:
  gliaflow metrics runs/unet-001 --out run.om
  promtool tsdb create-blocks-from openmetrics run.om data

For a run that no server scraped. It has what the journal tells: losses, Dice, learning rate, waits, but \
nothing of the loader's stages.")]
pub(super) struct Metrics {
    /// The run's folder
    #[arg(value_name = "RUN")]
    run: PathBuf,

    /// Write OpenMetrics text: the one format there is, and what is written without this too
    #[arg(long, hide = true)]
    openmetrics: bool,

    /// Seconds between two samples of a series
    #[arg(long, value_name = "SECONDS", default_value_t = 5.0)]
    interval: f64,

    /// File to write [default: stdout]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

impl Metrics {
    pub(super) fn run(self, console: &Console) -> VerbResult {
        if !(self.interval.is_finite() && self.interval >= 0.001) {
            return Err(Failure::Usage(format!(
                "--interval {}: is no time between samples; write at least 0.001",
                self.interval
            )));
        }
        // The one format: the option says what holds without it.
        let Self { openmetrics: _, .. } = self;
        let history = MetricHistory::read(&self.run)?;
        let Some(out) = &self.out else {
            if console.is_json() {
                return Err(Failure::Usage(
                    "--json: stdout is taken; name a file with --out".into(),
                ));
            }
            return to_stdout(&history, self.interval);
        };
        let written = to_file(&history, self.interval, out)?;
        let text =
            format!("{}: {} samples of {} series", out.display(), written.samples, written.series);
        Ok(CommandOutput::new(&written, text))
    }
}

fn to_file(
    history: &MetricHistory,
    interval: f64,
    path: &Path,
) -> Result<OpenMetricsSummary, Fault> {
    Ok(history.write_text(interval, BufWriter::new(fs::create(path)?)).at_path(path)?)
}

/// Writes the text to stdout, in place of a report.
fn to_stdout(history: &MetricHistory, interval: f64) -> VerbResult {
    match history.write_text(interval, BufWriter::new(std::io::stdout().lock())) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(Fault::from_io(Path::new("stdout"), &error).into())
        }
        _ => Ok(CommandOutput::new(&serde_json::Value::Null, "")),
    }
}
