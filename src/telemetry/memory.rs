//! The most anonymous memory (heap and stacks) that this process had over a stretch of time.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::telemetry::process::anonymous_bytes;

/// How often it is looked at: shorter than the life of any buffer worth a word.
const TICK: Duration = Duration::from_millis(5);

/// A thread that looks until it is asked.
#[derive(Debug)]
pub struct MemoryWatch {
    peak: Arc<AtomicU64>,
    ended: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl MemoryWatch {
    /// Starts looking. Where the platform does not tell, or refuses a thread, the peak is 0.
    pub fn start() -> Self {
        let (peak, ended) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
        let (shown, over) = (Arc::clone(&peak), Arc::clone(&ended));
        let watch = move || {
            while !over.load(Ordering::Relaxed) {
                let Some(bytes) = anonymous_bytes() else { return };
                shown.fetch_max(bytes, Ordering::Relaxed);
                thread::sleep(TICK);
            }
        };
        let thread = thread::Builder::new().name("memory-watch".into()).spawn(watch).ok();
        Self { peak, ended, thread }
    }

    /// The most there was, in bytes, and ends looking; `None` where it cannot be told.
    pub fn finish(mut self) -> Option<u64> {
        self.end();
        let last = anonymous_bytes()?;
        Some(self.peak.load(Ordering::Relaxed).max(last))
    }

    fn end(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // It panics in no case, and if it did, the peak so far would stand.
            let _ = thread.join();
        }
    }
}

impl Drop for MemoryWatch {
    fn drop(&mut self) {
        self.end();
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn memory_that_came_and_went_is_in_the_peak() {
        const BYTES: usize = 64 << 20;
        let before = anonymous_bytes().expect("on linux");
        let watch = MemoryWatch::start();
        let seen = Arc::clone(&watch.peak);
        let mut block = vec![1u8; BYTES];
        while seen.load(Ordering::Relaxed) < before + BYTES as u64 / 2 {
            block[0] = block[0].wrapping_add(1);
            thread::sleep(TICK);
        }
        drop(block);
        assert!(watch.finish().expect("on linux") >= before + BYTES as u64 / 2);
    }
}
