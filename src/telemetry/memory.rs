//! Peak of the anonymous memory (heap and stacks) of this process over a period.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::base::spawn_named;
use crate::telemetry::process::anonymous_bytes;

/// Sampling interval: shorter than the life of any buffer that matters.
const TICK: Duration = Duration::from_millis(5);

/// Samples the process's memory on a thread until it is finished.
#[derive(Debug)]
pub struct PeakMemoryMonitor {
    peak: Arc<AtomicU64>,
    ended: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl PeakMemoryMonitor {
    /// Starts sampling. Where the platform does not tell, or refuses a thread, the peak is 0.
    pub fn start() -> Self {
        let peak = Arc::new(AtomicU64::new(0));
        let ended = Arc::new(AtomicBool::new(false));
        let thread = spawn_named("memory-watch", {
            let peak = Arc::clone(&peak);
            let ended = Arc::clone(&ended);
            move || sample_until(&ended, &peak)
        });
        Self { peak, ended, thread: thread.ok() }
    }

    /// Ends sampling and returns the peak in bytes; `None` where it is unknown.
    pub fn finish_peak_bytes(mut self) -> Option<u64> {
        self.stop_thread();
        let last = anonymous_bytes()?;
        Some(self.peak.load(Ordering::Relaxed).max(last))
    }

    fn stop_thread(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // It panics in no case, and if it did, the peak so far would stand.
            let _ = thread.join();
        }
    }
}

fn sample_until(ended: &AtomicBool, peak: &AtomicU64) {
    while !ended.load(Ordering::Relaxed) {
        let Some(bytes) = anonymous_bytes() else { return };
        peak.fetch_max(bytes, Ordering::Relaxed);
        thread::sleep(TICK);
    }
}

impl Drop for PeakMemoryMonitor {
    fn drop(&mut self) {
        self.stop_thread();
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn memory_that_came_and_went_is_in_the_peak() {
        const BYTES: usize = 64 << 20;
        let before = anonymous_bytes().expect("on linux");
        let watch = PeakMemoryMonitor::start();
        let seen = Arc::clone(&watch.peak);
        let mut block = vec![1u8; BYTES];
        while seen.load(Ordering::Relaxed) < before + BYTES as u64 / 2 {
            block[0] = block[0].wrapping_add(1);
            thread::sleep(TICK);
        }
        drop(block);
        assert!(watch.finish_peak_bytes().expect("on linux") >= before + BYTES as u64 / 2);
    }
}
