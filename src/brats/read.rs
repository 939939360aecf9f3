//! Reads one NIfTI file: its header, and its voxels in the file's own order. `case` checks the
//! files of a case against each other and reorients them.

use std::path::{Path, PathBuf};

use crate::base::{CaseError, Fingerprint, Fingerprinter, Reason};
use crate::brats::fields::NIFTI_2_BYTES;
use crate::brats::header::Header;
use crate::brats::{bytes, narrow, source_grid};
use crate::buffers::CaseBuffers;
use crate::storage;
use crate::volume::{SourceGrid, Voxels};

/// Voxels of the largest volume that is read where nothing else is said: as many as the default of
/// `loader.memory_mib` holds of a case on its way into the cache. A cube of 620 voxels.
pub const DEFAULT_MAX_VOXELS: usize = (4 << 30) / 18;

/// Bytes that surely hold the header of a compressed file, with the name and comment of gzip.
pub(super) const START_BYTES: u64 = 64 << 10;

/// NIfTI file: header and voxels in the file's order.
#[derive(Debug, Clone)]
pub struct NiftiImage {
    /// Checked header.
    pub header: Header,
    /// Scaled values in the file's order, in the narrowest exact type; NaN and infinities survive.
    pub voxels: Voxels,
    /// Fingerprint of the bytes on the disk, compressed as they are; of both files of a pair.
    pub fingerprint: Fingerprint,
    /// Bytes on the disk.
    pub bytes_read: u64,
    /// Voxels that are NaN or infinite.
    pub non_finite: usize,
}

/// File in memory with a checked header and voxels that are still compressed.
pub(super) struct RawVolume {
    /// The file that holds the voxels: of a pair, the image.
    pub(super) path: PathBuf,
    /// Bytes of that file.
    pub(super) raw: Vec<u8>,
    pub(super) header: Header,
    pub(super) fingerprint: Fingerprint,
    pub(super) bytes_read: u64,
}

impl RawVolume {
    /// Reads the bytes and the header into `buffers`; refuses a volume of more than `max_voxels` before
    /// one is inflated.
    pub(super) fn read(
        path: &Path,
        max_voxels: usize,
        buffers: &CaseBuffers,
    ) -> Result<Self, CaseError> {
        let header_path = header_path(path);
        let header_raw = bytes::read_whole(&header_path, max_voxels, buffers.bytes.take())?;
        let head = bytes::content_start(&header_path, &header_raw, NIFTI_2_BYTES)?;
        let header = Header::parse(&header_path, &head)?;

        let mut fingerprint = Fingerprinter::default();
        fingerprint.update(&header_raw);
        let mut bytes_read = header_raw.len() as u64;
        let (path, raw) = if header.pair {
            let image_path = image_path(&header_path)?;
            let image_raw = bytes::read_whole(&image_path, max_voxels, header_raw)?;
            fingerprint.update(&image_raw);
            bytes_read += image_raw.len() as u64;
            (image_path, image_raw)
        } else {
            (header_path, header_raw)
        };
        header.check_length(&path, bytes::max_content_bytes(&raw))?;
        header.check_voxels(&path, max_voxels)?;
        Ok(Self { path, raw, header, fingerprint: fingerprint.finish(), bytes_read })
    }
}

/// Reads NIfTI-1 or NIfTI-2, compressed or not, in one file or as a pair (named by either half), of up
/// to [`DEFAULT_MAX_VOXELS`].
///
/// # Errors
/// If the file cannot be read, is no NIfTI, claims what it cannot hold, or fails its checksum. The
/// text names file, field, value and the way out.
pub fn read_volume(path: &Path) -> Result<NiftiImage, CaseError> {
    let buffers = CaseBuffers::default();
    let packed = RawVolume::read(path, DEFAULT_MAX_VOXELS, &buffers)?;
    let voxels = narrow::decode_voxels(&packed, &buffers)?;
    Ok(NiftiImage {
        non_finite: voxels.iter().filter(|value| !value.is_finite()).count(),
        fingerprint: packed.fingerprint,
        header: packed.header,
        voxels,
        bytes_read: packed.bytes_read,
    })
}

/// Reads the grid of a volume from the start of its file.
///
/// # Errors
/// Those of [`read_volume`] that the header shows.
pub fn read_grid(path: &Path) -> Result<SourceGrid, CaseError> {
    read_volume_grid(path, 1)
}

/// Reads the grid of each of the volumes of a file from its start.
pub(super) fn read_volume_grid(path: &Path, volumes: usize) -> Result<SourceGrid, CaseError> {
    let path = header_path(path);
    let raw = bytes::read_start(&path, START_BYTES)?;
    let head = bytes::content_start(&path, &raw, NIFTI_2_BYTES)?;
    let header = Header::parse(&path, &head)?;
    Ok(source_grid(header.volume_dims(&path, volumes)?, header.world_from_voxel))
}

/// The half of a pair that holds the header; any other name is its own header.
fn header_path(path: &Path) -> PathBuf {
    sibling_file(path, ".img", ".hdr").unwrap_or_else(|| path.to_owned())
}

fn image_path(header: &Path) -> Result<PathBuf, CaseError> {
    sibling_file(header, ".hdr", ".img").ok_or_else(|| {
        CaseError::new(
            Reason::Missing,
            header.display(),
            "says that its voxels lie in an .img beside it, but there is none",
            "put the .img beside the .hdr, or convert the pair to one .nii.gz",
        )
    })
}

/// The file whose name ends in `to` where this one's ends in `from`, each with or without `.gz`.
fn sibling_file(path: &Path, from: &str, to: &str) -> Option<PathBuf> {
    let name = path.file_name()?.to_str()?;
    let stem = name.strip_suffix(".gz").unwrap_or(name).strip_suffix(from)?;
    ["", ".gz"]
        .map(|gz| path.with_file_name(format!("{stem}{to}{gz}")))
        .into_iter()
        .find(|candidate| storage::is_file(candidate))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    /// A pair of 1x1x2 int16 voxels.
    fn write_pair(folder: &Path) {
        let mut header = vec![0u8; 352];
        let mut put = |at: usize, bytes: &[u8]| header[at..at + bytes.len()].copy_from_slice(bytes);
        put(0, &348i32.to_le_bytes());
        put(40, [3i16, 1, 1, 2, 1, 1, 1, 1].map(i16::to_le_bytes).as_flattened());
        put(70, &[4, 0, 16, 0]);
        put(76, [1f32; 8].map(f32::to_le_bytes).as_flattened());
        put(344, b"ni1\0");
        fs::write(folder.join("a.hdr"), &header).unwrap();
    }

    #[test]
    fn a_pair_is_read_by_either_name_and_its_missing_half_is_named() {
        let folder = tempfile::tempdir().unwrap();
        write_pair(folder.path());
        let error = read_volume(&folder.path().join("a.hdr")).unwrap_err();
        assert_eq!(error.reason, Reason::Missing);
        assert!(error.to_string().contains(".img"), "{error}");

        fs::write(folder.path().join("a.img"), [7, 0, 0xff, 0xff]).unwrap();
        for name in ["a.hdr", "a.img"] {
            let volume = read_volume(&folder.path().join(name)).unwrap();
            assert_eq!(volume.voxels, Voxels::from_whole(vec![7, -1]));
            assert_eq!((volume.bytes_read, volume.non_finite), (356, 0));
        }
    }

    #[test]
    fn the_fingerprint_follows_both_halves() {
        let folder = tempfile::tempdir().unwrap();
        write_pair(folder.path());
        let print = |voxels: [u8; 4]| {
            fs::write(folder.path().join("a.img"), voxels).unwrap();
            read_volume(&folder.path().join("a.hdr")).unwrap().fingerprint
        };
        assert_ne!(print([1, 0, 2, 0]), print([1, 0, 3, 0]));
    }

    #[test]
    fn a_folder_and_a_missing_file_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let error = read_volume(folder.path()).unwrap_err().to_string();
        assert!(error.contains("is a folder"), "{error}");
        let missing = read_volume(&folder.path().join("b.nii")).unwrap_err();
        assert_eq!(missing.reason, Reason::Missing);
    }
}
