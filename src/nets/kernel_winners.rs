//! Store of which kernels are faster, by the pass of a convolution and its shape, on one card with one driver.
//!
//! A winner is a file of its own, published whole; of two processes that time the same pass, the one that is done first
//! decides for both. What cannot be written is timed again by the next process.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, OnceLock, PoisonError};

use serde::{Deserialize, Serialize};

use crate::base::{Fingerprint, fs, write_json};

/// Kernels that compete for a pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum PassKernels {
    /// Kernels of `nets/cuda`.
    Own,
    /// The fastest that CubeCL's tuner finds.
    Cubecl,
}

/// Record of a pass that was timed; the file says all of it, for people.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct TimedPass {
    pass: String,
    own_seconds: f64,
    cubecl_seconds: f64,
    winner: PassKernels,
}

/// Winners of one card and driver.
pub(super) struct KernelWinners {
    folder: Option<PathBuf>,
    known: Mutex<HashMap<String, PassKernels>>,
}

static WINNERS: OnceLock<KernelWinners> = OnceLock::new();

/// Keeps winners in `folder`, which is of one card and driver; in this process alone without one. What is said first
/// counts.
pub fn keep_kernel_winners(folder: Option<PathBuf>) {
    WINNERS.get_or_init(|| KernelWinners::new(folder));
}

impl KernelWinners {
    fn new(folder: Option<PathBuf>) -> Self {
        Self { folder, known: Mutex::default() }
    }

    /// Winners of this process.
    #[cfg(feature = "cuda")]
    pub(super) fn of_process() -> &'static Self {
        WINNERS.get_or_init(|| Self::new(None))
    }

    /// Returns the winner of `pass`, in words that tell all passes apart. One that is not known is found out:
    /// `measure_seconds` times either kernels.
    #[cfg_attr(not(any(feature = "cuda", test)), expect(dead_code, reason = "only CUDA has both"))]
    pub(super) fn find_winner(
        &self,
        pass: &str,
        mut measure_seconds: impl FnMut(PassKernels) -> f64,
    ) -> PassKernels {
        // Not held while kernels run: two threads may time the same pass, and then agree.
        if let Some(winner) = self.lock_known().get(pass) {
            return *winner;
        }
        let path = self.folder.as_ref().map(|folder| folder.join(file_name(pass)));
        let kept = || path.as_deref().and_then(|path| read_winner(path, pass));
        let winner = kept().unwrap_or_else(|| {
            let [own_seconds, cubecl_seconds] =
                [PassKernels::Own, PassKernels::Cubecl].map(&mut measure_seconds);
            let is_cubecl = cubecl_seconds < own_seconds;
            let winner = if is_cubecl { PassKernels::Cubecl } else { PassKernels::Own };
            tracing::info!(
                "{pass}: {:.3} ms by own kernels, {:.3} ms by CubeCL's",
                1e3 * own_seconds,
                1e3 * cubecl_seconds
            );
            let timed = TimedPass { pass: pass.to_owned(), own_seconds, cubecl_seconds, winner };
            // Another process may have been faster.
            kept().unwrap_or_else(|| {
                if let Some(path) = &path {
                    publish_winner(path, &timed);
                }
                winner
            })
        });
        *self.lock_known().entry(pass.to_owned()).or_insert(winner)
    }

    fn lock_known(&self) -> std::sync::MutexGuard<'_, HashMap<String, PassKernels>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn file_name(pass: &str) -> String {
    format!("{}.json", Fingerprint::of_bytes(pass.as_bytes()))
}

/// Reads a winner; none if there is no such file, or what it says is not of this pass.
fn read_winner(path: &Path, pass: &str) -> Option<PassKernels> {
    let timed: TimedPass = serde_json::from_slice(&fs::read(path).ok()?).ok()?;
    (timed.pass == pass).then_some(timed.winner)
}

fn publish_winner(path: &Path, timed: &TimedPass) {
    let folder = path.parent().map_or(Ok(()), fs::create_dir_all);
    let published = folder.map_err(Into::into).and_then(|()| write_json(path, timed));
    if let Err(fault) = published {
        tracing::debug!("the faster kernels of {} are not kept: {fault}", timed.pass);
    }
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;

    fn store(folder: &Path) -> KernelWinners {
        KernelWinners::new(Some(folder.to_path_buf()))
    }

    /// Timing in which own kernels take `own` seconds and CubeCL's one, and which may not be asked for where it is 0.
    fn timing(own: f64) -> impl FnMut(PassKernels) -> f64 {
        move |kernels| {
            assert!(own > 0.0, "timed again");
            if kernels == PassKernels::Own { own } else { 1.0 }
        }
    }

    #[test]
    fn the_faster_is_found_once_and_found_again_by_the_next_process() {
        let folder = tempfile::tempdir().unwrap();
        let first = store(folder.path());
        assert_eq!(first.find_winner("forward 30", timing(0.5)), PassKernels::Own);
        assert_eq!(first.find_winner("forward 60", timing(2.0)), PassKernels::Cubecl);
        for winners in [first, store(folder.path())] {
            assert_eq!(winners.find_winner("forward 30", timing(0.0)), PassKernels::Own);
            assert_eq!(winners.find_winner("forward 60", timing(0.0)), PassKernels::Cubecl);
        }
        // A tie is no reason to leave the kernels that give the same bits in every run.
        assert_eq!(store(folder.path()).find_winner("tie", timing(1.0)), PassKernels::Own);
    }

    #[test]
    fn of_processes_that_time_at_once_the_first_decides_for_all_later_ones() {
        let kept = tempfile::tempdir().unwrap();
        let folder = kept.path();
        for pass in ["a", "b", "c", "d"] {
            thread::scope(|scope| {
                for own in [0.5, 2.0, 0.25, 4.0] {
                    scope.spawn(move || store(folder).find_winner(pass, timing(own)));
                }
            });
            let later = store(folder).find_winner(pass, timing(0.0));
            assert_eq!(store(folder).find_winner(pass, timing(0.0)), later);
        }
        assert_eq!(std::fs::read_dir(folder).unwrap().count(), 4);
        // Its verdict came while this process was timing: that is the one that counts.
        let slower = store(folder);
        let meanwhile = |kernels| {
            store(folder).find_winner("late", timing(2.0));
            if kernels == PassKernels::Own { 0.5 } else { 1.0 }
        };
        assert_eq!(slower.find_winner("late", meanwhile), PassKernels::Cubecl);
    }

    #[test]
    fn a_file_that_is_cut_or_of_another_pass_counts_for_nothing_and_is_written_anew() {
        let folder = tempfile::tempdir().unwrap();
        store(folder.path()).find_winner("forward", timing(0.5));
        let path = folder.path().join(file_name("forward"));
        let whole = std::fs::read(&path).unwrap();
        let of_another = String::from_utf8(whole.clone()).unwrap().replace("forward", "backward");
        for broken in [&whole[..whole.len() / 2], of_another.as_bytes()] {
            std::fs::write(&path, broken).unwrap();
            assert_eq!(
                store(folder.path()).find_winner("forward", timing(2.0)),
                PassKernels::Cubecl
            );
            assert_eq!(
                store(folder.path()).find_winner("forward", timing(0.0)),
                PassKernels::Cubecl
            );
            std::fs::write(&path, &whole).unwrap();
        }
    }

    #[test]
    fn without_a_folder_or_one_that_can_be_written_winners_are_of_the_process() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        std::fs::write(&file, "no folder").unwrap();
        for place in [None, Some(file.join("winners"))] {
            let winners = KernelWinners::new(place);
            assert_eq!(winners.find_winner("forward", timing(2.0)), PassKernels::Cubecl);
            assert_eq!(winners.find_winner("forward", timing(0.0)), PassKernels::Cubecl);
        }
    }
}
