//! The two streams: results on stdout, everything else on stderr. Names come from files and folders
//! that others made, so no control character goes out on either.

use std::fmt::Write as _;
use std::io::{IsTerminal, Write};
use std::process::ExitCode;
use std::sync::Arc;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::field::MakeExt;
use tracing_subscriber::fmt::format;

use crate::base::{Progress, without_control_characters};
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
            .fmt_fields(harmless_fields())
            .with_writer(move || bars.line_writer())
            .try_init();
        // Only a second call in one process fails, and then the first logger serves both.
        drop(started);
        let bars = self.bars.clone();
        backend_log::install_logger(move |line| {
            // As in `print_status`.
            let _ = writeln!(bars.line_writer(), "{}", without_control_characters(line));
        });
    }

    /// Prints a line to stderr, above the bars.
    pub(super) fn print_status(&self, line: &str) {
        // A closed stderr must not end a training run.
        let _ = writeln!(self.bars.line_writer(), "{}", without_control_characters(line));
    }

    /// Prints a finding as soon as it is known: a result, on stdout; with `--json`, which has stdout for
    /// one document, on stderr.
    pub(super) fn print_finding(&self, line: &str) {
        if self.json {
            return self.print_status(line);
        }
        // A closed pipe must not end what is being examined.
        let _ = writeln!(std::io::stdout(), "{}", without_control_characters(line));
    }

    /// Returns true if stdout is for one JSON document.
    pub(super) const fn is_json(&self) -> bool {
        self.json
    }

    /// Prints the report, if it says anything; the exit code says whether all data was good.
    pub(super) fn print_output(&self, report: &CommandOutput) -> ExitCode {
        let mut out = std::io::stdout().lock();
        let printed = if self.json {
            writeln!(out, "{}", harmless_json(&report.json))
        } else if report.text.is_empty() {
            Ok(())
        } else {
            writeln!(out, "{}", without_control_characters(report.text.trim_end()))
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
            let _ = writeln!(std::io::stdout(), "{}", harmless_json(&document));
        }
        ExitCode::from(failure.exit_code())
    }
}

/// Formats the fields of a log line: its words, and the others as `name=value`.
fn harmless_fields() -> impl for<'writer> format::FormatFields<'writer> + Send + Sync + 'static {
    let written = |writer: &mut format::Writer<'_>,
                   field: &tracing::field::Field,
                   value: &dyn std::fmt::Debug| {
        let text = format!("{value:?}");
        let text = without_control_characters(&text);
        match field.name() {
            "message" => write!(writer, "{text}"),
            name => write!(writer, "{name}={text}"),
        }
    };
    format::debug_fn(written).delimited(" ")
}

/// Renders a document with every control character of its strings escaped. JSON escapes those below
/// space only, and terminals take orders from others too.
fn harmless_json(document: &serde_json::Value) -> String {
    let text = format!("{document:#}");
    let is_left = |letter: char| letter.is_control() && letter != '\n';
    if !text.contains(is_left) {
        return text;
    }
    let mut escaped = String::with_capacity(text.len());
    for letter in text.chars() {
        match is_left(letter) {
            // Writing to a string cannot fail.
            true => drop(write!(escaped, "\\u{:04x}", letter as u32)),
            false => escaped.push(letter),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_is_the_same_without_a_control_character() {
        let name = "a\u{1b}[2J\u{7f}\u{9b}31m\u{85}\n\té";
        let document = serde_json::json!({ name: [name, { "é": 1.5 }] });
        let text = harmless_json(&document);
        assert!(!text.contains(|letter: char| letter.is_control() && letter != '\n'), "{text:?}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&text).unwrap(), document);
        let plain = serde_json::json!({ "é": ["b", 2] });
        assert_eq!(harmless_json(&plain), format!("{plain:#}"));
    }
}
