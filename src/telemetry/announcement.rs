//! Announcement of an endpoint to Prometheus: a file for its `file_sd` in a folder that many machines may
//! share, there as long as the process is. Started by the command line only.
//!
//! A run never fails because of it: where the folder takes no file, that is a warning.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::mpsc::{self, RecvTimeoutError, SyncSender};
use std::thread::JoinHandle;
use std::time::Duration;

use serde::Serialize;

use super::endpoint::Endpoint;
use super::target_file::TargetFile;
use crate::base::spawn_named;

/// Interval at which a process writes its file anew, and removes those of others that have ended.
const BEAT: Duration = Duration::from_secs(60);

/// Group of targets, as `file_sd` reads a list of.
#[derive(Debug, Serialize)]
struct TargetGroup {
    targets: [String; 1],
    labels: TargetLabels,
}

/// Labels that Prometheus adds to every series of a target; one that a series has itself wins there
/// (`honor_labels`).
#[derive(Debug, Serialize)]
struct TargetLabels {
    /// Run that the process began with; also that of the series `up`.
    run: String,
    /// Host name, where known.
    #[serde(skip_serializing_if = "Option::is_none")]
    host: Option<String>,
    /// Study that the run is a step of.
    #[serde(skip_serializing_if = "Option::is_none")]
    study: Option<String>,
}

/// Announcement under way; dropping it removes its file.
pub struct Announcement {
    open: Option<SyncSender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Announcement {
    /// Announces `endpoint` in `folder`, which is made, under the labels `run` and `study`. Returns `None`,
    /// after a warning, where nothing listens.
    pub fn start(
        folder: &Path,
        endpoint: &Endpoint,
        run: &str,
        study: Option<&str>,
    ) -> Option<Self> {
        let Some(address) = endpoint.address else {
            tracing::warn!(
                "{}: nothing to announce, metrics are off or have no port; see --metrics-addr",
                folder.display()
            );
            return None;
        };
        let labels = TargetLabels {
            run: run.to_owned(),
            host: endpoint.host.clone(),
            study: study.map(str::to_owned),
        };
        let group = TargetGroup { targets: [target_text(address, endpoint)], labels };
        let text = serde_json::to_string_pretty(&[group]).expect("text serialises to JSON") + "\n";
        let file = TargetFile::of_endpoint(folder, endpoint, text);
        let (open, closed) = mpsc::sync_channel::<()>(1);
        let announce = move || {
            let mut is_warned = false;
            loop {
                match file.show_life() {
                    Err(error) if !is_warned => {
                        is_warned = true;
                        tracing::warn!(
                            "{error}: Prometheus is not told of this run; give --announce a folder that \
                             can be written"
                        );
                    }
                    _ => {}
                }
                if closed.recv_timeout(BEAT) != Err(RecvTimeoutError::Timeout) {
                    file.remove_own();
                    return;
                }
            }
        };
        match spawn_named("announce", announce) {
            Ok(thread) => Some(Self { open: Some(open), thread: Some(thread) }),
            Err(fault) => {
                tracing::warn!("{fault}");
                None
            }
        }
    }
}

impl Drop for Announcement {
    fn drop(&mut self) {
        drop(self.open.take());
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            tracing::warn!("the announcement of the metrics panicked; the run is not affected");
        }
    }
}

/// Address for a Prometheus elsewhere: that of the host, where the endpoint listens on all of its own.
fn target_text(address: SocketAddr, endpoint: &Endpoint) -> String {
    match &endpoint.host {
        Some(host) if address.ip().is_unspecified() => format!("{host}:{}", address.port()),
        _ => address.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;
    use crate::base::fs;

    fn endpoint(address: &str) -> Endpoint {
        Endpoint { address: Some(address.parse().unwrap()), ..Endpoint::of_this_process() }
    }

    fn await_file(folder: &Path) -> PathBuf {
        for _ in 0..1000 {
            let files = fs::list_dir(folder).unwrap_or_default();
            let is_whole = |file: &&PathBuf| file.extension().is_some_and(|end| end == "json");
            if let Some(file) = files.iter().find(is_whole) {
                return file.clone();
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        panic!("{:?}", fs::list_dir(folder));
    }

    #[test]
    fn a_process_is_announced_while_it_lives() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("targets");
        let own = Endpoint { host: Some("node-7".into()), ..endpoint("0.0.0.0:9190") };
        let announced = Announcement::start(&folder, &own, "unet-001", Some("table1"));
        let file = await_file(&folder);
        let text = fs::read_to_string(&file).unwrap();
        let read: serde_json::Value = serde_json::from_str(&text).unwrap();
        let labels = serde_json::json!({"run": "unet-001", "host": "node-7", "study": "table1"});
        assert_eq!(read, serde_json::json!([{"targets": ["node-7:9190"], "labels": labels}]));
        drop(announced);
        assert!(fs::list_dir(&folder).unwrap().is_empty());
        let silent = Announcement::start(&folder, &Endpoint::of_this_process(), "a", None);
        assert!(silent.is_none(), "nothing listens");
    }

    #[test]
    fn the_address_is_one_that_others_can_ask() {
        let text = |address: &str, host: Option<&str>| {
            let own = Endpoint { host: host.map(str::to_owned), ..endpoint(address) };
            target_text(own.address.unwrap(), &own)
        };
        assert_eq!(text("0.0.0.0:9184", Some("node7")), "node7:9184");
        assert_eq!(text("[::]:9184", Some("node7")), "node7:9184");
        assert_eq!(text("127.0.0.1:9184", Some("node7")), "127.0.0.1:9184");
        assert_eq!(text("0.0.0.0:9184", None), "0.0.0.0:9184");
    }
}
