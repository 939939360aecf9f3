//! Gzip files. Those of one member are inflated at once into a buffer of the content's size by
//! libdeflate, which is faster than any stream. Only a success counts; after a failure the stream
//! reads the file and names the error, if there is one.

use std::io::{self, Read};

#[cfg(not(feature = "libdeflate"))]
use flate2::Crc;
use flate2::bufread::GzDecoder;

#[cfg(feature = "libdeflate")]
use crate::brats::libdeflate::{self, Crc};

/// Header of the shortest member, without name, comment or extra field (RFC 1952, 2.3).
const HEADER: usize = 10;

/// CRC-32 and length of the content, four bytes each.
const TRAILER: usize = 8;

/// Flags under which a file is left to the stream: a header with a checksum of its own, which
/// libdeflate skips, and the reserved bits.
const UNUSUAL_FLAGS: u8 = 0b1110_0010;

/// True if a file starts like gzip.
pub(super) fn is_gzip(raw: &[u8]) -> bool {
    raw.starts_with(&[0x1f, 0x8b])
}

/// Reader of the members of a file one after another. Zero bytes after a member are padding, as gzip
/// and Python take them: tapes and block devices make files longer.
pub(super) struct MemberReader<'a> {
    member: GzDecoder<&'a [u8]>,
}

impl<'a> MemberReader<'a> {
    pub(super) fn new(raw: &'a [u8]) -> Self {
        Self { member: GzDecoder::new(raw) }
    }
}

impl Read for MemberReader<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        loop {
            let count = self.member.read(into)?;
            if count > 0 || into.is_empty() {
                return Ok(count);
            }
            let follows = *self.member.get_ref();
            let padding = follows.iter().take_while(|byte| **byte == 0).count();
            let follows = &follows[padding..];
            if follows.is_empty() {
                return Ok(0);
            }
            self.member.reset(follows);
        }
    }
}

/// True if [`inflate`] may succeed: the file says of itself that its content is `length` bytes.
pub(super) fn claims_length(raw: &[u8], length: usize) -> bool {
    cfg!(feature = "libdeflate")
        && is_gzip(raw)
        && raw.len() >= HEADER + TRAILER
        && raw[3] & UNUSUAL_FLAGS == 0
        && raw.ends_with(&length_trailer(length))
}

/// Last bytes of a member of this length: modulo 2^32, as the format has it.
fn length_trailer(length: usize) -> [u8; 4] {
    (length as u32).to_le_bytes()
}

/// Inflates a file of one member into `into`; false if that is not its length, or if anything follows the member: `into` is
/// then undefined. The content is checked by a [`Checksum`], for which it is read once more: who has another use for it shares
/// that pass.
#[cfg(feature = "libdeflate")]
pub(super) fn inflate(raw: &[u8], into: &mut [u8]) -> bool {
    deflated_range(raw).is_some_and(|deflated| libdeflate::inflate_whole(&raw[deflated], into))
}

/// Always fails: libdeflate is not built in, so every file goes through the stream.
#[cfg(not(feature = "libdeflate"))]
pub(super) fn inflate(_raw: &[u8], _into: &mut [u8]) -> bool {
    false
}

/// Range of the compressed content in a file of one member: behind the header's fields (RFC 1952, 2.3), and
/// ahead of its trailer.
#[cfg(feature = "libdeflate")]
fn deflated_range(raw: &[u8]) -> Option<std::ops::Range<usize>> {
    const DEFLATE: u8 = 8;
    let [extra, name, comment] = [0b100, 0b1000, 0b1_0000];
    let end = raw.len().checked_sub(TRAILER)?;
    let [_, _, method, flags, ..] = raw else { return None };
    let mut start = HEADER;
    if flags & extra != 0 {
        let length = raw.get(start..start + 2)?;
        start += 2 + usize::from(u16::from_le_bytes([length[0], length[1]]));
    }
    for text in [name, comment] {
        if flags & text != 0 {
            start += raw.get(start..)?.iter().position(|byte| *byte == 0)? + 1;
        }
    }
    (*method == DEFLATE && start <= end).then_some(start..end)
}

/// CRC-32 of a member's content.
#[derive(Default)]
pub(super) struct Checksum {
    sum: Crc,
}

impl Checksum {
    /// Adds the bytes that follow.
    pub(super) fn add_bytes(&mut self, content: &[u8]) {
        self.sum.update(content);
    }

    /// True if the file's last member has this checksum.
    pub(super) fn matches_trailer(&self, raw: &[u8]) -> bool {
        let trailer = raw.len().checked_sub(TRAILER).map(|start| &raw[start..]);
        trailer.is_some_and(|trailer| trailer.starts_with(&self.sum.sum().to_le_bytes()))
    }
}

#[cfg(all(test, feature = "libdeflate"))]
mod tests {
    use std::io::Write;

    use flate2::{Compression, GzBuilder};

    use super::*;

    const CONTENT: [u8; 300] = [7; 300];

    fn member(builder: GzBuilder, content: &[u8]) -> Vec<u8> {
        let mut encoder = builder.write(Vec::new(), Compression::fast());
        encoder.write_all(content).expect("a vector takes all");
        encoder.finish().expect("a vector takes all")
    }

    fn inflates(raw: &[u8]) -> bool {
        let mut into = [1; CONTENT.len()];
        let mut checksum = Checksum::default();
        let done = claims_length(raw, into.len()) && inflate(raw, &mut into) && {
            checksum.add_bytes(&into);
            checksum.matches_trailer(raw)
        };
        assert!(!done || into == CONTENT);
        done
    }

    #[test]
    fn one_member_is_inflated_at_once_whatever_its_header_says() {
        let named = GzBuilder::new().filename("a.nii").comment("of old").extra(vec![4; 9]);
        assert!(inflates(&member(GzBuilder::new(), &CONTENT)));
        assert!(inflates(&member(named, &CONTENT)));
    }

    #[test]
    fn whatever_follows_the_member_is_seen_even_behind_its_own_trailer() {
        let whole = member(GzBuilder::new(), &CONTENT);
        let trailer = &whole[whole.len() - TRAILER..];
        let empty = member(GzBuilder::new(), &[]);
        for follows in [&whole, trailer, &trailer[4..], &empty, &[0]] {
            assert!(!inflates(&[&whole, follows].concat()), "{follows:?}");
        }
        let halves = [&CONTENT[..150], &CONTENT[150..]].map(|half| member(GzBuilder::new(), half));
        assert!(!inflates(&halves.concat()));
    }

    #[test]
    fn what_is_short_long_or_checked_by_its_header_is_left_to_the_stream() {
        let whole = member(GzBuilder::new(), &CONTENT);
        for length in [CONTENT.len() - 1, CONTENT.len() + 1] {
            assert!(!claims_length(&whole, length));
            assert!(!inflate(&whole, &mut vec![0; length]));
        }
        assert!(!inflates(&whole[..TRAILER]) && !inflates(&[]) && !inflates(&CONTENT));
        let mut flagged = whole;
        flagged[3] |= 0b10;
        assert!(!inflates(&flagged));
    }
}
