//! The fields of a NIfTI header as they stand in the file: two versions, two byte orders, one
//! struct. `header` checks their values.

use std::path::Path;

use crate::base::{CaseError, Reason};

const NIFTI_1_BYTES: usize = 348;

/// Bytes of a NIfTI-2 header, the longer one.
pub(super) const NIFTI_2_BYTES: usize = 540;

/// Header fields that geometry and voxels depend on; names are nifti1.h's.
#[derive(Debug, Clone)]
pub(super) struct HeaderFields {
    pub(super) header_bytes: usize,
    pub(super) big_endian: bool,
    /// True if the voxels lie in an `.img` beside the header.
    pub(super) pair: bool,
    pub(super) dim: [i64; 8],
    pub(super) datatype: i16,
    pub(super) bitpix: i16,
    pub(super) pixdim: [f64; 8],
    pub(super) vox_offset: f64,
    pub(super) scl_slope: f64,
    pub(super) scl_inter: f64,
    pub(super) qform_code: i32,
    pub(super) sform_code: i32,
    pub(super) quatern: [f64; 3],
    pub(super) qoffset: [f64; 3],
    pub(super) srow: [[f64; 4]; 3],
}

/// Creates an error about one field: the file and the field are its subject.
pub(super) fn field_error(
    path: &Path,
    field: &str,
    problem: impl Into<String>,
    remedy: &str,
) -> CaseError {
    CaseError::new(Reason::Format, format!("{}: {field}", path.display()), problem, remedy)
}

impl HeaderFields {
    /// Reads the fields from the start of a file's content.
    pub(super) fn parse(path: &Path, head: &[u8]) -> Result<Self, CaseError> {
        let Some(size) = head.first_chunk::<4>() else {
            return Err(cut_off_error(path, head.len(), 348));
        };
        let little = i32::from_le_bytes(*size);
        let (header_bytes, big_endian) = match (little, i32::from_be_bytes(*size)) {
            (348, _) => (NIFTI_1_BYTES, false),
            (_, 348) => (NIFTI_1_BYTES, true),
            (540, _) => (NIFTI_2_BYTES, false),
            (_, 540) => (NIFTI_2_BYTES, true),
            _ => {
                let problem = format!("is {little}, neither 348 (NIfTI-1) nor 540 (NIfTI-2)");
                return Err(field_error(path, "sizeof_hdr", problem, "this is no NIfTI file"));
            }
        };
        if head.len() < header_bytes {
            return Err(cut_off_error(path, head.len(), header_bytes));
        }
        let reader = FieldReader { head, big_endian };
        if header_bytes == NIFTI_1_BYTES {
            let pair = is_pair(path, &head[344..348], b"n+1\0", b"ni1\0")?;
            Ok(Self::nifti_1(&reader, pair))
        } else {
            let pair = is_pair(path, &head[4..12], b"n+2\0\r\n\x1a\n", b"ni2\0\r\n\x1a\n")?;
            Ok(Self::nifti_2(&reader, pair))
        }
    }

    fn nifti_1(at: &FieldReader<'_>, pair: bool) -> Self {
        let singles = |from: usize| move |i: usize| f64::from(at.f32(from + 4 * i));
        Self {
            header_bytes: NIFTI_1_BYTES,
            big_endian: at.big_endian,
            pair,
            dim: std::array::from_fn(|i| i64::from(at.i16(40 + 2 * i))),
            datatype: at.i16(70),
            bitpix: at.i16(72),
            pixdim: std::array::from_fn(singles(76)),
            vox_offset: f64::from(at.f32(108)),
            scl_slope: f64::from(at.f32(112)),
            scl_inter: f64::from(at.f32(116)),
            qform_code: i32::from(at.i16(252)),
            sform_code: i32::from(at.i16(254)),
            quatern: std::array::from_fn(singles(256)),
            qoffset: std::array::from_fn(singles(268)),
            srow: std::array::from_fn(|row| std::array::from_fn(singles(280 + 16 * row))),
        }
    }

    fn nifti_2(at: &FieldReader<'_>, pair: bool) -> Self {
        let doubles = |from: usize| move |i: usize| at.f64(from + 8 * i);
        Self {
            header_bytes: NIFTI_2_BYTES,
            big_endian: at.big_endian,
            pair,
            dim: std::array::from_fn(|i| at.i64(16 + 8 * i)),
            datatype: at.i16(12),
            bitpix: at.i16(14),
            pixdim: std::array::from_fn(doubles(104)),
            vox_offset: at.i64(168) as f64,
            scl_slope: at.f64(176),
            scl_inter: at.f64(184),
            qform_code: at.i32(344),
            sform_code: at.i32(348),
            quatern: std::array::from_fn(doubles(352)),
            qoffset: std::array::from_fn(doubles(376)),
            srow: std::array::from_fn(|row| std::array::from_fn(doubles(400 + 32 * row))),
        }
    }
}

fn cut_off_error(path: &Path, found: usize, expected: usize) -> CaseError {
    let problem = format!("ends after {found} of {expected} bytes");
    field_error(path, "header", problem, "the file was cut off: download or convert it again")
}

fn is_pair(path: &Path, magic: &[u8], single: &[u8], pair: &[u8]) -> Result<bool, CaseError> {
    if magic == single || magic == pair {
        return Ok(magic == pair);
    }
    let problem = format!("is {:?}, not that of NIfTI", magic.escape_ascii().to_string());
    Err(field_error(path, "magic", problem, "convert the file (Analyze 7.5 is not read)"))
}

/// Numbers at places of a header that is known to be long enough.
struct FieldReader<'a> {
    head: &'a [u8],
    big_endian: bool,
}

/// Defines a reader per number type, in the file's byte order.
macro_rules! numbers {
    ($($name:ident),*) => {$(
        fn $name(&self, at: usize) -> $name {
            let mut bytes = [0; size_of::<$name>()];
            bytes.copy_from_slice(&self.head[at..at + size_of::<$name>()]);
            if self.big_endian { $name::from_be_bytes(bytes) } else { $name::from_le_bytes(bytes) }
        }
    )*};
}

impl FieldReader<'_> {
    numbers!(i16, i32, i64, f32, f64);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_header_is_refused_by_field_and_value() {
        let parse =
            |head: &[u8]| HeaderFields::parse(Path::new("a.nii"), head).unwrap_err().to_string();
        assert!(parse(&[]).contains("after 0 of 348"));
        assert!(parse(&[1, 2]).contains("after 2 of 348"));
        assert!(parse(&[9, 0, 0, 0]).contains("sizeof_hdr: is 9"));
        let mut head = vec![0; 348];
        head[..4].copy_from_slice(&348i32.to_be_bytes());
        assert!(parse(&head[..200]).contains("after 200 of 348"));
        assert!(parse(&head).contains("magic: is \"\\\\x00"), "{}", parse(&head));
        head[..4].copy_from_slice(&540i32.to_le_bytes());
        assert!(parse(&head).contains("after 348 of 540"));
    }

    #[test]
    fn both_versions_and_orders_give_the_same_fields() {
        let mut one = vec![0; 348];
        one[..4].copy_from_slice(&348i32.to_be_bytes());
        one[42..44].copy_from_slice(&240i16.to_be_bytes());
        one[108..112].copy_from_slice(&352f32.to_be_bytes());
        one[308..312].copy_from_slice(&(-7f32).to_be_bytes());
        one[344..].copy_from_slice(b"ni1\0");
        let mut two = vec![0; 540];
        two[..4].copy_from_slice(&540i32.to_le_bytes());
        two[4..12].copy_from_slice(b"ni2\0\r\n\x1a\n");
        two[24..32].copy_from_slice(&240i64.to_le_bytes());
        two[168..176].copy_from_slice(&352i64.to_le_bytes());
        two[456..464].copy_from_slice(&(-7f64).to_le_bytes());
        for head in [one, two] {
            let fields = HeaderFields::parse(Path::new("a.hdr"), &head).unwrap();
            assert!(fields.pair);
            assert_eq!((fields.dim[1], fields.vox_offset, fields.srow[1][3]), (240, 352.0, -7.0));
        }
    }
}
