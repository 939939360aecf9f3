//! Facts about the machine, and the limits that it sets a process.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Limit of open files that a process asks for: far more than a run and its endpoint need, and little
/// enough for programs that walk over all of them.
const OPEN_FILES: u64 = 1 << 16;

/// Number of threads that can run at once; 1 where the system does not tell.
pub fn core_count() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Limit of open files of this process; `None` where there is none.
pub fn open_file_limit() -> Option<usize> {
    getrlimit(Resource::Nofile).current.map(|limit| usize::try_from(limit).unwrap_or(usize::MAX))
}

/// Raises the limit of open files as far as the system lets a process, but not without bounds.
/// Shells give 1024 by default, of which clients of an endpoint may take a part.
pub fn raise_open_file_limit() {
    let Rlimit { current: Some(current), maximum } = getrlimit(Resource::Nofile) else { return };
    let wanted = maximum.map_or(OPEN_FILES, |maximum| maximum.min(OPEN_FILES));
    if wanted > current {
        // A system that refuses leaves the limit as it was, which is enough for a run.
        let _ = setrlimit(Resource::Nofile, Rlimit { current: Some(wanted), maximum });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_of_open_files_goes_up_and_never_down() {
        let before = open_file_limit();
        raise_open_file_limit();
        let after = open_file_limit();
        assert!(after >= before, "{before:?} {after:?}");
        let hard = getrlimit(Resource::Nofile).maximum;
        let reachable = hard.map_or(OPEN_FILES, |hard| hard.min(OPEN_FILES));
        assert!(after.is_none_or(|after| after as u64 >= reachable), "{after:?} of {reachable}");
    }
}
