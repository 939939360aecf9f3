//! Functions of libdeflate, a C library: whole buffers inflated and summed, faster than any stream.

use libdeflate_sys::{
    libdeflate_alloc_decompressor, libdeflate_crc32, libdeflate_deflate_decompress_ex,
    libdeflate_free_decompressor, libdeflate_result_LIBDEFLATE_SUCCESS,
};

/// Inflates `deflated` into `into`; true if the former ends with its last byte and fills the latter.
#[allow(unsafe_code)]
pub(super) fn inflate_whole(deflated: &[u8], into: &mut [u8]) -> bool {
    // SAFETY: it takes nothing; what it returns is used in this function only.
    let decompressor = unsafe { libdeflate_alloc_decompressor() };
    if decompressor.is_null() {
        return false;
    }
    let (mut read, mut written) = (0, 0);
    // SAFETY: the decompressor is not null and not freed yet. Both buffers are given with their own lengths, beyond which nothing is
    // read or written; they do not overlap, as one is borrowed mutably. The counts are written to locals.
    let result = unsafe {
        libdeflate_deflate_decompress_ex(
            decompressor,
            deflated.as_ptr().cast(),
            deflated.len(),
            into.as_mut_ptr().cast(),
            into.len(),
            &raw mut read,
            &raw mut written,
        )
    };
    // SAFETY: it comes from the allocation above and is not used behind this.
    unsafe { libdeflate_free_decompressor(decompressor) };
    result == libdeflate_result_LIBDEFLATE_SUCCESS
        && read == deflated.len()
        && written == into.len()
}

/// CRC-32 of gzip.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Crc(u32);

impl Crc {
    /// Adds the bytes that follow.
    #[allow(unsafe_code)]
    pub(super) fn update(&mut self, content: &[u8]) {
        // SAFETY: the buffer is given with its own length, and is only read.
        self.0 = unsafe { libdeflate_crc32(self.0, content.as_ptr().cast(), content.len()) };
    }

    /// The sum of all that has been added.
    pub(super) const fn sum(&self) -> u32 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::DeflateEncoder;

    use super::*;

    #[test]
    fn the_sum_by_pieces_is_that_of_another_library() {
        let content: Vec<u8> = (0..1000u32).map(|at| (at * at % 251) as u8).collect();
        let mut wanted = flate2::Crc::new();
        wanted.update(&content);
        for piece in [1, 7, 64, 1000] {
            let mut found = Crc::default();
            content.chunks(piece).for_each(|piece| found.update(piece));
            found.update(&[]);
            assert_eq!(found.sum(), wanted.sum());
        }
    }

    #[test]
    fn a_byte_too_many_or_too_few_on_either_side_is_refused() {
        let content = [7; 300];
        let mut encoder = DeflateEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(&content).unwrap();
        let deflated = encoder.finish().unwrap();
        let inflates = |deflated: &[u8], length: usize| {
            let mut into = vec![0; length];
            inflate_whole(deflated, &mut into) && into == content
        };
        assert!(inflates(&deflated, 300));
        assert!(!inflates(&deflated, 299) && !inflates(&deflated, 301));
        assert!(!inflates(&deflated[..deflated.len() - 1], 300));
        assert!(!inflates(&[&deflated[..], &[0]].concat(), 300));
    }
}
