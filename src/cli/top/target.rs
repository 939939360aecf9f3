//! Argument of `top`: an address, or a run's folder, which names its endpoint.

use std::path::{Path, PathBuf};

use crate::base::{Fault, fs};
use crate::cli::top::journal::RunJournal;
use crate::cli::top::snapshot::EndpointSnapshot;
use crate::run::Failure;
use crate::run_folder::ENDPOINT;
use crate::telemetry::Endpoint;

/// Run or address named on the command line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum WatchTarget {
    /// A run's folder.
    Run(PathBuf),
    /// `host:port`.
    Address(String),
}

/// Source of a run's figures.
pub(super) enum RunSource {
    /// Endpoint that responds: its address and the first snapshot.
    Live { address: String, snapshot: EndpointSnapshot },
    /// Journal of a run, and why its endpoint is not used.
    Records { past: Box<RunJournal>, why: String },
}

impl WatchTarget {
    /// Reads `runs/unet-001`, `127.0.0.1:9184` or `http://127.0.0.1:9184/metrics`.
    ///
    /// # Errors
    /// If it is none of them.
    pub(super) fn from_argument(text: &str) -> Result<Self, Failure> {
        if let Some(rest) = text.strip_prefix("http://") {
            let host = rest.split('/').next().unwrap_or_default();
            let port = if host.contains(':') { "" } else { ":80" };
            return Ok(Self::Address(format!("{host}{port}")));
        }
        if text.contains("://") {
            return Err(Failure::Usage(format!(
                "`{text}`: only http is spoken; for a machine behind a login, forward its port: \
                 ssh -L 9184:127.0.0.1:9184 HOST"
            )));
        }
        if Path::new(text).is_dir() {
            return Ok(Self::Run(text.into()));
        }
        match text.rsplit_once(':') {
            Some((host, port)) if !host.is_empty() && port.parse::<u16>().is_ok() => {
                Ok(Self::Address(text.to_owned()))
            }
            _ => Err(Failure::Usage(format!(
                "`{text}` is no run's folder and no address; name a folder such as runs/unet-001, \
                 or an address such as 127.0.0.1:9184"
            ))),
        }
    }

    /// Requests a first snapshot, or else reads the run's journal.
    ///
    /// # Errors
    /// If an address does not respond, or a folder is no run's.
    pub(super) fn find_run(&self) -> Result<RunSource, Failure> {
        match self {
            Self::Address(address) => {
                let snapshot = EndpointSnapshot::fetch_from(address, 0.0)
                    .map_err(|problem| no_answer_error(address, problem))?;
                Ok(RunSource::Live { address: address.clone(), snapshot })
            }
            Self::Run(folder) => find_in_folder(folder),
        }
    }

    /// The run's folder, if the target is one.
    pub(super) fn run_folder(&self) -> Option<&Path> {
        match self {
            Self::Run(folder) => Some(folder),
            Self::Address(_) => None,
        }
    }
}

fn no_answer_error(address: &str, problem: String) -> Failure {
    Failure::Run(Fault::Environment {
        subject: format!("http://{address}"),
        problem: problem.to_lowercase(),
        remedy: "start a run, or name its folder or the address that it printed; with \
                 --metrics-addr off it has none"
            .into(),
    })
}

fn find_in_folder(folder: &Path) -> Result<RunSource, Failure> {
    let why = match query_endpoint(folder) {
        Ok((address, snapshot)) => return Ok(RunSource::Live { address, snapshot }),
        Err(why) => why,
    };
    match RunJournal::read(folder) {
        Ok(past) => Ok(RunSource::Records { past: Box::new(past), why }),
        Err(_) => Err(Failure::Usage(format!(
            "{}: no run has written a journal here ({why}); name a run's folder such as \
             runs/unet-001",
            folder.display()
        ))),
    }
}

/// Requests a snapshot of the process that writes to a run; the error says why there is none.
fn query_endpoint(folder: &Path) -> Result<(String, EndpointSnapshot), String> {
    let text =
        fs::read_to_string(folder.join(ENDPOINT)).map_err(|_| format!("there is no {ENDPOINT}"))?;
    let endpoint: Endpoint = serde_json::from_str(&text)
        .map_err(|error| format!("{ENDPOINT} cannot be read: {error}"))?;
    let Some(address) = endpoint.reachable_address() else {
        return Err("the run serves no metrics (--metrics-addr off)".into());
    };
    let place = match &endpoint.host {
        Some(host) if endpoint.is_remote() => format!("{address}, of the machine {host},"),
        _ => address.to_string(),
    };
    let address = address.to_string();
    let snapshot = EndpointSnapshot::fetch_from(&address, 0.0)
        .map_err(|problem| format!("nobody answers at {place} ({})", problem.to_lowercase()))?;
    if snapshot.instance.as_deref() != Some(&endpoint.instance) {
        return Err(format!("another process answers at {place}"));
    }
    Ok((address, snapshot))
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use super::*;
    use crate::run_folder::EVENTS;
    use crate::telemetry::{Exporter, Recorder};

    #[test]
    fn folders_and_addresses_are_told_apart() {
        let address = |text: &str| WatchTarget::from_argument(text).unwrap();
        for text in ["127.0.0.1:9184", "http://127.0.0.1:9184", "http://127.0.0.1:9184/metrics"] {
            assert_eq!(address(text), WatchTarget::Address("127.0.0.1:9184".into()));
        }
        assert_eq!(address("http://node/"), WatchTarget::Address("node:80".into()));
        assert_eq!(address("[::1]:9184"), WatchTarget::Address("[::1]:9184".into()));
        assert_eq!(address("src"), WatchTarget::Run("src".into()));
        for text in ["runs/nothing", "9184", ":9184", "node:http", "https://node:9184"] {
            let Err(Failure::Usage(refused)) = WatchTarget::from_argument(text) else {
                panic!("{text}")
            };
            assert!(refused.starts_with(&format!("`{text}`")), "{refused}");
        }
    }

    fn exporter() -> Exporter {
        Exporter::serve(SocketAddr::from(([127, 0, 0, 1], 0)), &[], Recorder::new("found"))
    }

    #[test]
    fn a_run_is_its_own_process_and_not_whoever_has_its_address_now() {
        let folder = tempfile::tempdir().unwrap();
        let target = WatchTarget::Run(folder.path().into());
        let Err(Failure::Usage(refused)) = target.find_run() else { panic!("found a run") };
        assert!(refused.contains("there is no endpoint.json"), "{refused}");

        let running = exporter();
        let write = |endpoint: &Endpoint| {
            let text = serde_json::to_string(endpoint).unwrap();
            std::fs::write(folder.path().join(ENDPOINT), text).unwrap();
        };
        write(running.endpoint());
        let Ok(RunSource::Live { snapshot, .. }) = target.find_run() else { panic!("not found") };
        assert_eq!(snapshot.scrape.any_label("run"), Some("found"));

        std::fs::write(folder.path().join(EVENTS), "{\"event\":\"started\"}\n").unwrap();
        let why = |target: &WatchTarget| match target.find_run() {
            Ok(RunSource::Records { why, .. }) => why,
            _ => panic!("somebody answered, or nothing was found"),
        };
        write(&Endpoint { instance: "older".into(), ..running.endpoint().clone() });
        assert!(why(&target).starts_with("another process answers at 127.0.0.1:"));
        let there = Endpoint { host: Some("node-7".into()), ..running.endpoint().clone() };
        drop(running);
        write(&there);
        let refused = why(&target);
        assert!(refused.contains("of the machine node-7, (connection refused"), "{refused}");
        write(&Endpoint { address: None, ..there });
        assert!(why(&target).contains("--metrics-addr off"));
    }
}
