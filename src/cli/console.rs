//! The two streams: results on stdout, everything else on stderr.

use std::io::{IsTerminal, Write};
use std::process::ExitCode;
use std::sync::Arc;

use tracing_subscriber::EnvFilter;

use crate::base::Progress;
use crate::cli::progress::{ProgressBars, ProgressLog};
use crate::cli::report::CommandOutput;
use crate::run::Failure;
use crate::telemetry::backend_log;

/// Output streams of a verb.
pub(super) struct Console {
    json: bool,
    bars: ProgressBars,
}

impl Console {
    pub(super) fn new(json: bool) -> Self {
        Self { json, bars: ProgressBars::default() }
    }

    /// Progress bars on a terminal, plain lines elsewhere.
    pub(super) fn progress_display(&self) -> Arc<dyn Progress> {
        if std::io::stderr().is_terminal() {
            Arc::new(self.bars.clone())
        } else {
            Arc::new(ProgressLog)
        }
    }

    /// Logs to stderr, above the bars; `filter` is a level or a tracing filter.
    pub(super) fn log_to_stderr(&self, filter: &str) {
        let filter = EnvFilter::try_new(filter).unwrap_or_else(|_| EnvFilter::new("warn"));
        let bars = self.bars.clone();
        let started = tracing_subscriber::fmt()
            .with_env_filter(filter)
            .with_target(false)
            .with_ansi(std::io::stderr().is_terminal())
            .without_time()
            .with_writer(move || bars.line_writer())
            .try_init();
        // Only a second call in one process fails, and then the first logger serves both.
        drop(started);
        let bars = self.bars.clone();
        backend_log::install_logger(move |line| {
            // As in `say`.
            let _ = writeln!(bars.line_writer(), "{line}");
        });
    }

    /// Prints a line to stderr, above the bars.
    pub(super) fn print_status(&self, line: &str) {
        // A closed stderr must not end a training run.
        let _ = writeln!(self.bars.line_writer(), "{line}");
    }

    /// Returns true if stdout is for one JSON document.
    pub(super) const fn is_json(&self) -> bool {
        self.json
    }

    /// Prints the report, if it says anything; the exit code says whether all data was good.
    pub(super) fn print_output(&self, report: &CommandOutput) -> ExitCode {
        let mut out = std::io::stdout().lock();
        let printed = if self.json {
            serde_json::to_writer_pretty(&mut out, &report.json)
                .map_err(std::io::Error::from)
                .and_then(|()| writeln!(out))
        } else if report.text.is_empty() {
            Ok(())
        } else {
            writeln!(out, "{}", report.text.trim_end())
        };
        match printed {
            // A closed pipe is no failure: `gliaflow … | head`.
            Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
            Err(_) => ExitCode::FAILURE,
            Ok(()) => ExitCode::from(report.exit_code),
        }
    }

    /// Prints the failure; with `--json` as a document, so that a script has one to read.
    pub(super) fn print_failure(&self, failure: &Failure) -> ExitCode {
        self.print_status(&format!("gliaflow: {failure}"));
        if self.json {
            let document = serde_json::json!({
                "error": failure.to_string(),
                "exit_code": failure.exit_code(),
            });
            // As above: nothing is left to do when stdout is closed.
            let _ = writeln!(std::io::stdout(), "{document:#}");
        }
        ExitCode::from(failure.exit_code())
    }
}
