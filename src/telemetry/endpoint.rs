//! Address at which a process serves its metrics, as a run's folder records it: `endpoint.json`.
//!
//! It is written when a process begins to write to a run and left there when that ends, however it
//! ends. So an address in it is a hint: a server that answers there is this process only if it
//! names the same instance.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use crate::base::{Fingerprint, fs};

/// Response header that says which endpoint answers.
pub const INSTANCE_HEADER: &str = "gliaflow-instance";

/// Metrics endpoint of one process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Endpoint {
    /// Listening address; absent where metrics are off or no port was free.
    pub address: Option<SocketAddr>,
    /// Identifier of this endpoint, distinct from earlier ones at the same address.
    pub instance: String,
    /// Host name, where known.
    pub host: Option<String>,
    /// Process id on that host.
    pub process: u32,
}

impl Endpoint {
    /// Makes the endpoint of this process, not listening.
    pub fn of_this_process() -> Self {
        let host = host_name();
        let process = std::process::id();
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let itself = format!("{host:?} {process} {}", now.as_nanos());
        let instance = Fingerprint::of_bytes(itself.as_bytes()).short_hex(16);
        Self { address: None, instance, host, process }
    }

    /// Address for clients: an unspecified one is asked on this machine.
    pub fn reachable_address(&self) -> Option<SocketAddr> {
        let mut address = self.address?;
        if address.ip().is_unspecified() {
            address.set_ip(match address.ip() {
                IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
                IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
            });
        }
        Some(address)
    }

    /// True for a process on another machine, such as one that shares the disk.
    pub fn is_remote(&self) -> bool {
        self.host.is_some() && self.host != host_name()
    }
}

/// Host name; `None` where there is no `/proc`.
fn host_name() -> Option<String> {
    let name = fs::read_to_string("/proc/sys/kernel/hostname").ok()?;
    Some(name.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_endpoints_of_one_process_are_told_apart_and_come_back_from_their_file() {
        let (one, other) = (Endpoint::of_this_process(), Endpoint::of_this_process());
        assert_ne!(one.instance, other.instance);
        assert!(!one.is_remote());
        let text = serde_json::to_string(&one).unwrap();
        assert_eq!(serde_json::from_str::<Endpoint>(&text).unwrap(), one);
        let strange = Endpoint { host: Some("node-7 ".into()), ..one };
        assert!(strange.is_remote());
    }

    #[test]
    fn an_endpoint_that_listens_everywhere_is_asked_here() {
        let at = |address: &str| Endpoint {
            address: Some(address.parse().unwrap()),
            ..Endpoint::of_this_process()
        };
        let asked = |address: &str| at(address).reachable_address().unwrap().to_string();
        assert_eq!(asked("0.0.0.0:9184"), "127.0.0.1:9184");
        assert_eq!(asked("[::]:9184"), "[::1]:9184");
        assert_eq!(asked("10.0.0.7:9184"), "10.0.0.7:9184");
        assert_eq!(Endpoint::of_this_process().reachable_address(), None);
    }
}
