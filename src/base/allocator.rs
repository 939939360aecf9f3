//! Settings of the process's allocator.

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
