//! Host names under which an endpoint may be asked. A page of another origin that has its own name
//! resolve to this machine (DNS rebinding) asks under that name: an endpoint that only this machine
//! is to reach answers to the names of this machine alone.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

/// Rule for the `Host` of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum HostRule {
    /// Any: whoever reaches the address may ask.
    Any,
    /// Names and addresses of this machine's loopback, and these names in lower case.
    Loopback(Arc<[String]>),
}

impl HostRule {
    /// Rule of an endpoint that listens at `address`, with further `names` of this machine.
    pub(super) fn of_address(address: SocketAddr, names: &[String]) -> Self {
        match address.ip().to_canonical().is_loopback() {
            false => Self::Any,
            true => Self::Loopback(names.iter().map(|name| name.to_ascii_lowercase()).collect()),
        }
    }

    /// Returns true if a request may name `host`, which may have a port.
    pub(super) fn allows(&self, host: &str) -> bool {
        let Self::Loopback(names) = self else { return true };
        let name = without_port(host).trim_end_matches('.').to_ascii_lowercase();
        let address = name.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
        address.is_ok_and(|address| address.to_canonical().is_loopback())
            || name == "localhost"
            || name.ends_with(".localhost")
            || names.contains(&name)
    }
}

/// Host of `host[:port]`; an IPv6 address stands in brackets.
fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(address: &str, names: &[&str]) -> HostRule {
        let names: Vec<String> = names.iter().map(ToString::to_string).collect();
        HostRule::of_address(address.parse().unwrap(), &names)
    }

    #[test]
    fn an_endpoint_on_loopback_answers_to_the_names_of_this_machine_only() {
        for address in ["127.0.0.1:9184", "[::1]:9184", "127.0.0.2:1"] {
            let own = rule(address, &["Host.Docker.Internal"]);
            for host in [
                "localhost",
                "LOCALHOST:9184",
                "localhost.:80",
                "run.localhost",
                "127.0.0.1:9184",
                "127.3.2.1",
                "[::1]:9184",
                "[::1]",
                "[::ffff:127.0.0.1]:9",
                "host.docker.internal:9184",
            ] {
                assert!(own.allows(host), "{host}");
            }
            for host in [
                "evil.example",
                "evil.example:9184",
                "127.0.0.1.evil.example",
                "localhost.evil.example",
                "notlocalhost",
                "192.168.1.2:9184",
                "0.0.0.0:9184",
                "[2001:db8::1]:9184",
                "127.0.0.1:80:evil",
                "",
                ":9184",
            ] {
                assert!(!own.allows(host), "{host}");
            }
        }
        assert!(!rule("127.0.0.1:1", &[]).allows("host.docker.internal:1"));
    }

    #[test]
    fn an_endpoint_for_other_machines_answers_to_any_name() {
        for address in ["0.0.0.0:9184", "[::]:9184", "192.168.1.2:9184"] {
            assert_eq!(rule(address, &["ignored"]), HostRule::Any);
            assert!(rule(address, &[]).allows("node-7.cluster:9184"));
        }
    }
}
