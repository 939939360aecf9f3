//! Content of a file read in order, inflated where it is compressed: all of it, so that every checksum
//! is compared.

use std::io::{self, ErrorKind, Read};
use std::path::Path;

use crate::base::{CaseError, Reason};
use crate::brats::gzip::{self, MemberReader};

/// Bytes that are inflated at once where the content is not kept; whole numbers of every type fill it.
const PIECE: usize = 64 << 10;

/// Bytes after the last voxel that need no word: some writers pad.
pub(super) const TRAILING: u64 = 64 << 10;

/// Fills `into` with the bytes that follow the content's first `skip`.
pub(super) fn stream_into(
    path: &Path,
    raw: &[u8],
    skip: usize,
    into: &mut [u8],
) -> Result<(), CaseError> {
    let mut content = ContentStream::new(path, raw, skip, into.len())?;
    content.fill_next(into)?;
    content.finish()
}

/// Hands the `length` bytes that follow the content's first `skip` to `visit`, in pieces of whole
/// numbers of any type. All of the content is read, as by
/// [`decompress_into`](super::bytes::decompress_into).
pub(super) fn visit_pieces(
    path: &Path,
    raw: &[u8],
    skip: usize,
    length: usize,
    mut visit: impl FnMut(&[u8]),
) -> Result<(), CaseError> {
    let mut content = ContentStream::new(path, raw, skip, length)?;
    let mut piece = vec![0; PIECE.min(length)];
    let mut left = length;
    while left > 0 {
        let part = &mut piece[..PIECE.min(left)];
        content.fill_next(part)?;
        visit(part);
        left -= part.len();
    }
    content.finish()
}

/// Content of a file behind its first `skip` bytes, read in order.
struct ContentStream<'a> {
    path: &'a Path,
    content: Box<dyn Read + 'a>,
    /// Bytes so far, those that were skipped included.
    found: u64,
    expected: usize,
}

impl<'a> ContentStream<'a> {
    fn new(path: &'a Path, raw: &'a [u8], skip: usize, length: usize) -> Result<Self, CaseError> {
        let mut content = content_reader(raw);
        let found = io::copy(&mut content.by_ref().take(skip as u64), &mut io::sink())
            .map_err(|error| corrupt_error(path, &error))?;
        Ok(Self { path, content, found, expected: skip + length })
    }

    fn fill_next(&mut self, into: &mut [u8]) -> Result<(), CaseError> {
        let mut filled = 0;
        while filled < into.len() {
            let read = self.content.read(&mut into[filled..]);
            let count = read.map_err(|error| corrupt_error(self.path, &error))?;
            if count == 0 {
                return Err(cut_off_error(self.path, self.found, self.expected));
            }
            filled += count;
            self.found += count as u64;
        }
        Ok(())
    }

    fn finish(self) -> Result<(), CaseError> {
        let Self { path, mut content, .. } = self;
        skip_rest(path, &mut content)
    }
}

/// Reads the content behind the last voxel, so that every checksum is compared.
fn skip_rest(path: &Path, content: &mut impl Read) -> Result<(), CaseError> {
    let trailing =
        io::copy(content, &mut io::sink()).map_err(|error| corrupt_error(path, &error))?;
    if trailing > TRAILING {
        tracing::warn!(
            "{}: {trailing} bytes follow the last voxel of its header, and are not read",
            path.display()
        );
    }
    Ok(())
}

/// Reader of the content from its start.
pub(super) fn content_reader(raw: &[u8]) -> Box<dyn Read + '_> {
    if gzip::is_gzip(raw) { Box::new(MemberReader::new(raw)) } else { Box::new(raw) }
}

fn cut_off_error(path: &Path, found: u64, expected: usize) -> CaseError {
    CaseError::new(
        Reason::Format,
        path.display(),
        format!("ends after {found} bytes, its header asks for {expected}"),
        "the file was cut off: download or convert it again",
    )
}

/// Error of a compressed stream that cannot be read to its end.
pub(super) fn corrupt_error(path: &Path, error: &io::Error) -> CaseError {
    let text = error.to_string();
    let (reason, problem) = if error.kind() == ErrorKind::UnexpectedEof {
        (Reason::Format, "the compressed data break off".to_owned())
    } else if text.contains("checksum") {
        (Reason::Checksum, "the content does not match its gzip checksum".to_owned())
    } else {
        (Reason::Format, format!("the compressed data are corrupt ({text})"))
    };
    CaseError::new(reason, path.display(), problem, "download or write the file again")
}
