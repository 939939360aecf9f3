//! Faults under mapped files. Where a mapped file has become shorter, or its disk fails, an access to
//! its pages raises SIGBUS, which ends a process by default. Here a page of zeros takes the place of
//! the one that is gone, and a mark says that what was read since is worthless: whoever reads a mapping
//! asks [`MappingWatch::has_faulted`] afterwards.
//!
//! Faults elsewhere have the action that they had before. Without Linux, so have those in mappings.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use parking_lot::Mutex;

/// Address range of a mapping, and its mark. Never freed, since the handler may look at any time: used
/// again for a later mapping.
#[derive(Debug, Default)]
struct WatchedRange {
    start: AtomicUsize,
    /// First address behind the range; 0 while no mapping has it.
    end: AtomicUsize,
    has_faulted: AtomicBool,
    next: OnceLock<&'static WatchedRange>,
}

/// List of all ranges, which the handler walks without a lock.
static FIRST: OnceLock<&'static WatchedRange> = OnceLock::new();

/// Ranges that no mapping has; locked where one is taken or given back, never by the handler.
static FREE: Mutex<Vec<&'static WatchedRange>> = Mutex::new(Vec::new());

/// Watch over one mapping, which ends when it is dropped. It must go before the mapping does.
#[derive(Debug)]
pub(super) struct MappingWatch(&'static WatchedRange);

impl MappingWatch {
    /// Watches the mapping of these bytes, and installs the handler if there is none yet.
    pub(super) fn over(mapped: &[u8]) -> Self {
        #[cfg(target_os = "linux")]
        handler::install_handler();
        let mut free = FREE.lock();
        let range = free.pop().unwrap_or_else(append_range);
        let start = mapped.as_ptr().addr();
        range.start.store(start, Ordering::Relaxed);
        range.has_faulted.store(false, Ordering::Relaxed);
        range.end.store(start + mapped.len(), Ordering::Release);
        Self(range)
    }

    /// Returns true if an access to the mapping has met a page that was gone.
    pub(super) fn has_faulted(&self) -> bool {
        self.0.has_faulted.load(Ordering::SeqCst)
    }
}

impl Drop for MappingWatch {
    fn drop(&mut self) {
        self.0.end.store(0, Ordering::Release);
        FREE.lock().push(self.0);
    }
}

/// Makes a range and puts it at the end of the list. Called under the lock of [`FREE`].
fn append_range() -> &'static WatchedRange {
    let range: &'static WatchedRange = Box::leak(Box::default());
    let mut place = &FIRST;
    while let Err(_taken) = place.set(range) {
        place = &place.get().expect("it is taken").next;
    }
    range
}

/// Finds the mapping that holds an address. Loads atomics only: safe in a signal handler.
fn find_range(address: usize) -> Option<&'static WatchedRange> {
    let mut next = FIRST.get();
    while let Some(range) = next {
        let end = range.end.load(Ordering::Acquire);
        if address < end && address >= range.start.load(Ordering::Relaxed) {
            return Some(range);
        }
        next = range.next.get();
    }
    None
}

#[cfg(target_os = "linux")]
#[allow(unsafe_code)]
mod handler {
    use std::ffi::{c_int, c_void};
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::{Once, OnceLock};
    use std::{mem, ptr};

    use super::find_range;

    /// Size of a page; set before the handler is there.
    static PAGE: AtomicUsize = AtomicUsize::new(0);

    /// Action that SIGBUS had before; set before the handler is there.
    static BEFORE: OnceLock<libc::sigaction> = OnceLock::new();

    /// Installs the handler once for the process. Where the system refuses, a fault ends the process, as
    /// it did before.
    pub(super) fn install_handler() {
        static INSTALLED: Once = Once::new();
        INSTALLED.call_once(|| {
            // SAFETY: all bytes of the struct may be 0, and the calls get valid pointers to one each or
            // null. The handler has the signature that SA_SIGINFO asks for, and calls nothing but what
            // a handler may: atomics, `mmap`, `sigaction`. It runs on the alternative stack that Rust
            // gives every thread, where there is one.
            unsafe {
                let Ok(page) = usize::try_from(libc::sysconf(libc::_SC_PAGESIZE)) else { return };
                PAGE.store(page, Ordering::SeqCst);
                let mut before: libc::sigaction = mem::zeroed();
                if libc::sigaction(libc::SIGBUS, ptr::null(), &mut before) != 0 {
                    return;
                }
                let _ = BEFORE.set(before);
                let mut action: libc::sigaction = mem::zeroed();
                let handler: extern "C" fn(c_int, *mut libc::siginfo_t, *mut c_void) = handle_fault;
                action.sa_sigaction = handler as *const () as usize;
                action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
                libc::sigaction(libc::SIGBUS, &action, ptr::null_mut());
            }
        });
    }

    extern "C" fn handle_fault(signal: c_int, info: *mut libc::siginfo_t, context: *mut c_void) {
        // SAFETY: the kernel hands a valid siginfo to a handler with SA_SIGINFO; a code above 0 says
        // that the kernel raised the signal, and then SIGBUS has an address.
        let (is_fault, address) = unsafe { ((*info).si_code > 0, (*info).si_addr().addr()) };
        if is_fault && let Some(range) = find_range(address) {
            // Before the page: whoever reads its zeros finds the mark.
            range.has_faulted.store(true, Ordering::SeqCst);
            let size = PAGE.load(Ordering::SeqCst);
            let page = ptr::without_provenance_mut::<c_void>(address & !(size - 1));
            // SAFETY: the page lies in a mapping of ours that is borrowed by the code that has just
            // met the fault, so it is not unmapped meanwhile, and nothing else lies there. It is
            // replaced by a private page of zeros, which the mapping's end unmaps with the rest. The
            // mapping holds bytes and whole numbers, for which zeros are values like any other: what
            // is computed of them is thrown away, because of the mark.
            let placed = unsafe {
                let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED;
                libc::mmap(page, size, libc::PROT_READ, flags, -1, 0)
            };
            if placed != libc::MAP_FAILED {
                return;
            }
        }
        run_action_before(signal, info, context);
    }

    /// Does what would have been done without this handler.
    fn run_action_before(signal: c_int, info: *mut libc::siginfo_t, context: *mut c_void) {
        let before = BEFORE.get();
        let handler = before.map_or(libc::SIG_DFL, |before| before.sa_sigaction);
        // SAFETY: a disposition that is neither of the two constants is a handler of the signature that
        // its flags say, and is called as the kernel would have called it. The default is put back, and
        // the access that faulted, which is tried again, meets it.
        unsafe {
            match before {
                Some(before) if handler != libc::SIG_DFL && handler != libc::SIG_IGN => {
                    if before.sa_flags & libc::SA_SIGINFO != 0 {
                        let handler: extern "C" fn(c_int, *mut libc::siginfo_t, *mut c_void) =
                            mem::transmute(handler);
                        handler(signal, info, context);
                    } else {
                        let handler: extern "C" fn(c_int) = mem::transmute(handler);
                        handler(signal);
                    }
                }
                _ => {
                    let mut default: libc::sigaction = mem::zeroed();
                    default.sa_sigaction = libc::SIG_DFL;
                    libc::sigaction(signal, &default, ptr::null_mut());
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_found_by_its_addresses_while_it_is_watched_and_used_again() {
        let bytes = vec![0u8; 5000];
        let start = bytes.as_ptr().addr();
        let watch = MappingWatch::over(&bytes);
        let found = |address| find_range(address).is_some_and(|range| ptr_eq(range, watch.0));
        assert!(found(start) && found(start + 4999));
        assert!(!found(start - 1) && !found(start + 5000));
        assert!(!watch.has_faulted());
        watch.0.has_faulted.store(true, Ordering::SeqCst);
        assert!(watch.has_faulted());
        drop(watch);
        assert!(find_range(start).is_none());
        assert!(!MappingWatch::over(&bytes).has_faulted(), "a new watch has no old mark");
    }

    fn ptr_eq(one: &'static WatchedRange, other: &'static WatchedRange) -> bool {
        std::ptr::eq(one, other)
    }
}
