//! `places.jsonl`: further folders whose files have the content of a cached case.
//!
//! A case file records the place that it was built from. Where the same files are found elsewhere,
//! because their dataset was moved or copied, they are read once to know it, and the place is kept here.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use crate::base::{Fault, Fingerprint};
use crate::cache::SourceState;
use crate::cache::json_lines::{append_line, read_lines};
use crate::volume::CaseId;

/// The file's name in the cache's root.
const FILE: &str = "places.jsonl";

/// Place of files that were read.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct KnownPlace {
    pub(super) case: CaseId,
    /// Fingerprint of the files' compressed bytes.
    pub(super) content: Fingerprint,
    #[serde(flatten)]
    pub(super) source: SourceState,
}

/// Places that this process knows, by the state of the files there.
#[derive(Debug)]
pub(super) struct KnownPlaces {
    path: PathBuf,
    by_state: Mutex<HashMap<Fingerprint, KnownPlace>>,
}

impl KnownPlaces {
    /// Reads the places known to the cache at `root`.
    pub(super) fn read(root: &Path) -> Result<Self, Fault> {
        let path = root.join(FILE);
        let (lines, _) = read_lines::<KnownPlace>(&path)?;
        let by_state = lines.into_iter().map(|line| (line.source.state, line)).collect();
        Ok(Self { path, by_state: Mutex::new(by_state) })
    }

    /// Fingerprint of what files in this state hold, if they were read.
    pub(super) fn content_of(&self, source: &SourceState) -> Option<Fingerprint> {
        self.by_state.lock().get(&source.state).map(|known| known.content)
    }

    /// Places at a folder or below it.
    pub(super) fn below(&self, folder: &Path) -> Vec<KnownPlace> {
        let known = self.by_state.lock();
        let below =
            known.values().filter(|known| Path::new(&known.source.folder).starts_with(folder));
        below.cloned().collect()
    }

    /// Remembers what another cache knows.
    pub(super) fn take_over(&self, places: Vec<KnownPlace>) {
        for KnownPlace { case, content, source } in places {
            if self.content_of(&source) != Some(content) {
                self.remember(&case, content, &source);
            }
        }
    }

    /// True if files of this content are known at another place, and something is there.
    pub(super) fn is_elsewhere(&self, content: Fingerprint, place: Fingerprint) -> bool {
        let known = self.by_state.lock();
        let mut others =
            known.values().filter(|known| known.content == content && known.source.place != place);
        others.any(|known| known.source.is_there())
    }

    /// True if files of this content are known at this place.
    pub(super) fn is_at(&self, content: Fingerprint, place: Fingerprint) -> bool {
        let known = self.by_state.lock();
        known.values().any(|known| known.content == content && known.source.place == place)
    }

    /// Remembers what files in this state hold. A cache that cannot be written costs a later run
    /// another reading, and no more.
    pub(super) fn remember(&self, case: &CaseId, content: Fingerprint, source: &SourceState) {
        let line = KnownPlace { case: case.clone(), content, source: source.clone() };
        if let Err(fault) = append_line(&self.path, &line) {
            tracing::debug!("not remembered: {fault}");
        }
        self.by_state.lock().insert(source.state, line);
    }
}
