//! Periodic polls of a run's endpoint, on a thread of their own: a slow response must not block the
//! keyboard.

use std::path::PathBuf;
use std::sync::mpsc::{Receiver, TryRecvError, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use crate::base::{Fault, format_duration, spawn_named};
use crate::cli::top::history::TrainingHistory;
use crate::cli::top::journal::RunJournal;
use crate::cli::top::rates::SnapshotWindow;
use crate::cli::top::snapshot::EndpointSnapshot;
use crate::cli::top::view::RunView;
use crate::run_folder::FinishedEvent;

type PollResult = Result<EndpointSnapshot, String>;

/// Periodic polls of a run, and all that is known of it.
pub(super) struct Poller {
    address: String,
    folder: Option<PathBuf>,
    news: Receiver<PollResult>,
    window: SnapshotWindow,
    history: TrainingHistory,
    steps_planned: Option<u64>,
    /// Time of the first failed poll since the last response, and the last error.
    silent: Option<(Instant, String)>,
    /// End of the run, once it no longer answers.
    end: Option<FinishedEvent>,
}

impl Poller {
    /// Starts polling every `interval`, after a first snapshot. The folder's journal has the
    /// history.
    ///
    /// # Errors
    /// If the system has no thread left.
    pub(super) fn start(
        address: String,
        folder: Option<PathBuf>,
        first: EndpointSnapshot,
        interval: Duration,
    ) -> Result<Self, Fault> {
        let (bring, news) = sync_channel(1);
        let asked = address.clone();
        let began = Instant::now();
        spawn_named("watcher", move || {
            loop {
                thread::sleep(interval);
                let snapshot = EndpointSnapshot::fetch_from(&asked, began.elapsed().as_secs_f64());
                if bring.send(snapshot).is_err() {
                    return;
                }
            }
        })?;
        Ok(Self::with_receiver(address, folder, first, news))
    }

    fn with_receiver(
        address: String,
        folder: Option<PathBuf>,
        first: EndpointSnapshot,
        news: Receiver<PollResult>,
    ) -> Self {
        let past =
            folder.as_deref().and_then(|folder| RunJournal::read(folder).ok()).unwrap_or_default();
        let mut history = past.history;
        history.add_scrape(&first.scrape);
        Self {
            address,
            folder,
            news,
            window: SnapshotWindow::new(first),
            history,
            steps_planned: past.progress.steps_planned,
            silent: None,
            end: None,
        }
    }

    /// Takes in a poll that has come; false if none has. A failed poll counts as well.
    pub(super) fn apply_pending(&mut self) -> bool {
        match self.news.try_recv() {
            Ok(news) => self.apply_result(news),
            Err(TryRecvError::Empty) => return false,
            Err(TryRecvError::Disconnected) => {
                self.apply_result(Err("the watcher has ended".into()))
            }
        }
        true
    }

    /// Waits for the next poll; true if it has a snapshot.
    pub(super) fn wait_for_snapshot(&mut self) -> bool {
        let Ok(news) = self.news.recv() else { return false };
        self.apply_result(news);
        self.silent.is_none()
    }

    fn apply_result(&mut self, news: PollResult) {
        match news {
            Ok(snapshot) => {
                self.silent = None;
                self.history.add_scrape(&snapshot.scrape);
                self.window.add_snapshot(snapshot);
            }
            Err(problem) => {
                let since = self.silent.take().map_or_else(Instant::now, |(since, _)| since);
                self.silent = Some((since, problem.to_lowercase()));
                let past = self.folder.as_deref().and_then(|folder| RunJournal::read(folder).ok());
                self.end = past.and_then(|past| past.end);
            }
        }
    }

    /// The view of the run as it is known now.
    pub(super) fn current_view(&self) -> RunView {
        let mut view = RunView::of_window(&self.window, &self.history, &self.address);
        view.progress.steps_planned = self.steps_planned;
        let Some((since, problem)) = &self.silent else { return view };
        let notice = match &self.end {
            Some(FinishedEvent { state, cause, .. }) => {
                view.state.clone_from(state);
                let why = cause.as_ref().map_or_else(String::new, |cause| format!(": {cause}"));
                format!("the run has ended: {state}{why}. These are its last figures")
            }
            None => {
                let silent = format_duration(since.elapsed().as_secs_f64());
                format!(
                    "no answer for {silent} ({problem}): the run has ended, or its machine cannot \
                     be reached"
                )
            }
        };
        view.notice = Some(notice);
        view
    }
}

#[cfg(test)]
mod tests {
    use super::super::test_recordings::test_snapshot;
    use super::*;
    use crate::run_folder::EVENTS;

    #[test]
    fn a_run_that_falls_silent_keeps_its_figures_and_its_journal_says_how_it_ended() {
        let folder = tempfile::tempdir().unwrap();
        let journal = folder.path().join(EVENTS);
        let before = "{\"time\":1,\"event\":\"started\",\"step\":0,\"steps\":9}\n\
                      {\"time\":2,\"event\":\"step\",\"step\":1,\"loss\":2.0}\n";
        std::fs::write(&journal, before).unwrap();
        let text = "train_step 2\ntrain_loss{split=\"train\",part=\"total\"} 1.5\n";
        let (bring, news) = sync_channel(2);
        let path = Some(folder.path().to_path_buf());
        let mut watcher =
            Poller::with_receiver("127.0.0.1:1".into(), path, test_snapshot(0.0, text), news);
        assert!(!watcher.apply_pending());
        assert_eq!(
            watcher.current_view().losses,
            [2.0, 1.5],
            "the journal's step, then the endpoint's"
        );
        assert_eq!(watcher.current_view().progress.steps_planned, Some(9));

        bring.send(Err("Connection refused".into())).unwrap();
        assert!(watcher.apply_pending());
        let view = watcher.current_view();
        let notice = view.notice.unwrap();
        assert!(notice.starts_with("no answer for 0.0 s (connection refused)"), "{notice}");
        assert_eq!(view.progress.step, Some(2));

        let end = "{\"time\":3,\"event\":\"finished\",\"step\":2,\"state\":\"stopped\"}\n";
        std::fs::write(&journal, format!("{before}{end}")).unwrap();
        bring.send(Err("Connection refused".into())).unwrap();
        assert!(!watcher.wait_for_snapshot());
        assert_eq!(watcher.current_view().state, "stopped");
        assert!(watcher.current_view().notice.unwrap().starts_with("the run has ended: stopped."));

        bring.send(Ok(test_snapshot(3.0, "train_step 3\n"))).unwrap();
        assert!(watcher.wait_for_snapshot(), "it was resumed at the same address");
        assert_eq!(
            (watcher.current_view().notice, watcher.current_view().progress.step),
            (None, Some(3))
        );
    }
}
