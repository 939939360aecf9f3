//! Checks of cores, memory, limits and the port.

use std::net::TcpListener;

use crate::base::{core_count, fs, memory_limit, open_file_limit};
use crate::run::tools::doctor::{Finding, FindingGrade};
use crate::telemetry::MetricsAddress;
use crate::telemetry::process::status_bytes;

const GIB: f64 = (1u64 << 30) as f64;

/// A loader of 128^3 patches with full augmentation makes some 65 samples a second per core; a
/// trainer on the CPU takes all there are.
pub(super) fn check_cores() -> Finding {
    let cores = core_count();
    let text = if cores == 1 { "1 core".to_owned() } else { format!("{cores} cores") };
    Finding::good("cores", text).graded_by(
        cores as f64,
        [1.0, 4.0],
        "a fast GPU needs 2 to 3 cores for the loader alone: see `gliaflow tune`",
    )
}

pub(super) fn free_memory() -> Finding {
    let Some(available) = meminfo_bytes("MemAvailable") else {
        return Finding::good("memory", "unknown on this system");
    };
    let total = meminfo_bytes("MemTotal").unwrap_or(available);
    let limit = memory_limit().map(|limit| limit as f64).filter(|limit| *limit < total);
    let available = limit.map_or(available, |limit| available.min(limit));
    let found = match limit {
        None => format!("{:.1} GiB free of {:.1} GiB", available / GIB, total / GIB),
        Some(limit) => format!(
            "{:.1} GiB of the machine's {:.1} GiB, by the limit of this container or job",
            limit / GIB,
            total / GIB
        ),
    };
    Finding::good("memory", found).graded_by(
        available / GIB,
        [2.0, 6.0],
        "the loader takes up to loader.memory_mib (4 GiB), training on the CPU several GiB at 128^3, and \
         what is left caches case files: lower loader.memory_mib, crop.patch or loader.batch, or free \
         memory",
    )
}

/// Bytes behind a key of `/proc/meminfo`.
fn meminfo_bytes(key: &str) -> Option<f64> {
    let text = fs::read_to_string("/proc/meminfo").ok()?;
    status_bytes(&text, key).map(|bytes| bytes as f64)
}

/// A mapped case needs no open file; a run has some twenty.
pub(super) fn open_files() -> Finding {
    let limit = open_file_limit();
    let told = limit.map_or_else(|| "unlimited".to_owned(), |most| most.to_string());
    Finding::good("open files", format!("up to {told}")).graded_by(
        limit.map_or(f64::INFINITY, |most| most as f64),
        [64.0, 256.0],
        "raise it: ulimit -n 1024",
    )
}

pub(super) fn metrics_port(metrics: MetricsAddress) -> Finding {
    let MetricsAddress::At(address) = metrics else {
        return Finding::good("metrics port", "off");
    };
    match TcpListener::bind(address) {
        Ok(_) => Finding::good("metrics port", format!("{address} is free")),
        Err(error) => Finding::good("metrics port", format!("{address}: {error}")).with_grade(
            FindingGrade::Limited,
            "a run takes the next free port and prints it; choose one with --metrics-addr",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_in_use_is_no_obstacle_but_is_said() {
        let taken = TcpListener::bind("127.0.0.1:0").expect("any port");
        let address = taken.local_addr().expect("bound");
        let finding = metrics_port(MetricsAddress::At(address));
        assert_eq!(finding.grade, FindingGrade::Limited);
        assert!(finding.remedy.contains("--metrics-addr"));
        drop(taken);
        assert_eq!(metrics_port(MetricsAddress::At(address)).grade, FindingGrade::Good);
    }
}
