//! Files of cases of one name: which one new contents replace, and which are other datasets'.

use std::path::PathBuf;
use std::sync::Arc;

use crate::base::{CaseError, Fingerprint, Reason};
use crate::cache::format::{EXTENSION, same_name_extensions};
use crate::cache::{CaseContents, CaseStore, MappedCase, SourceFiles};
use crate::volume::CaseId;

impl CaseStore {
    /// Paths of all files that may hold a case of this name: a second dataset with the same names
    /// finds the first path taken.
    pub(super) fn case_paths(
        &self,
        id: &CaseId,
    ) -> Result<impl Iterator<Item = PathBuf> + use<>, CaseError> {
        let first = self.case_path(id)?;
        let id = id.clone();
        let extensions = same_name_extensions(EXTENSION);
        Ok(extensions.map(move |extension| first.with_file_name(format!("{id}.{extension}"))))
    }

    /// True if there is a file of a case of this name, whatever it was built from.
    pub fn has_case_of_name(&self, id: &CaseId) -> bool {
        self.case_paths(id).is_ok_and(|mut paths| paths.any(|path| path.exists()))
    }

    /// Finds the case that was built from `sources` when they held something else than `content`,
    /// under the same names, lengths and times.
    ///
    /// # Errors
    /// When the id cannot name a file.
    pub fn find_outdated(
        &self,
        id: &CaseId,
        sources: &SourceFiles,
        content: Fingerprint,
    ) -> Result<Option<Arc<MappedCase>>, CaseError> {
        let opened = self.case_paths(id)?.filter_map(|path| self.open_case(&path, id).ok());
        let mut outdated = opened.filter(|case| {
            case.fingerprint() != content
                && case.source_files() == sources.files
                && self.is_only_at(case, sources.state.place)
        });
        Ok(outdated.next().map(Arc::new))
    }

    /// Chooses the file for contents: that of the same case as it was before, else the first that is
    /// damaged or not there, else the first whose source files are gone. A file of another dataset's case
    /// that is there stays.
    pub(super) fn choose_path(&self, contents: &CaseContents) -> Result<PathBuf, CaseError> {
        let mut free = None;
        let mut orphaned = None;
        for path in self.case_paths(&contents.id)? {
            match self.open_case(&path, &contents.id) {
                Ok(case) if self.is_same_case(&case, contents) => return Ok(path),
                Ok(case) if case.source_state().is_some_and(|source| !source.is_there()) => {
                    orphaned.get_or_insert(path);
                }
                Ok(_) => {}
                Err(_) => _ = free.get_or_insert(path),
            }
        }
        free.or(orphaned).ok_or_else(|| {
            let problem = "the cache holds cases of this name of too many other datasets";
            let remedy = "use another cache: --cache DIR or --set data.cache=DIR; or delete the files of \
                          this name there: what is needed is built again";
            CaseError::new(Reason::Format, self.folder().display(), problem, remedy)
                .of_case(&contents.id)
        })
    }

    /// True if a cached case and new contents are one case: of the same channels, and built from the same
    /// bytes, or from files of one place that changed since. Contents without a record of their files count as the same.
    fn is_same_case(&self, cached: &MappedCase, contents: &CaseContents) -> bool {
        let (own, other) = (&cached.description().meaning, &contents.description.meaning);
        if !own.has_channels_of(other) {
            return false;
        }
        if cached.fingerprint() == contents.fingerprint {
            return true;
        }
        match (cached.source_state(), &contents.description.source) {
            (Some(_), Some(source)) => self.is_only_at(cached, source.place),
            (None, None) => true,
            _ => false,
        }
    }

    /// True if the files that a case was built from are at this place and, as far as is known, at no
    /// other.
    fn is_only_at(&self, cached: &MappedCase, place: Fingerprint) -> bool {
        let content = cached.fingerprint();
        let Some(own) = cached.source_state() else { return false };
        if self.places.is_elsewhere(content, place) {
            return false;
        }
        // Files that were moved here are still recorded where they were.
        own.place == place || (self.places.is_at(content, place) && !own.is_there())
    }
}
