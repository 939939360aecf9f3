//! The records of a case file, v2, byte for byte as `cache/README.md` specifies them.
//!
//! Little-endian, without padding or alignment of their own. `compose.rs` writes them, `parse.rs`
//! reads and checks them.

use std::ops::RangeInclusive;

use zerocopy::little_endian::{F64, I64, U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::cache::PERCENTILES;
use crate::volume::{MAX_CASE_ID_BYTES, Modality};

#[cfg(target_endian = "big")]
compile_error!("case files are little-endian and read in place");

/// Version of the format that is written.
pub const VERSION: u32 = 2;

/// Returns the beginning of the names of the folders of this format.
pub(super) fn folder_prefix() -> String {
    format!("v{VERSION}-")
}

/// Versions that can be read: v1 has no histograms, description or labels outside the brain box.
pub(super) const READABLE: RangeInclusive<u32> = 1..=VERSION;

/// Extension of a case file.
pub const EXTENSION: &str = "case";

/// Most datasets of one cache that may have a case of the same name.
const MAX_SAME_NAME: usize = 9;

/// Extensions of the files of one name: `case`, then `case2` and so on for other datasets.
pub(super) fn same_name_extensions(first: &'static str) -> impl Iterator<Item = String> {
    let others = (2..=MAX_SAME_NAME).map(move |number| format!("{first}{number}"));
    std::iter::once(first.to_owned()).chain(others)
}

/// Longest case id in bytes.
pub const MAX_ID_BYTES: usize = MAX_CASE_ID_BYTES;

pub(super) const MAGIC: [u8; 8] = *b"GLIACASE";

/// Sections begin on multiples of this, so a mapped section is aligned for any element type.
pub(super) const PAGE: usize = 4096;

pub(super) const MAX_SECTIONS: usize = 64;

/// Flag of a case with labels.
pub(super) const LABELLED: u32 = 1;

/// Type of a section. Readers pass over kinds that they do not know.
#[derive(strum::FromRepr, strum::IntoStaticStr, Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub(super) enum SectionKind {
    #[strum(serialize = "section IMAGE")]
    Image = 1,
    #[strum(serialize = "section LABEL")]
    Label = 2,
    #[strum(serialize = "section STATS")]
    Stats = 3,
    #[strum(serialize = "section FOREGROUND")]
    Foreground = 4,
    #[strum(serialize = "section SOURCE")]
    Source = 5,
    /// Annotations only.
    #[strum(serialize = "section PROBABILITY")]
    Probability = 6,
    #[strum(serialize = "section HISTOGRAM")]
    Histogram = 7,
    #[strum(serialize = "section DESCRIPTION")]
    Description = 8,
    #[strum(serialize = "section OUTSIDE")]
    Outside = 9,
    /// Resampled cases only.
    #[strum(serialize = "section SOURCE LABEL")]
    SourceLabel = 10,
}

impl SectionKind {
    pub(super) const fn code(self) -> u32 {
        self as u32
    }

    pub(super) fn name(self) -> &'static str {
        self.into()
    }
}

/// The first page: header, section table, and a checksum over both and all bytes between.
#[derive(Clone, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(super) struct FirstPage {
    pub magic: [u8; 8],
    pub version: U32,
    pub header_bytes: U32,
    pub file_bytes: U64,
    pub section_count: U32,
    pub flags: U32,
    pub brain_start: [U32; 3],
    pub brain_dims: [U32; 3],
    pub source_dims: [U32; 3],
    pub axes: [u8; 3],
    pub flipped: [u8; 3],
    pub scheme: u8,
    pub id_bytes: u8,
    pub reserved_a: [u8; 4],
    pub affine: [F64; 16],
    pub fingerprint: [u8; 16],
    pub preprocess: [u8; 16],
    pub id: [u8; MAX_ID_BYTES],
    pub meaning: [u8; 16],
    pub reserved_b: [u8; 56],
    pub sections: [SectionRecord; MAX_SECTIONS],
    pub reserved_c: [u8; 1532],
    pub checksum: U32,
}

const _: () = assert!(size_of::<FirstPage>() == PAGE);

/// Entry of the section table.
#[derive(Clone, Copy, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(super) struct SectionRecord {
    pub kind: U32,
    pub checksum: U32,
    pub offset: U64,
    pub length: U64,
    pub reserved: [u8; 8],
}

/// `STATS`, one per modality: how raw values decode, and the statistics of the decoded tissue.
#[derive(Clone, Copy, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(super) struct StatsRecord {
    pub slope: F64,
    pub inter: F64,
    pub max_error: F64,
    pub count: U64,
    pub mean: F64,
    pub sd: F64,
    pub min: F64,
    pub max: F64,
    pub percentiles: [F64; PERCENTILES.len()],
}

pub(super) type StatsSection = [StatsRecord; Modality::COUNT];

/// `FOREGROUND`, one per region of the case's description; the voxels (u32) of all regions follow the
/// last one.
#[derive(Clone, Copy, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(super) struct ForegroundRecord {
    pub count: U64,
    pub stored: U32,
    pub reserved: [u8; 4],
}

/// `HISTOGRAM` begins with the number of bins per modality; the bins of all of them follow.
pub(super) type HistogramHead = [U32; Modality::COUNT];

/// `SOURCE LABEL` begins with the box; its labels follow.
#[derive(Clone, Copy, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(super) struct SourceLabelHead {
    pub start: [U32; 3],
    pub dims: [U32; 3],
}

/// `OUTSIDE`, one per labelled voxel outside the brain box.
#[derive(Clone, Copy, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(super) struct OutsideRecord {
    pub voxel: U32,
    pub label: u8,
    pub reserved: [u8; 3],
}

/// `SOURCE` begins with the number of files; the records follow, then the names without separators.
#[derive(Clone, Copy, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(super) struct SourceHead {
    pub count: U32,
    pub reserved: [u8; 4],
}

/// Source file of a case.
#[derive(Clone, Copy, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(super) struct SourceRecord {
    pub bytes: U64,
    pub modified_ns: I64,
    pub name_bytes: U32,
    pub reserved: [u8; 4],
}

/// The next page boundary at or after `length`.
pub(super) const fn round_up_to_page(length: usize) -> usize {
    length.next_multiple_of(PAGE)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cache::HistogramBin;

    #[test]
    fn fields_lie_where_the_specification_says() {
        use std::mem::offset_of;
        assert_eq!(offset_of!(FirstPage, file_bytes), 16);
        assert_eq!(offset_of!(FirstPage, brain_start), 32);
        assert_eq!(offset_of!(FirstPage, axes), 68);
        assert_eq!(offset_of!(FirstPage, affine), 80);
        assert_eq!(offset_of!(FirstPage, fingerprint), 208);
        assert_eq!(offset_of!(FirstPage, id), 240);
        assert_eq!(offset_of!(FirstPage, meaning), 440);
        assert_eq!(offset_of!(FirstPage, sections), 512);
        assert_eq!(offset_of!(FirstPage, checksum), 4092);
        assert_eq!(size_of::<SectionRecord>(), 32);
        assert_eq!(size_of::<StatsRecord>(), 120);
        assert_eq!(size_of::<ForegroundRecord>(), 16);
        assert_eq!(size_of::<SourceRecord>(), 24);
        assert_eq!(size_of::<OutsideRecord>(), 8);
        assert_eq!(size_of::<HistogramBin>(), 8);
    }
}
