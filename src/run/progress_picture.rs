//! Renewal of `progress.png` while a run trains, on a thread of its own: the trainer does not wait for it.

use std::path::{Path, PathBuf};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::base::spawn_named;
use crate::report;

/// Least time between two pictures.
const LEAST_REST: Duration = Duration::from_secs(10);

/// Rest after a picture, as a multiple of the time that it took: a long journal takes longer to read.
const REST: u32 = 50;

/// Picture of a run's curves, drawn anew now and then.
pub(super) struct ProgressPicture {
    folder: PathBuf,
    drawing: Option<JoinHandle<Duration>>,
    /// Time until which the last picture is good enough.
    until: Instant,
}

impl ProgressPicture {
    /// Makes the picture of the run in `folder`; the first is drawn after a while.
    pub(super) fn of_run(folder: &Path) -> Self {
        let folder = folder.to_path_buf();
        Self { folder, drawing: None, until: Instant::now() + LEAST_REST }
    }

    /// Draws the picture anew, if the last one is old enough and done.
    pub(super) fn renew(&mut self) {
        if self.drawing.as_ref().is_some_and(|drawing| !drawing.is_finished()) {
            return;
        }
        if let Some(took) = self.drawing.take().and_then(|drawing| drawing.join().ok()) {
            self.until = Instant::now() + LEAST_REST.max(took * REST);
        }
        if Instant::now() < self.until {
            return;
        }
        let folder = self.folder.clone();
        let draw = move || {
            let began = Instant::now();
            if let Err(fault) = report::write_progress_picture(&folder) {
                tracing::debug!("no picture of the progress: {fault}");
            }
            began.elapsed()
        };
        // A run goes on without its picture.
        self.drawing = spawn_named("progress", draw).ok();
    }
}

impl Drop for ProgressPicture {
    fn drop(&mut self) {
        // The run's end draws the last one, into the same file.
        drop(self.drawing.take().map(JoinHandle::join));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::fs;
    use crate::run_folder::{CONFIG, EVENTS};

    #[test]
    fn a_picture_is_drawn_when_the_last_is_old_and_not_before() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(CONFIG), "").unwrap();
        let step = "{\"time\":1,\"event\":\"step\",\"step\":1,\"loss\":1.5,\"gradient_norm\":1}\n";
        fs::write(folder.path().join(EVENTS), step).unwrap();
        let picture = folder.path().join(report::PROGRESS);
        let mut progress = ProgressPicture::of_run(folder.path());
        progress.renew();
        assert!(progress.drawing.is_none(), "the run has only begun");
        progress.until = Instant::now();
        progress.renew();
        let took = progress.drawing.take().unwrap().join().unwrap();
        assert!(picture.is_file() && took > Duration::ZERO);
    }
}
