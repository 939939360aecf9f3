//! Changing how many workers a stage has while its topology runs.
//!
//! Which worker takes an item decides when it is done, never what becomes of it, so a change touches
//! neither the order nor the accounts; the tickets do not change with it, so neither do memory and
//! back-pressure.

use std::sync::Arc;

use crate::actor::post::Post;
use crate::actor::shell::Shell;
use crate::actor::stop::StopState;
use crate::base::error::Fault;

/// The workers of a topology; clones are the same ones. It keeps no thread, no queue and no stage.
#[derive(Clone)]
pub struct Crew(pub(super) Arc<Shell>);

impl Crew {
    /// Gives `stage` so many workers, but at least one.
    ///
    /// New ones start at once. One that is too many leaves when it has handed on the item it is
    /// working on or, if it waits for one, the next: nobody is interrupted. A topology that
    /// drains, is aborted or has ended stays as it is. Stages of the same name are treated alike.
    ///
    /// # Errors
    /// There is no stage of that name (the source and the sink have one worker for good), or the
    /// system refuses a thread; those that have been started stay.
    pub fn resize(&self, stage: &str, workers: usize) -> Result<(), Fault> {
        let is_meant = |post: &&Arc<Post>| post.name == stage && post.recruit.is_some();
        let posts: Vec<&Arc<Post>> = self.0.posts.iter().filter(is_meant).collect();
        if posts.is_empty() {
            return Err(self.unknown(stage));
        }
        if self.0.latch.state() > StopState::Running {
            return Ok(());
        }
        for post in posts {
            post.want(workers.max(1));
            self.0.staff(post)?;
        }
        Ok(())
    }

    fn unknown(&self, stage: &str) -> Fault {
        let stages = self.0.posts.iter().filter(|post| post.recruit.is_some());
        let names: Vec<&str> = stages.map(|post| post.name).collect();
        Fault::Environment {
            subject: format!("topology {}: workers of {stage}", self.0.topology),
            problem: "it has no such stage".to_owned(),
            remedy: format!("name one of: {}", names.join(", ")),
        }
    }
}
