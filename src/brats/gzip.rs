//! Gzip files. Those of one member are inflated at once into a buffer of the content's size by
//! libdeflate, which is faster than any stream. Only a success counts; after a failure the stream
//! reads the file and names the error, if there is one.

use std::io::{self, Read};

use flate2::bufread::GzDecoder;

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

/// Inflates a file of one member into `into`; false if its checksum or length is wrong, `into` is
/// then undefined.
///
/// libdeflate ends after one member and does not tell where. But the four bytes before that place
/// are the length of what it wrote, so where these bytes occur at the end of the file and nowhere
/// else, that is the place, and nothing follows.
#[cfg(feature = "libdeflate")]
pub(super) fn inflate(raw: &[u8], into: &mut [u8]) -> bool {
    let written = libdeflater::Decompressor::new().gzip_decompress(raw, into);
    written == Ok(into.len())
        && memchr::memmem::find(raw, &length_trailer(into.len()))
            == Some(raw.len() - size_of::<u32>())
}

/// Always fails: libdeflate is not built in, so every file goes through the stream.
#[cfg(not(feature = "libdeflate"))]
pub(super) fn inflate(_raw: &[u8], _into: &mut [u8]) -> bool {
    false
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
        let done = claims_length(raw, into.len()) && inflate(raw, &mut into);
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
