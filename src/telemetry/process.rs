//! Resources that this process uses, read from Linux's `/proc`; elsewhere absent, and no error.
//!
//! Own code rather than a crate, because `bench` and `drain` need the peak and the share of memory
//! that is not a mapped file, and because whole seconds of CPU time are too coarse for a short run.

use std::time::Duration;

use super::catalog;

use crate::base::{fs, open_file_limit};

/// `USER_HZ`, the clock of `/proc/self/stat`: 100 by Linux' ABI on every architecture but Alpha,
/// whatever the kernel's own tick is.
const TICKS_PER_SECOND: f64 = 100.0;

/// Resources that a process uses.
#[derive(Debug, Clone, PartialEq)]
pub struct ProcessUsage {
    /// User and system CPU time of all threads, ended ones included.
    pub cpu: Duration,
    /// Resident bytes.
    pub resident_bytes: u64,
    /// Resident bytes that belong to no file: heap and stacks, without mapped case files.
    pub anonymous_bytes: u64,
    /// Peak of the resident bytes.
    pub peak_resident_bytes: u64,
    /// Living threads.
    pub threads: u64,
    /// Start of the process, in seconds after the machine's.
    since_boot_seconds: f64,
}

impl ProcessUsage {
    /// Reads the resources of this process; `None` where there is no `/proc`.
    pub fn now() -> Option<Self> {
        let stat = fs::read_to_string("/proc/self/stat").ok()?;
        let status = fs::read_to_string("/proc/self/status").ok()?;
        Self::parse_proc(&stat, &status)
    }

    /// Parses the texts of `stat` and `status` as in proc(5).
    fn parse_proc(stat: &str, status: &str) -> Option<Self> {
        // The command in the second field may hold blanks and brackets; the last bracket ends it.
        let (_, after_command) = stat.rsplit_once(')')?;
        let fields: Vec<&str> = after_command.split_ascii_whitespace().collect();
        // Field 3 of proc(5) is the first one here.
        let seconds = |field: usize| {
            let ticks: f64 = fields.get(field - 3)?.parse().ok()?;
            Some(ticks / TICKS_PER_SECOND)
        };
        Some(Self {
            cpu: Duration::from_secs_f64(seconds(14)? + seconds(15)?),
            resident_bytes: status_bytes(status, "VmRSS")?,
            anonymous_bytes: status_bytes(status, "RssAnon")?,
            peak_resident_bytes: status_bytes(status, "VmHWM")?,
            threads: status_number(status, "Threads")?,
            since_boot_seconds: seconds(22)?,
        })
    }
}

/// Number behind `key:` in `/proc/self/status`.
fn status_number(status: &str, key: &str) -> Option<u64> {
    let value = status.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':'))?;
    value.split_ascii_whitespace().next()?.parse().ok()
}

/// Size behind `key:`, which is in KiB there and in `/proc/meminfo`, in bytes.
pub fn status_bytes(status: &str, key: &str) -> Option<u64> {
    status_number(status, key).map(|kibibytes| kibibytes * 1024)
}

/// CPU seconds of this process so far, in steps of 10 ms; `None` where unknown.
pub fn cpu_seconds() -> Option<f64> {
    ProcessUsage::now().map(|usage| usage.cpu.as_secs_f64())
}

/// Seconds in which living threads of this process could run and waited for a core; `None` where unknown.
pub fn waiting_seconds() -> Option<f64> {
    let mut nanoseconds = 0.0;
    for thread in fs::list_dir("/proc/self/task").ok()? {
        // A thread may end in between.
        let Ok(text) = fs::read_to_string(thread.join("schedstat")) else { continue };
        nanoseconds += text.split_ascii_whitespace().nth(1)?.parse::<f64>().ok()?;
    }
    Some(nanoseconds / 1e9)
}

/// Resident bytes that belong to no file; `None` where unknown. From one line of seven numbers, for who asks many times a
/// second: [`ProcessUsage::now`] has the kernel write sixty lines.
pub fn anonymous_bytes() -> Option<u64> {
    let pages = fs::read_to_string("/proc/self/statm").ok()?;
    Some(anonymous_pages(&pages)? * rustix::param::page_size() as u64)
}

/// Resident pages that belong to no file, of the text of `statm` as in proc(5).
fn anonymous_pages(statm: &str) -> Option<u64> {
    let mut pages = statm.split_ascii_whitespace().skip(1).map(str::parse::<u64>);
    let (resident, shared) = (pages.next()?.ok()?, pages.next()?.ok()?);
    // The kernel counts both in passing, so that one may be ahead of the other.
    Some(resident.saturating_sub(shared))
}

/// Peak of the resident bytes of this process; `None` where unknown.
pub fn peak_rss_bytes() -> Option<u64> {
    ProcessUsage::now().map(|usage| usage.peak_resident_bytes)
}

/// Sets the `process_*` metrics that the platform has.
pub fn publish_process_metrics() {
    let Some(usage) = ProcessUsage::now() else { return };
    catalog::PROCESS_CPU.with_labels([]).set_total(usage.cpu);
    catalog::PROCESS_RESIDENT.with_labels([]).set(usage.resident_bytes as f64);
    catalog::PROCESS_ANONYMOUS.with_labels([]).set(usage.anonymous_bytes as f64);
    catalog::PROCESS_THREADS.with_labels([]).set(usage.threads as f64);
    if let Some(boot) = boot_time() {
        catalog::PROCESS_START_TIME.with_labels([]).set(boot + usage.since_boot_seconds);
    }
    if let Some(open) = open_files() {
        catalog::PROCESS_OPEN_FDS.with_labels([]).set(open as f64);
    }
    let most_open = open_file_limit().map_or(f64::INFINITY, |most| most as f64);
    catalog::PROCESS_MAX_FDS.with_labels([]).set(most_open);
}

/// Start of the machine, in seconds since the Unix epoch.
fn boot_time() -> Option<f64> {
    let stat = fs::read_to_string("/proc/stat").ok()?;
    stat.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse().ok()
}

/// Open file descriptors, without the one that counts them.
fn open_files() -> Option<usize> {
    fs::list_dir("/proc/self/fd").ok()?.len().checked_sub(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    const STAT: &str = "77 (a (odd) name) S 1 77 77 0 -1 4194304 101 0 0 0 250 50 9 9 20 0 3 0 \
                        12345 3133440 410 0";
    const STATUS: &str = "Name:\tx\nVmHWM:\t    2048 kB\nVmRSS:\t    1024 kB\nRssAnon:\t   512 kB\n\
                          Threads:\t3\n";

    #[test]
    fn the_fields_of_proc_are_read_by_their_place_behind_the_name() {
        let usage = ProcessUsage::parse_proc(STAT, STATUS).unwrap();
        assert_eq!(usage.cpu, Duration::from_secs(3));
        assert_eq!(usage.since_boot_seconds, 123.45);
        assert_eq!(usage.peak_resident_bytes, 2 << 20);
        assert_eq!((usage.resident_bytes, usage.anonymous_bytes), (1 << 20, 1 << 19));
        assert_eq!(usage.threads, 3);
    }

    #[test]
    fn text_that_is_not_from_proc_is_nothing_rather_than_an_error() {
        assert_eq!(ProcessUsage::parse_proc("", STATUS), None);
        assert_eq!(ProcessUsage::parse_proc(STAT, "VmRSS: lots"), None);
    }

    #[test]
    fn anonymous_pages_are_the_resident_ones_that_no_file_has() {
        assert_eq!(anonymous_pages("900 500 120 30 0 400 0\n"), Some(380));
        assert_eq!(anonymous_pages("900 100 120 30 0 400 0\n"), Some(0));
        assert_eq!([anonymous_pages(""), anonymous_pages("900 x 1")], [None, None]);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn memory_that_is_touched_is_seen_as_anonymous() {
        const SIZE: usize = 32 << 20;
        let touched = vec![1u8; SIZE];
        let usage = ProcessUsage::now().unwrap();
        assert!(usage.anonymous_bytes >= SIZE as u64, "{usage:?}");
        assert!(usage.resident_bytes >= usage.anonymous_bytes, "{usage:?}");
        assert!(usage.peak_resident_bytes >= usage.resident_bytes, "{usage:?}");
        assert!(touched.iter().all(|&byte| byte == 1));
    }
}
