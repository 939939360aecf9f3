//! Where a process serves its metrics, as a run's folder tells it: `endpoint.json`.
//!
//! It is written when a process begins to write to a run and left there when that ends, however it
//! ends. So an address in it is a hint: whoever answers there is this process only if it signs with
//! the same instance.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use crate::base::fingerprint::Fingerprint;

/// The file in a run's folder.
pub const ENDPOINT_FILE: &str = "endpoint.json";

/// The header of every answer that says which endpoint it comes from.
pub const INSTANCE_HEADER: &str = "gliaflow-instance";

/// The endpoint of one process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Endpoint {
    /// Where it listens; absent where metrics are off or no port could be had.
    pub address: Option<SocketAddr>,
    /// What tells it from every other endpoint, those included that had the same address before.
    pub instance: String,
    /// The machine's name, where it tells.
    pub host: Option<String>,
    /// The process's number there.
    pub process: u32,
}

impl Endpoint {
    /// Of this process, and not listening.
    pub fn nowhere() -> Self {
        let (host, process) = (host(), std::process::id());
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let itself = format!("{host:?} {process} {}", now.as_nanos());
        let instance = Fingerprint::of_bytes(itself.as_bytes()).short(16);
        Self { address: None, instance, host, process }
    }

    /// The address to ask: one that listens everywhere is asked on this machine.
    pub fn reachable(&self) -> Option<SocketAddr> {
        let mut address = self.address?;
        if address.ip().is_unspecified() {
            address.set_ip(match address.ip() {
                IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
                IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
            });
        }
        Some(address)
    }

    /// Whether it belongs to a process on another machine, such as one that shares the disk.
    pub fn is_elsewhere(&self) -> bool {
        self.host.is_some() && self.host != host()
    }
}

/// The machine's name; `None` where there is no `/proc`.
fn host() -> Option<String> {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").ok()?;
    Some(name.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_endpoints_of_one_process_are_told_apart_and_come_back_from_their_file() {
        let (one, other) = (Endpoint::nowhere(), Endpoint::nowhere());
        assert_ne!(one.instance, other.instance);
        assert!(!one.is_elsewhere());
        let text = serde_json::to_string(&one).unwrap();
        assert_eq!(serde_json::from_str::<Endpoint>(&text).unwrap(), one);
        let strange = Endpoint { host: Some("node-7 ".into()), ..one };
        assert!(strange.is_elsewhere());
    }

    #[test]
    fn an_endpoint_that_listens_everywhere_is_asked_here() {
        let at = |address: &str| Endpoint {
            address: Some(address.parse().unwrap()),
            ..Endpoint::nowhere()
        };
        let asked = |address: &str| at(address).reachable().unwrap().to_string();
        assert_eq!(asked("0.0.0.0:9184"), "127.0.0.1:9184");
        assert_eq!(asked("[::]:9184"), "[::1]:9184");
        assert_eq!(asked("10.0.0.7:9184"), "10.0.0.7:9184");
        assert_eq!(Endpoint::nowhere().reachable(), None);
    }
}
