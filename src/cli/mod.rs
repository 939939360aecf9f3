//! Floor 12: the verbs of the command line. Each is a file: its arguments, and a function from them
//! to its output.

mod cache;
mod completions;
mod console;
mod dashboards;
mod doctor;
mod drain;
mod ingest;
mod inspect;
mod loader;
mod metrics;
mod phantom;
mod progress;
mod report;
mod reporting;
mod runs;
mod score;
mod sequence;
mod session;
mod thresholds;
mod top;
mod tune;

use std::process::ExitCode;

use cfg_if::cfg_if;
use clap::{Parser, Subcommand};

use self::console::Console;
use self::loader::{LoaderOptions, parse_workers};
use self::report::CommandOutput;
use self::session::{ActiveSession, SessionOptions};
use self::thresholds::{ThresholdOptions, as_options};
use crate::base::{Fault, keep_freed_memory, raise_open_file_limit};
use crate::run::Failure;
use crate::telemetry::backend_log;

// What needs networks.
cfg_if! {
    if #[cfg(feature = "train")] {
        mod bench_convolution;
        mod bench_step;
        mod check_device;
        mod config;
        mod demo;
        mod evaluate;
        mod experiment;
        mod export;
        mod label;
        mod predict;
        mod predictors;
        mod replay;
        mod run_label;
        mod study_jobs;
        mod study_plan;
        mod study_steps;
        mod tables;
        mod train;

        use self::predictors::{PredictorOptions, ThresholdSource};
    }
}

const EXIT_CODES: &str = "\
Exit codes: 0 done, 1 the run failed, 2 usage or configuration, 3 bad data, 4 the device asked for \
is not there, 75 stopped on request after a checkpoint, 130 stopped at once.";

/// Feeds and trains 3D brain tumour segmentation networks.
#[derive(Debug, Parser)]
#[command(name = "gliaflow", version, about, after_help = EXIT_CODES, arg_required_else_help = true)]
struct CommandLine {
    /// Print one JSON document on stdout; everything else goes to stderr.
    #[arg(long, global = true)]
    json: bool,

    /// Level to log to stderr: error, warn, info, debug, or a filter such as gliaflow=debug.
    #[arg(long, global = true, default_value = "warn", value_name = "LEVEL")]
    log: String,

    #[command(subcommand)]
    verb: Verb,
}

type VerbResult = Result<CommandOutput, Failure>;

/// Defines the enum of the verbs, each a variant with its arguments, and the call of the verb.
macro_rules! verbs {
    ($($(#[$only:meta])? $verb:ident($module:ident::$arguments:ident),)*) => {
        #[derive(Debug, Subcommand)]
        enum Verb {
            $($(#[$only])? $verb($module::$arguments),)*
        }

        impl Verb {
            fn run(self, console: &Console) -> VerbResult {
                match self {
                    $($(#[$only])? Self::$verb(verb) => verb.run(console),)*
                }
            }
        }
    };
}

verbs! {
    #[cfg(feature = "train")] Demo(demo::Demo),
    Phantom(phantom::PhantomCommand),
    Inspect(inspect::Inspect),
    Ingest(ingest::Ingest),
    Doctor(doctor::Doctor),
    Drain(drain::Drain),
    Tune(tune::Tune),
    Cache(cache::Cache),
    #[cfg(feature = "train")] Train(train::Train),
    #[cfg(feature = "train")] Evaluate(evaluate::Evaluate),
    #[cfg(feature = "train")] Experiment(experiment::Experiment),
    #[cfg(feature = "train")] Predict(predict::Predict),
    #[cfg(feature = "train")] Label(label::Label),
    Top(top::Top),
    Runs(runs::Runs),
    Score(score::Score),
    Report(reporting::Reporting),
    Metrics(metrics::Metrics),
    Dashboards(dashboards::Dashboards),
    #[cfg(feature = "train")] Replay(replay::Replay),
    #[cfg(feature = "train")] Export(export::Export),
    #[cfg(feature = "train")] Config(config::Config),
    #[cfg(feature = "train")] CheckDevice(check_device::CheckDevice),
    #[cfg(feature = "train")] BenchStep(bench_step::BenchStep),
    #[cfg(feature = "train")] BenchConvolution(bench_convolution::BenchConvolution),
    Sequence(sequence::SequenceCommand),
    Completions(completions::Completions),
    Man(completions::Man),
}

/// Parses the command line, runs the verb, maps its outcome to an exit code.
pub fn main() -> ExitCode {
    keep_freed_memory();
    let line = CommandLine::parse();
    raise_open_file_limit();
    let console = Console::new(line.json);
    console.log_to_stderr(&line.log);
    match line.verb.run(&console) {
        Ok(report) => console.print_output(&fail_on_kernel_fault(
            report,
            backend_log::check_kernels(),
            &console,
        )),
        Err(failure) => console.print_failure(&failure),
    }
}

/// The report with exit code 1, and word of why, if kernels did not run under the verb that made it.
/// The figures are kept: they say what was measured with what is broken.
fn fail_on_kernel_fault(
    report: CommandOutput,
    verdict: Result<(), Fault>,
    console: &Console,
) -> CommandOutput {
    match verdict {
        Ok(()) => report,
        Err(fault) => {
            console.print_status(&format!("gliaflow: {fault}"));
            report.with_failure(true)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn a_verb_under_which_kernels_did_not_run_keeps_its_figures_and_fails() {
        let console = Console::new(true);
        let report = || CommandOutput::new(&serde_json::json!({ "seconds": 2 }), "2 s");
        assert_eq!(fail_on_kernel_fault(report(), Ok(()), &console).exit_code, 0);
        let fault = Fault::Lost { ordinal: 1, stage: "device" };
        let judged = fail_on_kernel_fault(report(), Err(fault), &console);
        assert_eq!((judged.exit_code, &judged.json["seconds"]), (1, &2.into()));
    }

    #[test]
    fn every_verb_has_help_with_an_example() {
        CommandLine::command().debug_assert();
        for verb in CommandLine::command().get_subcommands() {
            let help = verb.get_after_help().map(ToString::to_string).unwrap_or_default();
            assert!(help.contains("Example"), "`{}` shows no example", verb.get_name());
            assert!(help.contains("gliaflow "), "`{}` shows no command", verb.get_name());
        }
    }
}
