//! Allocator of a program: that of the system, with large blocks on huge pages and freed memory that stays.

use std::alloc::{GlobalAlloc, Layout, System};

/// Bytes from which a block is worth huge pages: one of those of x86-64.
const LARGE: usize = 2 << 20;

/// Allocator of the system that asks for huge pages under large blocks, for `#[global_allocator]` of a program.
///
/// Volumes and activations are read and written from end to end, and a page of 4 KiB is 64 lines of the cache: finding the next one costs a
/// virtual machine in particular up to 5 % of a cold sample (`benches/runs/2026-11-30-cold-and-huge-pages.md`). Most
/// systems give huge pages to who asks (`madvise` in `/sys/kernel/mm/transparent_hugepage/enabled`); elsewhere it is a request without an effect.
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

/// Asks for huge pages under the whole pages of a large block, and returns the block.
#[inline]
fn advise_huge_pages(block: *mut u8, size: usize) -> *mut u8 {
    #[cfg(target_os = "linux")]
    if size >= LARGE && !block.is_null() {
        request_huge_pages(block, size);
    }
    block
}

#[cfg(target_os = "linux")]
#[allow(unsafe_code)]
fn request_huge_pages(block: *mut u8, size: usize) {
    // The smallest page of any processor; where pages are larger, the system refuses and nothing happens.
    const PAGE: usize = 4 << 10;
    let ahead = block.align_offset(PAGE);
    let pages = (size - ahead) / PAGE * PAGE;
    // SAFETY: the pages lie within the block, which is the caller's. The advice changes no content, and an error means that it
    // was not taken.
    unsafe { libc::madvise(block.wrapping_add(ahead).cast(), pages, libc::MADV_HUGEPAGE) };
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
        // At the end of the heap, -1 is "never", in the manual's words.
        let settings = [(libc::M_MMAP_MAX, 0), (libc::M_TRIM_THRESHOLD, -1)];
        for (setting, value) in settings {
            // SAFETY: `mallopt` takes two numbers, and locks the allocator's state itself. A setting that it does not take
            // leaves everything as it was.
            unsafe { libc::mallopt(setting, value) };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
