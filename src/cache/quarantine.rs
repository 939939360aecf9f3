//! `quarantine.jsonl`: append-only log of bad cases and their errors.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::base::{CaseError, Fault, Fingerprint, Reason};
use crate::cache::json_lines::{append_line, read_lines};
use crate::volume::CaseId;

/// The file's name in the cache's root.
pub(super) const FILE: &str = "quarantine.jsonl";

/// Bad case.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quarantined {
    /// The case.
    pub case: CaseId,
    /// Fingerprint of its compressed bytes, where they could be read: a repaired case has another
    /// one.
    pub fingerprint: Option<Fingerprint>,
    /// Fingerprint of the preprocessing under which it was bad: other settings may take it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preprocess: Option<Fingerprint>,
    /// Reason of the error.
    pub reason: Reason,
    /// The error in full.
    pub error: String,
    /// Time in seconds since 1970, by the caller's clock.
    pub unix_seconds: u64,
}

impl Quarantined {
    /// Creates the entry of a case.
    pub fn new(
        case: CaseId,
        fingerprint: Option<Fingerprint>,
        error: &CaseError,
        unix_seconds: u64,
    ) -> Self {
        let reason = error.reason;
        let error = error.to_string();
        Self { case, fingerprint, preprocess: None, reason, error, unix_seconds }
    }
}

/// Content of a quarantine file.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct QuarantineLog {
    /// Bad cases in the order in which they were met.
    pub entries: Vec<Quarantined>,
    /// Lines cut short by a crash, which are passed over.
    pub torn: usize,
}

/// The quarantine of one cache; several processes may append to it.
#[derive(Debug, Clone)]
pub struct Quarantine {
    path: PathBuf,
}

impl Quarantine {
    /// Names the quarantine of the cache at `root`; opens no file.
    pub fn of_cache(root: &Path) -> Self {
        Self { path: root.join(FILE) }
    }

    /// Adds a line, on disk when this returns.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn append(&self, entry: &Quarantined) -> Result<(), Fault> {
        append_line(&self.path, entry)
    }

    /// All lines; none where there is no file.
    ///
    /// # Errors
    /// When the file is there and cannot be read.
    pub fn read_all(&self) -> Result<QuarantineLog, Fault> {
        let (entries, torn) = read_lines(&self.path)?;
        Ok(QuarantineLog { entries, torn })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::fs;

    fn entry(case: &str) -> Quarantined {
        let error = CaseError::new(Reason::Checksum, "t1.nii.gz", "crc is wrong", "download again");
        Quarantined::new(CaseId::new(case), Some(Fingerprint([9; 16])), &error, 1_700_000_000)
    }

    #[test]
    fn lines_come_back_in_order_and_an_absent_file_is_empty() {
        let folder = tempfile::tempdir().unwrap();
        let quarantine = Quarantine::of_cache(folder.path());
        assert_eq!(quarantine.read_all().unwrap(), QuarantineLog::default());
        quarantine.append(&entry("a")).unwrap();
        quarantine.append(&entry("b")).unwrap();
        let wanted = QuarantineLog { entries: vec![entry("a"), entry("b")], torn: 0 };
        assert_eq!(quarantine.read_all().unwrap(), wanted);
    }

    #[test]
    fn a_torn_line_costs_itself_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let quarantine = Quarantine::of_cache(folder.path());
        quarantine.append(&entry("a")).unwrap();
        let whole = fs::read(&quarantine.path).unwrap();
        for cut in 1..whole.len() {
            fs::write(&quarantine.path, &whole[..whole.len() - cut]).unwrap();
            let before = quarantine.read_all().unwrap();
            assert_eq!(before.entries.len() + before.torn, 1, "cut by {cut}");
            quarantine.append(&entry("b")).unwrap();
            let after = quarantine.read_all().unwrap();
            assert_eq!(after.entries.last(), Some(&entry("b")), "cut by {cut}");
            assert_eq!(after.entries.len(), before.entries.len() + 1);
        }
    }

    #[test]
    fn threads_do_not_mix_their_lines() {
        let folder = tempfile::tempdir().unwrap();
        let quarantine = Quarantine::of_cache(folder.path());
        std::thread::scope(|scope| {
            for name in ["a", "b", "c", "d"] {
                let quarantine = &quarantine;
                scope.spawn(move || {
                    for _ in 0..5 {
                        quarantine.append(&entry(name)).unwrap();
                    }
                });
            }
        });
        let record = quarantine.read_all().unwrap();
        assert_eq!((record.entries.len(), record.torn), (20, 0));
    }
}
