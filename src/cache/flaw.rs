//! Defects of cached files, and their conversion to errors.

use std::ops::RangeInclusive;
use std::path::Path;

use zerocopy::{FromBytes, Immutable, KnownLayout, Unaligned};

use crate::base::{CaseError, Reason};
use crate::cache::format::PAGE;

/// Defect in a file's bytes.
#[derive(Debug)]
pub(super) struct FileFlaw {
    reason: Reason,
    field: &'static str,
    problem: String,
}

impl FileFlaw {
    pub(super) fn bad_format(field: &'static str, problem: impl Into<String>) -> Self {
        Self { reason: Reason::Format, field, problem: problem.into() }
    }

    pub(super) fn checksum_mismatch(field: &'static str, stored: u32, computed: u32) -> Self {
        let problem = format!("crc32c is {computed:08x}, {stored:08x} was stored");
        Self { reason: Reason::Checksum, field, problem }
    }

    /// Converts to the error of a case file.
    pub(super) fn into_case_error(self, path: &Path) -> CaseError {
        let remedy = "`gliaflow cache verify` names the command that builds it again";
        self.into_error_with_remedy(path, remedy)
    }

    /// Converts to an error with this remedy.
    pub(super) fn into_error_with_remedy(self, path: &Path, remedy: &str) -> CaseError {
        let subject = format!("{}: {}", path.display(), self.field);
        CaseError::new(self.reason, subject, self.problem, remedy)
    }
}

/// Checks the first page of a file of the cache, which begins with magic, version, header length and
/// file length and ends with its checksum, and reads it as a `P`.
pub(super) fn parse_first_page<'a, P: FromBytes + KnownLayout + Immutable + Unaligned>(
    file: &'a [u8],
    magic: [u8; 8],
    readable: RangeInclusive<u32>,
    foreign: &str,
) -> Result<&'a P, FileFlaw> {
    let number = |at: usize| u32::from_le_bytes(std::array::from_fn(|byte| file[at + byte]));
    let page = file.get(..PAGE).and_then(|page| P::ref_from_bytes(page).ok()).ok_or_else(|| {
        FileFlaw::bad_format("length", format!("{} bytes, a header has {PAGE}", file.len()))
    })?;
    if file[..8] != magic {
        return Err(FileFlaw::bad_format("magic", foreign));
    }
    if !readable.contains(&number(8)) {
        let problem = format!(
            "{}, this gliaflow reads {} to {}",
            number(8),
            readable.start(),
            readable.end()
        );
        return Err(FileFlaw::bad_format("version", problem));
    }
    let stored = number(PAGE - 4);
    let computed = page_checksum(&file[..PAGE]);
    if stored != computed {
        return Err(FileFlaw::checksum_mismatch("header", stored, computed));
    }
    if number(12) as usize != PAGE {
        return Err(FileFlaw::bad_format("header length", format!("{}, not {PAGE}", number(12))));
    }
    let file_bytes = (u64::from(number(20)) << 32) | u64::from(number(16));
    if file_bytes != file.len() as u64 {
        let problem = format!("{} bytes, the header says {file_bytes}", file.len());
        return Err(FileFlaw::bad_format("length", problem));
    }
    Ok(page)
}

/// CRC32C of a first page, without the checksum at its end.
pub(super) fn page_checksum(page: &[u8]) -> u32 {
    crc32c::crc32c(&page[..PAGE - 4])
}
