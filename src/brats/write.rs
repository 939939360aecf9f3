//! Writes NIfTI-1 files: little-endian, unscaled, on the grid of the source.
//!
//! Values come in the file's memory order (see [`SourceGrid::to_file_order`]), labels as the file's
//! own values. The header holds the grid, and nothing of the source's extensions or description.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;

use flate2::Compression;
use flate2::write::GzEncoder;
use nifti::{NiftiType, Unit, XForm};

use crate::base::{CaseError, Reason, replace_file_with};
use crate::brats::bytes;
use crate::brats::qform::Qform;
use crate::brats::read::START_BYTES;
use crate::volume::SourceGrid;

/// Compression level that writes a case in a fraction of a second; level 9 saves a tenth of the
/// size.
const GZIP_LEVEL: u32 = 3;

const HEADER_BYTES: usize = 348;

/// The header, and four bytes that say that no extension follows.
const VOX_OFFSET: usize = HEADER_BYTES + 4;

/// Offset of the field `descrip` of 80 bytes.
const DESCRIP: usize = 148;

/// Description of labels that a network predicted.
const PREDICTION: &str = "predicted by gliaflow";

/// Transform code that BraTS writes.
const XFORM: XForm = XForm::ScannerAnat;

/// Voxel type of a NIfTI file.
trait VoxelType: Copy {
    /// NIfTI's `datatype`.
    const DATATYPE: NiftiType;
    /// Appends the value, little-endian.
    fn append_le(self, bytes: &mut Vec<u8>);
}

macro_rules! voxel_types {
    ($($voxel:ty => $code:ident),*) => {
        $(impl VoxelType for $voxel {
            const DATATYPE: NiftiType = NiftiType::$code;
            fn append_le(self, bytes: &mut Vec<u8>) {
                bytes.extend_from_slice(&self.to_le_bytes());
            }
        })*
    };
}

voxel_types!(u8 => Uint8, i16 => Int16, f32 => Float32);

/// Writes labels (the file's own values, the file's memory order) as uint8; compressed if the name
/// ends in `.gz`. The file appears whole or not at all.
///
/// # Errors
/// If the name is neither `.nii` nor `.nii.gz`, the grid exceeds NIfTI-1, or the disk refuses.
///
/// # Panics
/// If there are not as many labels as voxels.
pub fn write_labels(path: &Path, labels: &[u8], source: &SourceGrid) -> Result<(), CaseError> {
    write_volume(path, labels, source, "")
}

/// Writes labels that a network predicted as [`write_labels`], with a description that says so.
///
/// # Errors
/// Those of [`write_labels`].
///
/// # Panics
/// If there are not as many labels as voxels.
pub fn write_prediction(path: &Path, labels: &[u8], source: &SourceGrid) -> Result<(), CaseError> {
    write_volume(path, labels, source, PREDICTION)
}

/// Writes probabilities that a network predicted (the file's memory order) as float32; otherwise as
/// [`write_prediction`].
///
/// # Errors
/// Those of [`write_labels`].
///
/// # Panics
/// If there are not as many values as voxels.
pub fn write_probabilities(
    path: &Path,
    probabilities: &[f32],
    source: &SourceGrid,
) -> Result<(), CaseError> {
    write_volume(path, probabilities, source, PREDICTION)
}

/// True if the file is one that [`write_prediction`] or [`write_probabilities`] wrote: another's is not ours to replace.
///
/// # Errors
/// If it cannot be read.
pub fn is_prediction(path: &Path) -> Result<bool, CaseError> {
    let head = bytes::read_start(path, START_BYTES)
        .and_then(|raw| bytes::content_start(path, &raw, HEADER_BYTES));
    match head {
        Ok(head) => {
            Ok(head.get(DESCRIP..).is_some_and(|text| text.starts_with(PREDICTION.as_bytes())))
        }
        Err(error) if error.reason == Reason::Format => Ok(false),
        Err(error) => Err(error),
    }
}

/// Writes intensities (the file's memory order) as int16; otherwise as [`write_labels`].
///
/// # Errors
/// Those of [`write_labels`].
///
/// # Panics
/// If there are not as many values as voxels.
pub fn write_intensities(
    path: &Path,
    voxels: &[i16],
    source: &SourceGrid,
) -> Result<(), CaseError> {
    write_volume(path, voxels, source, "")
}

/// Writes scalars (probabilities, normalised intensities) as float32; otherwise as
/// [`write_labels`].
///
/// # Errors
/// Those of [`write_labels`].
///
/// # Panics
/// If there are not as many values as voxels.
pub fn write_scalars(path: &Path, voxels: &[f32], source: &SourceGrid) -> Result<(), CaseError> {
    write_volume(path, voxels, source, "")
}

fn write_volume<T: VoxelType>(
    path: &Path,
    voxels: &[T],
    source: &SourceGrid,
    description: &str,
) -> Result<(), CaseError> {
    assert_eq!(voxels.len(), source.dims.voxel_count(), "one value per voxel");
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let compressed = name.ends_with(".nii.gz");
    if !compressed && !name.ends_with(".nii") {
        return Err(CaseError::new(
            Reason::Format,
            path.display(),
            "the name is that of no NIfTI file",
            "end it in .nii.gz, or in .nii for an uncompressed file",
        ));
    }
    let mut header = encode_header::<T>(path, source)?;
    header[DESCRIP..DESCRIP + description.len()].copy_from_slice(description.as_bytes());
    Ok(replace_file_with(path, |file| write_voxels(file, compressed, &header, voxels))?)
}

fn write_voxels<T: VoxelType>(
    file: &mut File,
    compressed: bool,
    header: &[u8],
    voxels: &[T],
) -> io::Result<()> {
    let file = BufWriter::new(file);
    let mut file = if compressed {
        let mut encoder = GzEncoder::new(file, Compression::new(GZIP_LEVEL));
        write_content(&mut encoder, header, voxels)?;
        encoder.finish()?
    } else {
        let mut plain = file;
        write_content(&mut plain, header, voxels)?;
        plain
    };
    file.flush()
}

fn write_content<T: VoxelType>(to: &mut impl Write, header: &[u8], voxels: &[T]) -> io::Result<()> {
    to.write_all(header)?;
    let mut bytes = Vec::new();
    for piece in voxels.chunks(1 << 14) {
        bytes.clear();
        for voxel in piece {
            voxel.append_le(&mut bytes);
        }
        to.write_all(&bytes)?;
    }
    Ok(())
}

/// The header with its empty extension flag. Offsets are nifti1.h's.
fn encode_header<T: VoxelType>(
    path: &Path,
    source: &SourceGrid,
) -> Result<[u8; VOX_OFFSET], CaseError> {
    let shape = source.dims.to_nifti();
    let mut dim = [3i16, 1, 1, 1, 1, 1, 1, 1];
    for (entry, length) in dim[1..].iter_mut().zip(shape) {
        *entry = i16::try_from(length).map_err(|_| {
            CaseError::new(
                Reason::Format,
                path.display(),
                format!("shape {} has an axis longer than 32767, NIfTI-1's limit", source.dims),
                "crop the volume",
            )
        })?;
    }
    let qform = Qform::from_affine(&source.world_from_voxel);
    let spacing = source.world_from_voxel.spacing_mm();
    let mut header = [0u8; VOX_OFFSET];
    let mut put = |at: usize, bytes: &[u8]| header[at..at + bytes.len()].copy_from_slice(bytes);

    put(0, &(HEADER_BYTES as i32).to_le_bytes());
    put(40, dim.map(i16::to_le_bytes).as_flattened());
    put(70, &(T::DATATYPE as i16).to_le_bytes());
    put(72, &(8 * size_of::<T>() as i16).to_le_bytes());
    let qfac = qform.map_or(1.0, |form| form.qfac);
    let pixdim = [qfac, spacing[0], spacing[1], spacing[2], 1.0, 1.0, 1.0, 1.0];
    put(76, f32_le_bytes(pixdim).as_flattened());
    put(108, f32_le_bytes([VOX_OFFSET as f64, 1.0, 0.0]).as_flattened()); // vox_offset, slope, inter
    put(123, &[Unit::Mm as u8]);
    if let Some(form) = qform {
        put(252, &(XFORM as i16).to_le_bytes());
        put(256, f32_le_bytes(form.quaternion).as_flattened());
        put(268, f32_le_bytes(form.offset).as_flattened());
    }
    put(254, &(XFORM as i16).to_le_bytes());
    for (row, values) in source.world_from_voxel.0.into_iter().take(3).enumerate() {
        put(280 + 16 * row, f32_le_bytes(values).as_flattened());
    }
    put(344, b"n+1\0");
    Ok(header)
}

fn f32_le_bytes<const N: usize>(values: [f64; N]) -> [[u8; 4]; N] {
    values.map(|value| (value as f32).to_le_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::volume::{Affine, Dims};
    use nifti::{
        InMemNiftiVolume, NiftiObject, NiftiVolume, RandomAccessNiftiVolume, ReaderOptions,
    };

    fn lps(shape: [usize; 3]) -> SourceGrid {
        let affine = [
            [-1.0, 0.0, 0.0, 0.0],
            [0.0, -1.0, 0.0, 239.0],
            [0.0, 0.0, 1.5, -12.5],
            [0.0, 0.0, 0.0, 1.0],
        ];
        SourceGrid::canonical(Dims::from_nifti(shape), Affine(affine))
    }

    fn check_with_the_nifti_crate(name: &str) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        let source = lps([3, 4, 5]);
        let voxels: Vec<i16> = (0..60).map(|place| place * 7 - 200).collect();
        write_intensities(&path, &voxels, &source).unwrap();

        let object = ReaderOptions::new().read_file(&path).unwrap();
        let header = object.header();
        assert_eq!(header.dim, [3, 3, 4, 5, 1, 1, 1, 1]);
        assert_eq!((header.datatype, header.bitpix), (4, 16));
        assert_eq!(header.pixdim[..4], [1.0, 1.0, 1.0, 1.5]);
        assert_eq!((header.scl_slope, header.scl_inter, header.xyzt_units), (1.0, 0.0, 2));
        assert_eq!((header.sform_code, header.qform_code), (1, 1));
        assert_eq!(header.srow_y, [0.0, -1.0, 0.0, 239.0]);
        assert_eq!(header.srow_z, [0.0, 0.0, 1.5, -12.5]);
        assert_eq!((header.quatern_b, header.quatern_c, header.quatern_d), (0.0, 0.0, 1.0));
        let volume: InMemNiftiVolume = object.into_volume();
        assert_eq!(volume.dim(), [3, 4, 5]);
        for (place, voxel) in voxels.iter().enumerate() {
            let [x, y, z] = [place % 3, place / 3 % 4, place / 12].map(|i| i as u16);
            assert_eq!(volume.get_f32(&[x, y, z]).unwrap(), f32::from(*voxel));
        }
        let names: Vec<_> = std::fs::read_dir(folder.path()).unwrap().collect();
        assert_eq!(names.len(), 1, "no draft is left: {names:?}");
    }

    #[test]
    fn an_independent_reader_finds_grid_and_voxels_compressed_or_not() {
        check_with_the_nifti_crate("a.nii.gz");
        check_with_the_nifti_crate("a.nii");
    }

    #[test]
    fn a_name_that_says_nothing_and_a_missing_folder_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let source = lps([1, 1, 1]);
        let error = write_labels(&folder.path().join("a.gz"), &[0], &source).unwrap_err();
        assert!(error.to_string().contains(".nii.gz"), "{error}");
        let error = write_labels(&folder.path().join("no/a.nii"), &[0], &source).unwrap_err();
        assert_eq!(error.reason, Reason::Missing);
    }

    #[test]
    fn an_axis_beyond_nifti_1_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let source = lps([40_000, 1, 1]);
        let error = write_labels(&folder.path().join("a.nii"), &vec![0; 40_000], &source);
        assert!(error.unwrap_err().to_string().contains("40000x1x1"));
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
