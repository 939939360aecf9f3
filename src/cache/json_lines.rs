//! Files of the cache with one JSON object a line, which several processes append to.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::base::{Fault, fs, lock_exclusive};

/// Adds a line, on disk when this returns.
///
/// # Errors
/// When the file cannot be written.
pub(super) fn append_line<T: Serialize>(path: &Path, value: &T) -> Result<(), Fault> {
    try_append(path, value).map_err(|error| Fault::from_io(path, &error))
}

fn try_append<T: Serialize>(path: &Path, value: &T) -> io::Result<()> {
    let mut options = OpenOptions::new();
    let mut file = fs::open_with(path, options.create(true).read(true).append(true))?;
    lock_exclusive(&file, path)?;
    let mut line = serde_json::to_vec(value)?;
    line.push(b'\n');
    if ends_mid_line(&mut file)? {
        line.insert(0, b'\n');
    }
    file.write_all(&line)?;
    file.sync_data()
}

/// Reads all lines, and the number of those cut short by a crash; none where there is no file.
///
/// # Errors
/// When the file is there and cannot be read.
pub(super) fn read_lines<T: DeserializeOwned>(path: &Path) -> Result<(Vec<T>, usize), Fault> {
    let bytes = fs::if_present(fs::read(path))?.unwrap_or_default();
    let mut whole = Vec::new();
    let mut torn = 0;
    for line in bytes.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
        match serde_json::from_slice(line) {
            Ok(entry) => whole.push(entry),
            Err(_) => torn += 1,
        }
    }
    Ok((whole, torn))
}

/// True if the last line lacks its end.
fn ends_mid_line(file: &mut File) -> io::Result<bool> {
    if file.metadata()?.len() == 0 {
        return Ok(false);
    }
    let mut last = [0];
    file.seek(SeekFrom::End(-1))?;
    file.read_exact(&mut last)?;
    Ok(last != *b"\n")
}
