//! `sequence`: several command lines in one process.
//!
//! A GPU's kernels are loaded in every process anew, and compiled and tuned where none are kept (docs/adr/006), which
//! may take minutes. So whoever measures several things hands them to one process, one line of
//! standard input at a time, and reads one line of standard output for each; `scripts/gpu-check` does. A
//! line that fails leaves the process as it is. What ends a process (an abort in a driver, a hang) ends
//! this one too: the caller's limits and a new process are the answer to that.

use std::io::{self, BufRead, Write};
use std::panic::{self, AssertUnwindSafe};
use std::path::{Path, PathBuf};
use std::time::Instant;

use clap::Parser;
use serde::{Deserialize, Serialize};

use crate::base::{Fault, fs};
use crate::cli::{CommandLine, CommandOutput, Console, Verb, VerbResult, fail_on_kernel_fault};
use crate::run::Failure;
use crate::telemetry::backend_log;

/// Run command lines from standard input, one after another, in one process
#[derive(Debug, clap::Args)]
#[command(after_help = "\
A line of standard input is a JSON document: `words`, the command line without the program's name, and \
`report`, the file that what `--json` prints is written to. A line of standard output answers each: \
`exit_code` and `seconds`.

Examples:
  echo '{\"words\": [\"bench-step\", \"--model\", \"unet\", \"--patch\", \"64\"], \"report\": \"a.json\"}' |
    gliaflow sequence")]
pub(super) struct SequenceCommand {}

/// Command line of a sequence.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Command {
    words: Vec<String>,
    report: PathBuf,
}

/// Outcome of a command line.
#[derive(Debug, Serialize)]
struct Answer {
    exit_code: u8,
    seconds: f64,
}

impl SequenceCommand {
    pub(super) fn run(self, console: &Console) -> VerbResult {
        for line in io::stdin().lock().lines() {
            let line = line.map_err(|error| Fault::Environment {
                subject: "standard input".into(),
                problem: error.to_string(),
                remedy: "write one JSON document a line".into(),
            })?;
            if line.trim().is_empty() {
                continue;
            }
            let command: Command = serde_json::from_str(&line).map_err(|error| {
                Failure::Usage(format!(
                    "`{line}` is no command: {error}; write {{\"words\": […], \"report\": \"FILE\"}}"
                ))
            })?;
            let answer = command.run(console)?;
            let answer = serde_json::to_string(&answer).expect("answers serialise to JSON");
            let mut out = io::stdout().lock();
            // Nobody reads any more: then nobody sends another line either.
            if writeln!(out, "{answer}").and_then(|()| out.flush()).is_err() {
                break;
            }
        }
        Ok(CommandOutput::new(&serde_json::Value::Null, ""))
    }
}

impl Command {
    fn run(&self, console: &Console) -> Result<Answer, Fault> {
        let clock = Instant::now();
        // A verb that panics has told of it on stderr; what it left half done is its own.
        let outcome = panic::catch_unwind(AssertUnwindSafe(|| self.outcome(console)));
        let outcome = outcome.unwrap_or_else(|_| Err((1, "it panicked, see the log".into())));
        let (exit_code, document) = match outcome {
            Ok(report) => (report.exit_code, report.json),
            Err((exit_code, error)) => {
                console.print_status(&format!("gliaflow: {error}"));
                (exit_code, serde_json::json!({ "error": error, "exit_code": exit_code }))
            }
        };
        write(&self.report, &document)?;
        Ok(Answer { exit_code, seconds: clock.elapsed().as_secs_f64() })
    }

    /// The verb's report, or its exit code and the reason.
    fn outcome(&self, console: &Console) -> Result<CommandOutput, (u8, String)> {
        let words = std::iter::once("gliaflow".to_string()).chain(self.words.iter().cloned());
        let line = CommandLine::try_parse_from(words).map_err(|error| (2, error.to_string()))?;
        if matches!(line.verb, Verb::Sequence(_)) {
            return Err((
                2,
                "a sequence in a sequence has no standard input; write its lines".into(),
            ));
        }
        let report = line.verb.run(console);
        let report = report.map_err(|failure| (failure.exit_code(), failure.to_string()))?;
        Ok(fail_on_kernel_fault(report, backend_log::check_kernels(), console))
    }
}

fn write(path: &Path, document: &serde_json::Value) -> Result<(), Fault> {
    fs::write(path, format!("{document:#}\n")).map_err(|error| Fault::Environment {
        subject: path.display().to_string(),
        problem: error.cause.to_string(),
        remedy: "name a file in a folder that is there and may be written to".into(),
    })
}
