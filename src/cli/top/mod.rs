//! `top`: a run in a terminal, from its endpoint or from its folder. It only reads, so leaving it
//! does not affect the run.

mod draw;
#[cfg(test)]
mod draw_tests;
mod format;
mod history;
mod http;
mod journal;
mod poller;
mod rates;
mod screen;
mod snapshot;
mod target;
#[cfg(test)]
mod test_recordings;
mod view;

use std::io::IsTerminal;
use std::path::Path;
use std::time::Duration;

use crate::base::Fault;
use crate::cli::{CommandOutput, Console};
use crate::run::Failure;
use crate::telemetry::MetricsAddress;

use self::poller::Poller;
use self::target::{RunSource, WatchTarget};
use self::view::RunView;

/// Columns of a frame if stdout is no terminal.
const WIDTH: usize = 100;
const SHORTEST_INTERVAL: f64 = 0.1;

/// Watch a run in a terminal: stages, queues, losses, Dice, time left, and what holds it back
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  gliaflow top runs/unet-001
  gliaflow top 127.0.0.1:9185
  gliaflow top runs/unet-001 --once

q, Esc and Ctrl-C leave the view; the run goes on. Of a run that has ended, its last figures are \
printed.")]
pub(super) struct Top {
    /// The run's folder, or the address that it printed
    #[arg(value_name = "RUN_OR_URL", default_value_t = MetricsAddress::default().to_string())]
    target: String,

    /// Print one frame as plain text and leave, for scripts and pipes; --json implies it
    #[arg(long)]
    once: bool,

    /// Seconds between two looks
    #[arg(long, value_name = "SECONDS", default_value_t = 1.0)]
    interval: f64,
}

impl Top {
    pub(super) fn run(self, console: &Console) -> Result<CommandOutput, Failure> {
        if !(SHORTEST_INTERVAL..=3600.0).contains(&self.interval) {
            return Err(Failure::Usage(format!(
                "--interval {}: give at least {SHORTEST_INTERVAL} s and at most an hour",
                self.interval
            )));
        }
        let once = self.once || console.is_json();
        if !once && !std::io::stdout().is_terminal() {
            return Err(Failure::Usage("stdout is no terminal; --once prints one frame".into()));
        }
        let target = WatchTarget::from_argument(&self.target)?;
        let folder = target.run_folder().map(Path::to_path_buf);
        let (address, snapshot) = match target.find_run()? {
            RunSource::Live { address, snapshot } => (address, snapshot),
            RunSource::Records { past, why } => {
                let folder = folder.as_deref().unwrap_or(Path::new(&self.target));
                return Ok(frame_output(&past.into_view(folder, &why)));
            }
        };
        let interval = Duration::from_secs_f64(self.interval);
        let mut watcher = Poller::start(address, folder, snapshot, interval)?;
        if once {
            // Rates need a second snapshot; if there is none, the first has to do.
            watcher.wait_for_snapshot();
            return Ok(frame_output(&watcher.current_view()));
        }
        screen::show_run(&mut watcher).map_err(|error| Fault::Environment {
            subject: "terminal".into(),
            problem: error.to_string().to_lowercase(),
            remedy: "--once prints one frame as plain text".into(),
        })?;
        // The last frame stays in the terminal's history.
        Ok(frame_output(&watcher.current_view()))
    }
}

/// Label of the run that an endpoint announces in its metrics; `None` if none answers in time.
#[cfg(feature = "train")]
pub(super) fn announced_run(address: &str, patience: Duration) -> Option<String> {
    let answer =
        http::get(address, "/metrics", patience).ok().filter(|answer| answer.status == 200)?;
    answer.instance.as_ref()?;
    crate::telemetry::Scrape::parse(&answer.body).ok()?.any_label("run").map(str::to_owned)
}

/// A frame, for people and for programs.
fn frame_output(view: &RunView) -> CommandOutput {
    let width = screen::terminal_width().unwrap_or(WIDTH);
    CommandOutput::new(view, draw::plain_text(view, width))
}
