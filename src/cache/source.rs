//! State of a case's source files, to tell without reading them if a cached case is current.
//!
//! It errs towards reading: files that were moved, copied or touched have another state, and their
//! fingerprint, which is the truth, says if they hold what a case file was built from.

use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::base::{CaseError, Fingerprint, Fingerprinter};
use crate::storage::{self, FileState, FolderState};

/// Source file as it was when the case was built.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceFile {
    /// File name without the folder.
    pub name: String,
    /// Length of the file in bytes.
    pub bytes: u64,
    /// Modification time in nanoseconds since 1970; 0 where the file system keeps none.
    pub modified_ns: i64,
}

impl SourceFile {
    fn of_state(path: &Path, state: &FileState) -> Self {
        Self {
            name: path.file_name().unwrap_or_default().to_string_lossy().into_owned(),
            bytes: state.bytes,
            modified_ns: state.modified_ns,
        }
    }
}

/// Place and state of a case's files. Another dataset's files have another state even if their names,
/// lengths and times of modification are the same.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceState {
    /// Folder of the case, resolved.
    pub folder: String,
    /// Fingerprint of the folder's path and of its number in the file system: two disks may be
    /// mounted at one path in turn.
    pub place: Fingerprint,
    /// Fingerprint of the place, and of each file's name, length, number in the file system, time of
    /// modification and time of change, which no program can set back.
    pub state: Fingerprint,
}

impl SourceState {
    /// True if something is at the folder's path, be it another folder.
    pub(super) fn is_there(&self) -> bool {
        // A prefix of object storage is not asked for: it stays until its cases are looked for.
        storage::is_remote(Path::new(&self.folder)) || Path::new(&self.folder).exists()
    }
}

/// Files of a case as they are on the disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceFiles {
    /// Files in the order of reading.
    pub files: Vec<SourceFile>,
    /// State of all of them.
    pub state: SourceState,
}

impl SourceFiles {
    /// Reads the state of the files at `paths`, the first of which is in the case's folder.
    ///
    /// # Errors
    /// When one is missing or unreadable.
    pub fn read_metadata<'a>(
        paths: impl IntoIterator<Item = &'a PathBuf>,
    ) -> Result<Self, CaseError> {
        let mut paths = paths.into_iter().peekable();
        let folder = paths.peek().and_then(|first| first.parent()).unwrap_or(Path::new("."));
        let folder = if folder == Path::new("") { Path::new(".") } else { folder };
        let FolderState { path: resolved, identity } = storage::stat_folder(folder)?;
        let place = Fingerprint::of_bytes(&identity);
        let mut state = Fingerprinter::default();
        state.update(&place.0);
        let mut files = Vec::new();
        for path in paths {
            let found = storage::stat_file(path)?;
            let name = path.file_name().unwrap_or_default();
            state.update(&(name.len() as u64).to_le_bytes());
            state.update(name.as_bytes());
            state.update(&found.identity);
            files.push(SourceFile::of_state(path, &found));
        }
        let folder = resolved.to_string_lossy().into_owned();
        Ok(Self { files, state: SourceState { folder, place, state: state.finish() } })
    }

    /// Takes up how the content of the files is ordered, where that is not the files' own.
    #[must_use]
    pub fn with_order(mut self, order: &[u8]) -> Self {
        let mut state = Fingerprinter::default();
        state.update(&self.state.state.0);
        state.update(order);
        self.state.state = state.finish();
        self
    }
}

/// Source that a cached case must have been built from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExpectedSource<'a> {
    /// Any source.
    Anything,
    /// Files with this fingerprint of their compressed bytes.
    Fingerprint(Fingerprint),
    /// Files in this state, as far as it is known what they hold.
    State(&'a SourceState),
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use super::*;
    use crate::base::fs;

    fn write_case(folder: &Path, content: u8) -> SourceFiles {
        fs::create_dir_all(folder).unwrap();
        let paths = ["t1.nii", "seg.nii"].map(|name| folder.join(name));
        for path in &paths {
            fs::write(path, [content]).unwrap();
            set_time(path);
        }
        read(folder)
    }

    fn set_time(path: &Path) {
        let file = std::fs::File::options().write(true).open(path).unwrap();
        file.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(9)).unwrap();
    }

    fn read(folder: &Path) -> SourceFiles {
        let paths = ["t1.nii", "seg.nii"].map(|name| folder.join(name));
        SourceFiles::read_metadata(&paths).unwrap()
    }

    #[test]
    fn files_alike_in_name_length_and_time_differ_by_place_and_by_what_replaced_them() {
        let root = tempfile::tempdir().unwrap();
        let [one, other, away] = ["one", "other", "away"].map(|name| root.path().join(name));
        let first = write_case(&one, 1);
        let second = write_case(&other, 2);
        assert_eq!(first.files, second.files);
        assert_ne!(first.state.place, second.state.place);
        assert_ne!(first.state.state, second.state.state);
        assert_eq!(read(&one), first, "nothing changed");
        std::os::unix::fs::symlink(&one, root.path().join("link")).unwrap();
        assert_eq!(read(&root.path().join("link")), first, "by another name for the place");

        // The other dataset under the first one's path.
        fs::rename(&one, &away).unwrap();
        fs::rename(&other, &one).unwrap();
        assert_ne!(read(&one).state.place, first.state.place);
        assert_ne!(read(&one).state.state, first.state.state);
        fs::rename(&one, &other).unwrap();
        fs::rename(&away, &one).unwrap();
        assert_eq!(read(&one), first);

        // Another file in the place of one, as `rsync` leaves it.
        fs::write(one.join("new"), [3]).unwrap();
        set_time(&one.join("new"));
        fs::rename(one.join("new"), one.join("seg.nii")).unwrap();
        let replaced = read(&one);
        assert_eq!((&replaced.files, replaced.state.place), (&first.files, first.state.place));
        assert_ne!(replaced.state.state, first.state.state);
    }
}
