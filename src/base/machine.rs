//! Facts about the machine.

/// Number of threads that can run at once; 1 where the system does not tell.
pub fn core_count() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}
