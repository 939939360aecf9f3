//! Label of a run in the metrics: its name, and digits of its folder behind it where another endpoint of
//! this machine announces the same name.

use std::path::Path;
use std::time::Duration;

use crate::cli::top::announced_run;
use crate::run_folder::{distinct_run_name, run_name};
use crate::telemetry::MetricsAddress;

/// Longest wait for an endpoint of this machine: a port that nobody listens at answers at once.
const PATIENCE: Duration = Duration::from_millis(400);

/// Returns the label of the run in `folder`, which need not exist, when its metrics are at `address`.
pub(super) fn choose_run_label(folder: &Path, address: MetricsAddress) -> String {
    let name = run_name(folder);
    let is_taken = address.candidate_ports().any(|port| {
        announced_run(&format!("127.0.0.1:{port}"), PATIENCE).as_deref() == Some(&name)
    });
    if is_taken { distinct_run_name(folder) } else { name }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use super::*;
    use crate::telemetry::{Exporter, Recorder};

    #[test]
    fn a_name_that_another_endpoint_announces_gets_digits_behind_it() {
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let other = Exporter::serve(any, &[], Recorder::new("unet-001"));
        let address = MetricsAddress::At(other.address().unwrap());
        let label = |folder: &str| choose_run_label(Path::new(folder), address);
        assert_eq!(label("runs/unet-002"), "unet-002");
        let distinct = label("runs/unet-001");
        assert!(distinct.starts_with("unet-001-") && distinct.len() == 15, "{distinct}");
        assert_ne!(distinct, label("elsewhere/unet-001"));
        drop(other);
        assert_eq!(label("runs/unet-001"), "unet-001");
        assert_eq!(choose_run_label(Path::new("a/b"), MetricsAddress::Off), "b");
    }
}
