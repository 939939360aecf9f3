//! Search for the case file that was built from what a case's files hold now.

use std::sync::{Arc, Once};

use crate::base::CaseError;
use crate::brats::{CaseFiles, CaseReader};
use crate::cache::{CaseStore, ExpectedSource, MappedCase, SourceFiles};

/// Finds the case file of `files`, whose state is `sources`. Files that no case file is known to be of
/// are read, if there is a case of that name: their dataset may have been moved or copied, or be
/// another one.
///
/// # Errors
/// When the files cannot be read, or a case file is there and cannot be used.
pub fn find_current_case(
    store: &CaseStore,
    reader: &CaseReader,
    files: &CaseFiles,
    sources: &SourceFiles,
) -> Result<Option<Arc<MappedCase>>, CaseError> {
    static TOLD: Once = Once::new();
    // A damaged file may be another dataset's.
    let known = store.find_case(&files.id, ExpectedSource::State(&sources.state));
    if let Ok(Some(case)) = known {
        return Ok(Some(case));
    }
    if !store.has_case_of_name(&files.id) {
        return Ok(None);
    }
    TOLD.call_once(|| {
        tracing::info!(
            "{}: not the files that the cache was built from, or moved or touched since; cases of \
             these names are compared by content",
            sources.state.folder
        );
    });
    let content = reader.read_headers(files)?.fingerprint;
    let found = store.find_case(&files.id, ExpectedSource::Fingerprint(content))?;
    if found.is_some() {
        store.remember_place(&files.id, content, &sources.state);
    }
    Ok(found)
}
