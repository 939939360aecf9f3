//! Append-only file of lines, whose last line is whole after every start, and which outlives a full
//! disk.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Seek, SeekFrom, Write};
use std::path::PathBuf;

use crate::base::{Fault, end_of_last_line, fs};

/// Append-only file of lines.
pub(super) struct AppendFile {
    path: PathBuf,
    file: File,
    /// Bytes that a full disk has not taken yet.
    pending: Vec<u8>,
    /// Length in bytes, with those that are pending.
    length: u64,
}

impl AppendFile {
    /// Opens the file and cuts it to `length`, and further to the end of its last whole line.
    pub(super) fn open_truncated(path: PathBuf, length: u64) -> Result<Self, Fault> {
        let opened = || -> io::Result<(File, u64)> {
            let mut options = OpenOptions::new();
            let options = options.create(true).read(true).write(true).truncate(false);
            let mut file = fs::open_with(&path, options)?;
            let there = file.metadata()?.len().min(length);
            let length = end_of_last_line(&mut file, there)?;
            file.set_len(length)?;
            file.seek(SeekFrom::End(0))?;
            Ok((file, length))
        };
        let (file, length) = opened().map_err(|error| Fault::from_io(&path, &error))?;
        Ok(Self { path, file, pending: Vec::new(), length })
    }

    /// Length in bytes.
    pub(super) const fn len(&self) -> u64 {
        self.length
    }

    /// Appends a line. What a full disk does not take is kept for the next time.
    pub(super) fn append_line(&mut self, text: &str) -> Result<(), Fault> {
        let had_pending = !self.pending.is_empty();
        self.pending.extend_from_slice(text.as_bytes());
        self.pending.push(b'\n');
        self.length += text.len() as u64 + 1;
        match self.write_pending() {
            Err(error) if is_full(&error) => {
                if !had_pending {
                    tracing::warn!("{}: {error}; lines are kept in memory", self.path.display());
                }
                Ok(())
            }
            written => written.map_err(|error| Fault::from_io(&self.path, &error)),
        }
    }

    /// Flushes all lines to the disk.
    pub(super) fn sync_to_disk(&mut self) -> Result<(), Fault> {
        let written = self.write_pending().and_then(|()| self.file.sync_data());
        written.map_err(|error| Fault::from_io(&self.path, &error))
    }

    fn write_pending(&mut self) -> io::Result<()> {
        while !self.pending.is_empty() {
            match self.file.write(&self.pending) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(written) => drop(self.pending.drain(..written)),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

/// True if there is no space for what was to be written.
fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_torn_last_line_is_cut_wherever_it_was_torn() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lines");
        let long = "x".repeat(9000);
        let whole = format!("one\n{long}\nthree\n");
        for cut in 0..=whole.len() {
            fs::write(&path, &whole[..cut]).unwrap();
            let mut lines = AppendFile::open_truncated(path.clone(), u64::MAX).unwrap();
            let kept = whole[..cut].rfind('\n').map_or(0, |place| place + 1);
            assert_eq!(lines.len(), kept as u64, "cut at {cut}");
            if cut % 1000 == 0 {
                lines.append_line("more").unwrap();
                let text = fs::read_to_string(&path).unwrap();
                assert_eq!(text, format!("{}more\n", &whole[..kept]));
            }
        }
    }

    #[test]
    fn lines_that_a_full_disk_does_not_take_wait_and_a_sync_says_so() {
        let mut lines = AppendFile {
            path: "/dev/full".into(),
            file: fs::create("/dev/full").unwrap(),
            pending: Vec::new(),
            length: 0,
        };
        for _ in 0..2 {
            lines.append_line("one").unwrap();
        }
        assert_eq!(lines.len(), 8);
        let fault = lines.sync_to_disk().unwrap_err().to_string();
        assert!(fault.contains("no space left"), "{fault}");

        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("lines");
        lines.file = fs::create(&path).unwrap();
        lines.append_line("two").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "one\none\ntwo\n");
    }
}
