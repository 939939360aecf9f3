//! Bytes of a file, compressed or not: recognised by content, never by name, and never larger in
//! memory than the file can hold.

use std::io::Read;
use std::path::Path;

use zerocopy::{FromBytes, Immutable, IntoBytes};

use crate::base::{CaseError, OutOfMemory, Reason, resize_for_overwrite};
use crate::brats::content_stream::{content_reader, corrupt_error, stream_into};
use crate::brats::gzip;
use crate::storage;

/// Deflate spends at least two bits on a match, and a match is at most 258 bytes (RFC 1951, 3.2.5).
const DEFLATE_MAX_RATIO: u64 = 1032;

/// Bytes that a file may have beside its voxels: header, extensions, padding.
const MAX_SURPLUS: u64 = 64 << 20;

/// Widest voxel that is read, in bytes.
const MAX_VOXEL_BYTES: u64 = 8;

/// Longest start that [`decompress_into`] inflates beside the numbers: the longest header, and
/// extensions of the usual size.
const MAX_LEAD: usize = 64 << 10;

/// Numbers that are shown together once their checksum has them in the first or second level of the cache.
const PIECE: usize = 16 << 10;

/// Reads the whole file as it is on the disk, in place of the content of `into`; a file that is longer
/// than `max_voxels` can be is refused before anything is read.
pub(super) fn read_whole(
    path: &Path,
    max_voxels: usize,
    into: Vec<u8>,
) -> Result<Vec<u8>, CaseError> {
    let found = storage::file_length(path)?;
    let most = (max_voxels as u64).saturating_mul(MAX_VOXEL_BYTES).saturating_add(MAX_SURPLUS);
    if found > most {
        return Err(CaseError::new(
            Reason::Format,
            path.display(),
            format!("is a file of {found} bytes, more than {max_voxels} voxels take"),
            MORE_VOXELS,
        ));
    }
    read_up_to(path, u64::MAX, into)
}

/// Way out for a volume of more voxels than are read.
pub(super) const MORE_VOXELS: &str =
    "if it is what you mean, allow more: data.max_voxels of a run, or --max-voxels";

/// Reads the file's first bytes, at most `limit`.
pub(super) fn read_start(path: &Path, limit: u64) -> Result<Vec<u8>, CaseError> {
    read_up_to(path, limit, Vec::new())
}

fn read_up_to(path: &Path, limit: u64, mut into: Vec<u8>) -> Result<Vec<u8>, CaseError> {
    storage::read_bytes(path, limit, &mut into)?;
    if into.is_empty() {
        return Err(CaseError::new(
            Reason::Format,
            path.display(),
            "is empty (0 bytes)",
            "download or write it again",
        ));
    }
    Ok(into)
}

/// Upper bound of the content's length, without decompression.
pub(super) fn max_content_bytes(raw: &[u8]) -> u64 {
    let length = raw.len() as u64;
    if gzip::is_gzip(raw) { length.saturating_mul(DEFLATE_MAX_RATIO) } else { length }
}

/// Decompresses the first `limit` bytes of the content, or all of it if it is shorter.
pub(super) fn content_start(path: &Path, raw: &[u8], limit: usize) -> Result<Vec<u8>, CaseError> {
    let mut head = Vec::with_capacity(limit);
    let mut start = content_reader(raw).take(limit as u64);
    start.read_to_end(&mut head).map_err(|error| corrupt_error(path, &error))?;
    match recognise_foreign_file(&head) {
        Some((problem, remedy)) => {
            Err(CaseError::new(Reason::Format, path.display(), problem, remedy))
        }
        None => Ok(head),
    }
}

/// Replaces `into` by the `count` numbers that follow the content's first `skip` bytes, as
/// [`decompress_visiting`] does.
pub(super) fn decompress_into<T: FromBytes + IntoBytes + Immutable + Clone>(
    path: &Path,
    raw: &[u8],
    skip: usize,
    count: usize,
    into: &mut Vec<T>,
) -> Result<usize, CaseError> {
    decompress_visiting(path, raw, skip, count, into, |_, _| ())
}

/// Replaces `into` by the `count` numbers that follow the content's first `skip` bytes; numbers that are
/// none of them may lie ahead, as many as it returns. All of the content is read, so that every checksum
/// of a compressed file is compared.
///
/// Shows the numbers to `visit` while a piece of them is in the cache, each with the place of its first, from
/// place 0 on; and again from there if the content turns out not to match its checksum.
pub(super) fn decompress_visiting<T: FromBytes + IntoBytes + Immutable + Clone>(
    path: &Path,
    raw: &[u8],
    skip: usize,
    count: usize,
    into: &mut Vec<T>,
    mut visit: impl FnMut(usize, &[T]),
) -> Result<usize, CaseError> {
    let lead = skip.div_ceil(size_of::<T>());
    let out_of_memory = |error: OutOfMemory| error.to_case_error(path.display());
    if lead * size_of::<T>() <= MAX_LEAD && gzip::claims_length(raw, skip + count * size_of::<T>())
    {
        resize_for_overwrite(into, T::new_zeroed(), lead + count).map_err(out_of_memory)?;
        let before = lead * size_of::<T>() - skip;
        if gzip::inflate(raw, &mut into.as_mut_bytes()[before..]) {
            let (ahead, numbers) = into.split_at(lead);
            let mut checksum = gzip::Checksum::default();
            checksum.add_bytes(&ahead.as_bytes()[before..]);
            for (piece, numbers) in numbers.chunks(PIECE).enumerate() {
                checksum.add_bytes(numbers.as_bytes());
                visit(piece * PIECE, numbers);
            }
            if checksum.matches_trailer(raw) {
                return Ok(lead);
            }
        }
    }
    resize_for_overwrite(into, T::new_zeroed(), count).map_err(out_of_memory)?;
    stream_into(path, raw, skip, into.as_mut_bytes())?;
    visit(0, into);
    Ok(0)
}

/// Recognises content that is often found under a NIfTI name; returns the problem and the way out.
fn recognise_foreign_file(head: &[u8]) -> Option<(&'static str, &'static str)> {
    let text = head.trim_ascii_start();
    let starts = |words: &str| {
        text.get(..words.len()).is_some_and(|start| start.eq_ignore_ascii_case(words.as_bytes()))
    };
    if starts("<!doctype") || starts("<html") || starts("<?xml") {
        let remedy = "the server sent an error page: download the file again, signed in";
        return Some(("is a web page, not NIfTI", remedy));
    }
    if starts("version https://git-lfs") {
        return Some(("is a git LFS pointer, not the file itself", "run `git lfs pull`"));
    }
    if gzip::is_gzip(head) {
        let remedy =
            "take one layer off: `gunzip -c FILE > ONCE.nii.gz`, and put that in its place";
        return Some(("is compressed twice", remedy));
    }
    if starts("PK\u{3}\u{4}") {
        return Some(("is a zip archive, not NIfTI", "unpack it"));
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::brats::content_stream::TRAILING;
    use flate2::Compression;
    use flate2::write::GzEncoder;
    use proptest::prelude::*;
    use std::io::Write;

    fn gzip(content: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(content).unwrap();
        encoder.finish().unwrap()
    }

    fn unpacked(raw: &[u8], skip: usize, length: usize) -> Result<Vec<u8>, CaseError> {
        let mut into = vec![9u8; 3];
        let lead = decompress_into(Path::new("a.nii.gz"), raw, skip, length, &mut into)?;
        Ok(into.split_off(lead))
    }

    #[test]
    fn plain_compressed_and_multi_member_content_are_the_same() {
        let content: Vec<u8> = (0..=255).collect();
        let mut members = gzip(&content[..100]);
        members.extend(gzip(&[]));
        members.extend(gzip(&content[100..]));
        for raw in [content.clone(), gzip(&content), members] {
            assert_eq!(unpacked(&raw, 50, 206).unwrap(), content[50..]);
            assert_eq!(content_start(Path::new("a"), &raw, 120).unwrap(), content[..120]);
            assert!(max_content_bytes(&raw) >= 256);
        }
    }

    #[test]
    fn no_flipped_bit_in_a_compressed_file_changes_the_content_unseen() {
        let content: Vec<u8> = (0..400u32).map(|i| (i * i % 251) as u8).collect();
        let raw = gzip(&content);
        let mut unseen = 0;
        for at in 0..raw.len() {
            let mut flipped = raw.clone();
            flipped[at] ^= 0x10;
            // Time, system and the padding of the last block carry no content.
            if let Ok(found) = unpacked(&flipped, 0, content.len()) {
                assert_eq!(found, content, "byte {at} was flipped unseen");
                unseen += 1;
            }
        }
        assert!(unseen < 12, "{unseen} flips were accepted");
        let mut wrong_sum = raw.clone();
        let crc_at = raw.len() - 8;
        wrong_sum[crc_at] ^= 1;
        let error = unpacked(&wrong_sum, 0, content.len()).unwrap_err();
        assert_eq!(error.reason, Reason::Checksum);
        let mut wrong_length = raw;
        *wrong_length.last_mut().unwrap() ^= 1;
        assert!(unpacked(&wrong_length, 0, content.len()).is_err());
    }

    #[test]
    fn content_that_is_short_is_refused_and_what_follows_the_voxels_is_left() {
        let raw = gzip(&[7; 100]);
        let error = unpacked(&raw, 50, 51).unwrap_err().to_string();
        assert!(error.contains("after 100 bytes") && error.contains("101"), "{error}");
        for trailing in [0, 1, TRAILING, TRAILING + 1, 3 * TRAILING] {
            let mut content = vec![0; 10 + trailing as usize];
            content[..10].fill(7);
            for raw in [gzip(&content), content.clone()] {
                assert_eq!(unpacked(&raw, 0, 10).unwrap(), [7; 10], "{trailing} bytes follow");
                assert!(max_content_bytes(&raw) >= content.len() as u64);
            }
        }
        let mut torn = gzip(&vec![0; 10 + 3 * TRAILING as usize]);
        let end = torn.len() - 8;
        torn[end] ^= 1;
        assert_eq!(unpacked(&torn, 0, 10).unwrap_err().reason, Reason::Checksum, "all is checked");
    }

    #[test]
    fn zero_bytes_after_a_member_are_padding_and_others_are_not() {
        let content: Vec<u8> = (0..=255).collect();
        let whole = gzip(&content);
        let halves = [gzip(&content[..100]), vec![0; 7], gzip(&content[100..])].concat();
        for padding in [0, 1, 511, 1 << 17] {
            for members in [&whole, &halves] {
                let raw = [&members[..], &vec![0; padding]].concat();
                assert_eq!(unpacked(&raw, 0, 256).unwrap(), content, "{padding} zero bytes");
                let followed = [&raw[..], b"x"].concat();
                assert!(unpacked(&followed, 0, 256).is_err(), "{padding} zero bytes and another");
            }
        }
    }

    #[test]
    fn numbers_start_where_the_header_says_even_at_an_odd_place_or_far_in() {
        let content: Vec<u8> = (0..MAX_LEAD + 99).map(|place| (place % 251) as u8).collect();
        for raw in [gzip(&content), content.clone()] {
            for skip in [0, 1, 352, 353, MAX_LEAD - 1, MAX_LEAD, MAX_LEAD + 3] {
                let stored = &content[skip..];
                let mut into = vec![-1i16; 70_000];
                let count = stored.len() / 2;
                let lead = decompress_into(Path::new("a"), &raw, skip, count, &mut into).unwrap();
                assert_eq!(into[lead..].as_bytes(), &stored[..2 * count], "after {skip} bytes");
            }
        }
    }

    proptest! {
        /// Nothing that happens to a file makes it another thing at once than in pieces: the same
        /// content, or the same words.
        #[test]
        fn at_once_and_in_pieces_agree(
            content in prop::collection::vec(0u8..4, 1..600),
            claimed in -2isize..3,
            edits in prop::collection::vec((0u8..6, any::<prop::sample::Index>(), any::<u8>()), 0..3),
        ) {
            let mut raw = gzip(&content);
            for (edit, place, byte) in edits {
                let at = place.index(raw.len());
                match edit {
                    0 => raw[at] ^= byte,
                    1 => raw.truncate(at + 1),
                    2 => raw.push(byte),
                    3 => raw.extend(raw[at..].to_vec()),
                    4 => raw.extend(vec![0; usize::from(byte)]),
                    _ => raw.extend(gzip(&content[..place.index(content.len())])),
                }
            }
            let length = content.len().saturating_add_signed(claimed);
            let mut pieces = vec![0; length];
            let streamed = stream_into(Path::new("a.nii.gz"), &raw, 0, &mut pieces).map(|()| pieces);
            let text = |result: Result<Vec<u8>, CaseError>| result.map_err(|e| e.to_string());
            prop_assert_eq!(text(unpacked(&raw, 0, length)), text(streamed));
        }
    }

    #[test]
    fn impostors_are_called_by_name() {
        let name = |raw: &[u8]| content_start(Path::new("a"), raw, 348).unwrap_err().to_string();
        assert!(name(b"\n<!DOCTYPE HTML><html>").contains("web page"));
        assert!(name(&gzip(b"<html>")).contains("web page"));
        assert!(name(b"version https://git-lfs.github.com/spec/v1").contains("git lfs pull"));
        assert!(name(b"PK\x03\x04rest").contains("zip"));
        assert!(content_start(Path::new("a"), b"", 10).unwrap().is_empty());
    }
}
