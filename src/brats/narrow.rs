//! Decodes stored voxels to [`Voxels`]: every real type, both byte orders, scaled, in the narrowest
//! type that holds every value exactly.
//!
//! BraTS stores unscaled little-endian int16, which is decompressed straight into its vector.
//! Everything else is tried as i16, then as f32, and is f64 if neither is exact.

use crate::base::{CaseError, OutOfMemory, collect_values, reserve_values};
use crate::brats::datatype::Datatype;
use crate::brats::header::{Header, VoxelScaling};
use crate::brats::read::RawVolume;
use crate::brats::{bytes, content_stream};
use crate::buffers::{BufferPool, CaseBuffers};
use crate::volume::{Intensities, TissueScan, Voxels};

/// A stored number, and whether a narrower type holds it exactly.
trait StoredNumber: Copy {
    fn to_i16(self) -> (i16, bool);
    fn to_f32(self) -> (f32, bool);
    fn to_f64(self) -> f64;
}

macro_rules! integers {
    ($($name:ident),*) => {$(
        impl StoredNumber for $name {
            fn to_i16(self) -> (i16, bool) {
                let narrow = self as i16;
                (narrow, i128::from(narrow) == i128::from(self))
            }
            fn to_f32(self) -> (f32, bool) {
                let narrow = self as f32;
                (narrow, narrow as i128 == i128::from(self))
            }
            fn to_f64(self) -> f64 {
                self as f64
            }
        }
    )*};
}

integers!(u8, i8, u16, i16, u32, i32, u64, i64);

impl StoredNumber for f32 {
    fn to_i16(self) -> (i16, bool) {
        let narrow = self as i16;
        (narrow, f32::from(narrow) == self)
    }
    fn to_f32(self) -> (f32, bool) {
        (self, true)
    }
    fn to_f64(self) -> f64 {
        f64::from(self)
    }
}

impl StoredNumber for f64 {
    fn to_i16(self) -> (i16, bool) {
        let narrow = self as i16;
        (narrow, f64::from(narrow) == self)
    }
    fn to_f32(self) -> (f32, bool) {
        let narrow = self as f32;
        (narrow, f64::from(narrow) == self || self.is_nan())
    }
    fn to_f64(self) -> f64 {
        self
    }
}

/// Decompresses and converts the voxels of a file.
pub(super) fn decode_voxels(
    packed: &RawVolume,
    buffers: &CaseBuffers,
) -> Result<Voxels, CaseError> {
    let RawVolume { path, raw, header, .. } = packed;
    if header.datatype == Datatype::I16 && header.scaling.is_none() {
        let mut values = buffers.intensities.take();
        let count = header.voxel_count();
        let mut scan = header.volume_dims(path, 1).ok().map(TissueScan::new);
        let show = |place: usize, piece: &[i16]| {
            let Some(scan) = &mut scan else { return };
            if place == 0 {
                *scan = TissueScan::new(scan.dims());
            }
            scan.scan_values(piece);
        };
        let offset = header.vox_offset;
        let lead = bytes::decompress_visiting(path, raw, offset, count, &mut values, show)?;
        let mut values = Intensities::after_skipped(lead, values);
        if header.big_endian != cfg!(target_endian = "big") {
            values.as_mut_slice().iter_mut().for_each(|value| *value = value.swap_bytes());
        }
        return Ok(Voxels::I16(match scan {
            Some(scan) => values.with_scan(scan), // No order of bytes makes a 0 of another value.
            None => values,
        }));
    }
    let mut stored = buffers.bytes.take();
    let length = header.voxel_count() * header.datatype.bytes_per_voxel();
    let lead = bytes::decompress_into(path, raw, header.vox_offset, length, &mut stored)?;
    let voxels = convert_voxels(&stored[lead..], header, &buffers.intensities);
    buffers.bytes.give_back(stored);
    voxels.map_err(|error| error.to_case_error(path.display()))
}

/// Decompresses a file of several volumes and converts those at `places`, each for itself: a stack's
/// volumes are what they would be in files of their own.
pub(super) fn decode_volumes(
    packed: &RawVolume,
    volumes: usize,
    places: &[usize],
    buffers: &CaseBuffers,
) -> Result<Vec<Voxels>, CaseError> {
    let RawVolume { path, raw, header, .. } = packed;
    let mut stored = buffers.bytes.take();
    let length = header.voxel_count() * header.datatype.bytes_per_voxel();
    let lead = bytes::decompress_into(path, raw, header.vox_offset, length, &mut stored)?;
    let one = length / volumes;
    let convert = |place: &usize| {
        convert_voxels(&stored[lead + place * one..][..one], header, &buffers.intensities)
    };
    let converted: Result<Vec<Voxels>, OutOfMemory> = places.iter().map(convert).collect();
    buffers.bytes.give_back(stored);
    converted.map_err(|error| error.to_case_error(path.display()))
}

/// Hands every value of a file to `visit`, in the file's order, without keeping one.
pub(super) fn visit_values(
    packed: &RawVolume,
    mut visit: impl FnMut(f64),
) -> Result<(), CaseError> {
    let RawVolume { path, raw, header, .. } = packed;
    let length = header.voxel_count() * header.datatype.bytes_per_voxel();
    content_stream::visit_pieces(path, raw, header.vox_offset, length, |piece| {
        visit_piece(piece, header, &mut visit);
    })
}

/// Expands `$then!` for the Rust type of a datatype.
macro_rules! for_number_of {
    ($datatype:expr, $then:ident) => {
        match $datatype {
            Datatype::U8 => $then!(u8),
            Datatype::I8 => $then!(i8),
            Datatype::U16 => $then!(u16),
            Datatype::I16 => $then!(i16),
            Datatype::U32 => $then!(u32),
            Datatype::I32 => $then!(i32),
            Datatype::F32 => $then!(f32),
            Datatype::U64 => $then!(u64),
            Datatype::I64 => $then!(i64),
            Datatype::F64 => $then!(f64),
        }
    };
}

fn visit_piece(stored: &[u8], header: &Header, visit: &mut impl FnMut(f64)) {
    macro_rules! of {
        ($number:ident) => {{
            let (values, _) = stored.as_chunks::<{ size_of::<$number>() }>();
            for bytes in values {
                let value = match header.big_endian {
                    true => $number::from_be_bytes(*bytes),
                    false => $number::from_le_bytes(*bytes),
                };
                visit(match header.scaling {
                    None => value.to_f64(),
                    Some(VoxelScaling { slope, inter }) => value.to_f64() * slope + inter,
                });
            }
        }};
    }
    for_number_of!(header.datatype, of)
}

fn convert_voxels(
    stored: &[u8],
    header: &Header,
    pool: &BufferPool<i16>,
) -> Result<Voxels, OutOfMemory> {
    macro_rules! of {
        ($number:ident) => {{
            let (values, _) = stored.as_chunks::<{ size_of::<$number>() }>();
            if header.big_endian {
                apply_scaling(values, header.scaling, $number::from_be_bytes, pool)
            } else {
                apply_scaling(values, header.scaling, $number::from_le_bytes, pool)
            }
        }};
    }
    for_number_of!(header.datatype, of)
}

fn apply_scaling<const N: usize, T: StoredNumber>(
    stored: &[[u8; N]],
    scaling: Option<VoxelScaling>,
    number: impl Fn([u8; N]) -> T + Copy,
    pool: &BufferPool<i16>,
) -> Result<Voxels, OutOfMemory> {
    match scaling {
        None => narrowest_exact(stored, number, pool),
        Some(VoxelScaling { slope, inter }) => {
            narrowest_exact(stored, move |bytes| number(bytes).to_f64() * slope + inter, pool)
        }
    }
}

fn narrowest_exact<const N: usize, T: StoredNumber>(
    stored: &[[u8; N]],
    number: impl Fn([u8; N]) -> T + Copy,
    pool: &BufferPool<i16>,
) -> Result<Voxels, OutOfMemory> {
    let mut narrow = pool.take();
    if convert_exactly(stored, move |bytes| number(bytes).to_i16(), &mut narrow)? {
        return Ok(Voxels::from_whole(narrow));
    }
    pool.give_back(narrow);
    let mut single = Vec::new();
    if convert_exactly(stored, move |bytes| number(bytes).to_f32(), &mut single)? {
        return Ok(Voxels::F32(single));
    }
    drop(single);
    let values = stored.iter().map(|bytes| number(*bytes).to_f64());
    Ok(Voxels::F64(collect_values(stored.len(), values)?))
}

/// Converts all values, in place of what `into` holds; false at the first piece in which one is not
/// exact.
fn convert_exactly<const N: usize, T>(
    stored: &[[u8; N]],
    convert: impl Fn([u8; N]) -> (T, bool),
    into: &mut Vec<T>,
) -> Result<bool, OutOfMemory> {
    reserve_values(into, stored.len())?;
    for piece in stored.chunks(1 << 12) {
        let mut exact = true;
        into.extend(piece.iter().map(|bytes| {
            let (value, same) = convert(*bytes);
            exact &= same;
            value
        }));
        if !exact {
            return Ok(false);
        }
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn narrowest_exact<const N: usize, T: StoredNumber>(
        stored: &[[u8; N]],
        number: impl Fn([u8; N]) -> T + Copy,
    ) -> Voxels {
        let pool = BufferPool::new(1);
        pool.give_back(vec![7; 3]);
        super::narrowest_exact(stored, number, &pool).unwrap()
    }

    fn of<T: StoredNumber, const N: usize>(
        values: &[T],
        bytes: impl Fn(T) -> [u8; N],
    ) -> Vec<[u8; N]> {
        values.iter().map(|value| bytes(*value)).collect()
    }

    #[test]
    fn integers_that_fit_are_i16_and_others_the_narrowest_float() {
        let small = of(&[-32768i32, 0, 32767], i32::to_le_bytes);
        assert_eq!(
            narrowest_exact(&small, i32::from_le_bytes),
            Voxels::from_whole(vec![-32768, 0, 32767])
        );
        let medium = of(&[32768u16, 1], u16::to_be_bytes);
        assert_eq!(narrowest_exact(&medium, u16::from_be_bytes), Voxels::F32(vec![32768.0, 1.0]));
        let large = of(&[(1i64 << 24) + 1], i64::to_le_bytes);
        assert_eq!(narrowest_exact(&large, i64::from_le_bytes), Voxels::F64(vec![16_777_217.0]));
        let extreme = of(&[u64::MAX, i64::MAX as u64], u64::to_le_bytes);
        assert!(matches!(narrowest_exact(&extreme, u64::from_le_bytes), Voxels::F64(_)));
    }

    #[test]
    fn integral_floats_are_i16_and_what_is_no_number_stays_float() {
        let integral = of(&[-0.0f32, 7.0, -32768.0], f32::to_le_bytes);
        assert_eq!(
            narrowest_exact(&integral, f32::from_le_bytes),
            Voxels::from_whole(vec![0, 7, -32768])
        );
        let above = of(&[32768.0f64, 0.5], f64::to_le_bytes);
        assert_eq!(narrowest_exact(&above, f64::from_le_bytes), Voxels::F32(vec![32768.0, 0.5]));
        let fine = of(&[0.1f64], f64::to_le_bytes);
        assert_eq!(narrowest_exact(&fine, f64::from_le_bytes), Voxels::F64(vec![0.1]));
        let none = of(&[f64::NAN, f64::NEG_INFINITY], f64::to_le_bytes);
        let Voxels::F32(values) = narrowest_exact(&none, f64::from_le_bytes) else { panic!("f32") };
        assert!(values[0].is_nan() && values[1] == f32::NEG_INFINITY);
    }

    #[test]
    fn scaling_comes_before_narrowing() {
        let pool = BufferPool::new(1);
        let raw = of(&[2i16, 4], i16::to_le_bytes);
        let halved = apply_scaling(
            &raw,
            Some(VoxelScaling { slope: 0.5, inter: -10.0 }),
            i16::from_le_bytes,
            &pool,
        )
        .unwrap();
        assert_eq!(halved, Voxels::from_whole(vec![-9, -8]));
        let odd = of(&[3i16], i16::to_le_bytes);
        let half = apply_scaling(
            &odd,
            Some(VoxelScaling { slope: 0.5, inter: 0.0 }),
            i16::from_le_bytes,
            &pool,
        )
        .unwrap();
        assert_eq!(half, Voxels::F32(vec![1.5]));
    }

    #[test]
    fn a_value_that_does_not_fit_is_seen_in_any_piece() {
        for at in [0, 4095, 4096, 9999] {
            let mut values = vec![1i32; 10_000];
            values[at] = 40_000;
            let voxels = narrowest_exact(&of(&values, i32::to_le_bytes), i32::from_le_bytes);
            assert_eq!(voxels.get(at), 40_000.0);
            assert_eq!(voxels.len(), 10_000);
        }
    }
}
