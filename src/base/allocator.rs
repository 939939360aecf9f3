//! Allocator of a program: that of the system, on huge pages, with freed memory that stays.

use std::alloc::{GlobalAlloc, Layout, System};
#[cfg(target_os = "linux")]
use std::sync::atomic::{AtomicUsize, Ordering};

/// Bytes from which a block is worth huge pages of its own: one of those of x86-64.
const LARGE: usize = 2 << 20;

/// End of the part of the heap that has been advised, where [`keep_freed_memory`] has been called; its start before the first time.
#[cfg(target_os = "linux")]
static ADVISED_END: AtomicUsize = AtomicUsize::new(usize::MAX);

/// Allocator of the system that asks for huge pages under large blocks, for `#[global_allocator]` of a program.
///
/// Volumes and activations are read and written from end to end, and a page of 4 KiB is 64 lines of the cache: finding the next one costs a
/// virtual machine in particular up to 5 % of a cold sample (`benches/runs/2026-11-30-cold-and-huge-pages.md`). Most
/// systems give huge pages to who asks (`madvise` in `/sys/kernel/mm/transparent_hugepage/enabled`); elsewhere it is a request without an effect.
///
/// Behind `keep_freed_memory` that is asked for under all of the program's heap, from which blocks come that are larger than
/// the heap of a thread: a block that shares its first or last huge page with another has one there as well.
#[derive(Debug, Clone, Copy, Default)]
pub struct HugePageAllocator;

// SAFETY: every block comes from `System` and goes back to it with the layout that it was asked for with, so that whatever holds of
// `System` holds here. What is done besides, advice to the system, changes neither a block's address nor its content.
#[allow(unsafe_code)]
unsafe impl GlobalAlloc for HugePageAllocator {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller keeps the rules of `alloc`, which are the same.
        advise_huge_pages(unsafe { System.alloc(layout) }, layout.size())
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller keeps the rules of `alloc_zeroed`, which are the same.
        advise_huge_pages(unsafe { System.alloc_zeroed(layout) }, layout.size())
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: the caller keeps the rules of `realloc`, which are the same.
        advise_huge_pages(unsafe { System.realloc(block, layout, size) }, size)
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: the block is one of `System`'s, with this layout.
        unsafe { System.dealloc(block, layout) }
    }
}

/// Asks for huge pages under a large block, and returns the block.
#[inline]
fn advise_huge_pages(block: *mut u8, size: usize) -> *mut u8 {
    #[cfg(target_os = "linux")]
    if size >= LARGE && !block.is_null() {
        let (start, heap_end) = (block.addr(), heap_end());
        let advised = ADVISED_END.load(Ordering::Relaxed);
        if start >= heap_end || advised == usize::MAX {
            request_huge_pages(start, start + size);
        } else if advised < heap_end {
            request_huge_pages(advised, heap_end);
            ADVISED_END.fetch_max(heap_end, Ordering::Relaxed);
        }
    }
    block
}

/// End of the heap, beyond which the system's allocator has memory of other kinds only.
#[cfg(target_os = "linux")]
#[allow(unsafe_code)]
fn heap_end() -> usize {
    // SAFETY: by nothing, the heap is not moved: glibc and musl return a number that they know. One that another thread is just replacing
    // is an older end, so that less is advised.
    unsafe { libc::sbrk(0) }.addr()
}

/// Asks for huge pages under the whole pages of `start..end`.
#[cfg(target_os = "linux")]
#[allow(unsafe_code)]
fn request_huge_pages(start: usize, end: usize) {
    // The smallest page of any processor; where pages are larger, the system refuses and nothing happens.
    const PAGE: usize = 4 << 10;
    let (start, end) = (start.next_multiple_of(PAGE), end / PAGE * PAGE);
    let (address, length) = (std::ptr::without_provenance_mut(start), end.saturating_sub(start));
    // SAFETY: the advice changes the content of no page, whoever it belongs to. An error means that it was not taken.
    unsafe { libc::madvise(address, length, libc::MADV_HUGEPAGE) };
}

/// Lets freed memory stay with the process, where the allocator is glibc's. By default it gives blocks of more than 32 MiB,
/// and whatever is free at the end of its heap, back to the system, so that the activations of every step and every window
/// are new pages, which the system fills with zeros first: a sixth of a step on the CPU
/// (`benches/runs/2026-11-30-cpu-step.md`). Called ahead of the first thread, by a program and not by the library: the
/// settings are those of the whole process.
#[allow(unsafe_code)]
pub fn keep_freed_memory() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    {
        /// Bytes by which the heap grows beyond what was asked for: each growth touches its end ahead of any advice.
        const HEAP_STEP: libc::c_int = 64 << 20;
        // At the end of the heap, -1 is "never", in the manual's words.
        let settings =
            [(libc::M_MMAP_MAX, 0), (libc::M_TRIM_THRESHOLD, -1), (libc::M_TOP_PAD, HEAP_STEP)];
        for (setting, value) in settings {
            // SAFETY: `mallopt` takes two numbers, and locks the allocator's state itself. A setting that it does not take
            // leaves everything as it was.
            unsafe { libc::mallopt(setting, value) };
        }
        ADVISED_END.store(heap_end(), Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Flags of the mapping that `address` lies in, as in proc(5).
    #[cfg(target_os = "linux")]
    fn mapping_flags(address: usize) -> String {
        let maps = crate::base::fs::read_to_string("/proc/self/smaps").unwrap();
        let mut is_within = false;
        for line in maps.lines() {
            let range = line.split_once(' ').and_then(|(range, _)| range.split_once('-'));
            if let Some((start, end)) = range {
                let number = |digits| usize::from_str_radix(digits, 16).unwrap();
                is_within = (number(start)..number(end)).contains(&address);
            }
            if let Some(flags) = line.strip_prefix("VmFlags:").filter(|_| is_within) {
                return flags.to_owned();
            }
        }
        panic!("{address:#x} is not mapped");
    }

    #[test]
    #[cfg(target_os = "linux")]
    #[allow(unsafe_code)]
    fn huge_pages_are_asked_for_under_large_blocks_of_either_kind() {
        if !std::path::Path::new("/sys/kernel/mm/transparent_hugepage").exists() {
            return;
        }
        // More than a heap of a thread holds, so that it is the program's that grows.
        let layout = Layout::from_size_align(80 << 20, 64).unwrap();
        for is_kept in [false, true] {
            if is_kept {
                keep_freed_memory();
            }
            for _ in 0..2 {
                // SAFETY: the layout is not empty; the block is freed with it, and not touched.
                unsafe {
                    let block = HugePageAllocator.alloc(layout);
                    let flags = mapping_flags(block.addr() + layout.size() / 2);
                    HugePageAllocator.dealloc(block, layout);
                    assert!(flags.split(' ').any(|flag| flag == "hg"), "{is_kept}: {flags}");
                }
            }
        }
    }

    #[test]
    #[allow(unsafe_code)]
    fn blocks_keep_their_content_and_zeros_whatever_their_size() {
        for size in [1, LARGE - 1, LARGE, 3 * LARGE + 5] {
            let layout = Layout::from_size_align(size, 64).unwrap();
            let grown = Layout::from_size_align(2 * size, 64).unwrap();
            // SAFETY: the layouts are not empty, a block is used within its size, and freed with the layout that it has last.
            unsafe {
                let block = HugePageAllocator.alloc_zeroed(layout);
                assert!((0..size).all(|at| *block.add(at) == 0));
                block.add(size - 1).write(7);
                let block = HugePageAllocator.realloc(block, layout, 2 * size);
                assert_eq!((*block.add(size - 1), block.align_offset(64)), (7, 0));
                HugePageAllocator.dealloc(block, grown);
            }
        }
    }
}
