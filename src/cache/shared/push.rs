//! Copying of a cache's case files to object storage.

use std::path::PathBuf;

use crate::cache::shared::object_name::StoredCases;
use crate::cache::shared::{TransferReport, Transferred, transfer_all};
use crate::cache::upkeep::{is_of_this_format, open_in_place};
use crate::cache::{CacheError, CaseStore, Verify};
use crate::storage::ObjectFolder;

impl CaseStore {
    /// Copies every case file below the root, of whatever settings, to `target`, unless the same case is there:
    /// what was begun before goes on. A damaged file is not copied. `progress` gets the number of files that
    /// are done, and of all.
    ///
    /// A file is checked whole before it is copied, and in memory while it is.
    ///
    /// # Errors
    /// If the cache cannot be read, or the server refuses.
    pub fn push_cases(
        &self,
        target: &ObjectFolder,
        mut progress: impl FnMut(usize, usize) + Send,
    ) -> Result<TransferReport, CacheError> {
        let there = StoredCases::list(target)?;
        let mut paths = self.case_files()?;
        paths.retain(|path| path.parent().is_some_and(is_of_this_format));
        let total = paths.len();
        let push = |path: PathBuf| {
            let is_there =
                open_in_place(&path, Verify::Header).is_ok_and(|own| there.has_case(&own));
            if is_there {
                return Ok(Transferred::Present);
            }
            let case = match open_in_place(&path, Verify::Full) {
                Ok(case) => case,
                Err(damage) => return Ok(Transferred::Damaged(damage)),
            };
            let bytes = case.file_content().to_vec();
            case.check_pages()?;
            let length = bytes.len() as u64;
            target.write_object(&StoredCases::name_of(&case, &bytes), bytes)?;
            Ok(Transferred::Copied(length))
        };
        transfer_all(paths, push, |done| progress(done, total))
    }
}
