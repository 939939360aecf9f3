//! Reads a case: four modalities and their labels on one grid, in canonical orientation, with
//! canonical labels. Files that disagree are an error, never resampled.

use std::path::Path;

use crate::base::error::{CaseError, Reason};
use crate::base::fingerprint::{Fingerprint, Fingerprinter};
use crate::brats::dataset::CaseFiles;
use crate::brats::labels;
use crate::brats::narrow;
use crate::brats::orient::source_grid;
use crate::brats::read::RawVolume;
use crate::buffers::case::CaseBuffers;
use crate::buffers::pool::BufferPool;
use crate::volume::case::{Case, SourceGrid};
use crate::volume::grid::{Affine, Dims};
use crate::volume::modality::Modality;
use crate::volume::region::LabelScheme;
use crate::volume::voxels::Voxels;

/// Largest difference between any two entries of the affines of one case.
const TOLERANCE_MM: f64 = 1e-3;

/// A segmentation without its images.
#[derive(Debug, Clone)]
pub struct LabelVolume {
    /// Canonical labels in canonical orientation, `[d, h, w]`.
    pub labels: Vec<u8>,
    /// The grid of the file.
    pub source: SourceGrid,
}

/// Reads cases into buffers that are used again.
#[derive(Debug, Clone, Default)]
pub struct CaseReader {
    buffers: CaseBuffers,
}

impl CaseReader {
    /// Reads into `buffers`, which [`CaseBuffers::give_back_case`] refills.
    pub const fn new(buffers: CaseBuffers) -> Self {
        Self { buffers }
    }

    /// Reads a whole case.
    ///
    /// # Errors
    /// If a file cannot be read, the files disagree in shape or affine, or a label is none of the
    /// scheme's. The error's subject starts with the case.
    pub fn read(&self, files: &CaseFiles) -> Result<Case, CaseError> {
        read_files(files, &self.buffers).map_err(|error| error.of_case(&files.id))
    }

    /// Reads bytes and headers without inflating a voxel.
    ///
    /// # Errors
    /// Those of [`Self::read`] that headers show.
    pub fn read_headers(&self, files: &CaseFiles) -> Result<CaseHeaders, CaseError> {
        read_case_headers(files, &self.buffers).map_err(|error| error.of_case(&files.id))
    }
}

/// Facts about a case that need no voxel.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct CaseHeaders {
    /// Fingerprint of the compressed bytes of all files, as [`Case::fingerprint`].
    pub fingerprint: Fingerprint,
    /// Extent in canonical orientation.
    pub grid: Dims,
}

/// Reads a whole case into new memory.
///
/// # Errors
/// Those of [`CaseReader::read`].
pub fn read_case(files: &CaseFiles) -> Result<Case, CaseError> {
    CaseReader::default().read(files)
}

/// Reads a segmentation alone: canonical labels in canonical orientation.
///
/// # Errors
/// If the file cannot be read, holds more than one volume, or a label is none of the scheme's.
pub fn read_labels_only(path: &Path, scheme: LabelScheme) -> Result<LabelVolume, CaseError> {
    let buffers = CaseBuffers::default();
    let packed = RawVolume::read(path, &buffers)?;
    let source = source_grid(packed.header.volume_dims(path)?, packed.header.world_from_voxel);
    let file_labels = labels::read_labels(&packed, scheme, &buffers)?;
    Ok(LabelVolume { labels: to_canonical_order(file_labels, &source, &buffers.bytes), source })
}

fn read_files(files: &CaseFiles, buffers: &CaseBuffers) -> Result<Case, CaseError> {
    let mut sum = SourceTotals::default();
    let [first_path, other_paths @ ..] = &files.images;
    let first = RawVolume::read(first_path, buffers)?;
    let placed = FileGrid::from_file(first_path, &first)?;
    let source = source_grid(placed.dims, placed.world_from_voxel);
    let mut images = Vec::with_capacity(Modality::COUNT);
    images.push(canonical_image(&first, &source, buffers)?);
    sum.add_file(first, buffers);
    for path in other_paths {
        let packed = RawVolume::read(path, buffers)?;
        placed.check_agreement(&FileGrid::from_file(path, &packed)?)?;
        images.push(canonical_image(&packed, &source, buffers)?);
        sum.add_file(packed, buffers);
    }
    let mut canonical_labels = None;
    if let Some(path) = &files.labels {
        let packed = RawVolume::read(path, buffers)?;
        placed.check_agreement(&FileGrid::from_file(path, &packed)?)?;
        let file_labels = labels::read_labels(&packed, files.scheme, buffers)?;
        canonical_labels = Some(to_canonical_order(file_labels, &source, &buffers.bytes));
        sum.add_file(packed, buffers);
    }
    Ok(Case {
        id: files.id.clone(),
        source,
        images: images.try_into().expect("one image was pushed per path, four paths"),
        labels: canonical_labels,
        scheme: files.scheme,
        fingerprint: sum.fingerprint.finish(),
        bytes_read: sum.bytes_read,
    })
}

fn read_case_headers(files: &CaseFiles, buffers: &CaseBuffers) -> Result<CaseHeaders, CaseError> {
    let mut sum = SourceTotals::default();
    let mut first = None;
    for path in files.images.iter().chain(&files.labels) {
        let packed = RawVolume::read(path, buffers)?;
        let placed = FileGrid::from_file(path, &packed)?;
        sum.add_file(packed, buffers);
        first.get_or_insert(placed).check_agreement(&placed)?;
    }
    let placed = first.expect("a case has four images");
    let grid = source_grid(placed.dims, placed.world_from_voxel).canonical_dims();
    Ok(CaseHeaders { fingerprint: sum.fingerprint.finish(), grid })
}

/// Totals over the files of a case.
#[derive(Default)]
struct SourceTotals {
    /// Fingerprint of the files' fingerprints, in the order of reading.
    fingerprint: Fingerprinter,
    bytes_read: u64,
}

impl SourceTotals {
    /// Adds a file and gives its bytes back.
    fn add_file(&mut self, packed: RawVolume, buffers: &CaseBuffers) {
        let Fingerprint(bytes) = packed.fingerprint;
        self.fingerprint.update(&bytes);
        self.bytes_read += packed.bytes_read;
        buffers.bytes.give_back(packed.raw);
    }
}

#[derive(Clone, Copy)]
struct FileGrid<'a> {
    path: &'a Path,
    dims: Dims,
    world_from_voxel: Affine,
}

impl<'a> FileGrid<'a> {
    fn from_file(path: &'a Path, packed: &RawVolume) -> Result<Self, CaseError> {
        let dims = packed.header.volume_dims(path)?;
        Ok(Self { path, dims, world_from_voxel: packed.header.world_from_voxel })
    }

    /// Refuses another file of the case on a different grid.
    fn check_agreement(&self, other: &Self) -> Result<(), CaseError> {
        let geometry = |problem: String| {
            let remedy = "resample it onto the other's grid, or download the case again";
            CaseError::new(Reason::Geometry, other.path.display(), problem, remedy)
        };
        let name = self.path.file_name().unwrap_or_default().to_string_lossy();
        if self.dims != other.dims {
            return Err(geometry(format!("is {}, but {name} is {}", other.dims, self.dims)));
        }
        let distance = self.world_from_voxel.distance_mm(&other.world_from_voxel);
        if distance <= TOLERANCE_MM {
            return Ok(());
        }
        let rows = |affine: &Affine| format!("{:?}", &affine.0[..3]);
        Err(geometry(format!(
            "its affine {} is up to {distance} mm from {} of {name}",
            rows(&other.world_from_voxel),
            rows(&self.world_from_voxel)
        )))
    }
}

fn is_canonical(source: &SourceGrid) -> bool {
    *source == SourceGrid::canonical(source.dims, source.world_from_voxel)
}

/// Voxels of one modality in canonical orientation.
fn canonical_image(
    packed: &RawVolume,
    source: &SourceGrid,
    buffers: &CaseBuffers,
) -> Result<Voxels, CaseError> {
    Ok(match narrow::decode_voxels(packed, buffers)? {
        Voxels::I16(values) => {
            Voxels::I16(to_canonical_order(values, source, &buffers.intensities))
        }
        voxels if is_canonical(source) => voxels,
        voxels => voxels.gather(source.file_offsets()),
    })
}

fn to_canonical_order<T: Copy>(
    in_file: Vec<T>,
    source: &SourceGrid,
    pool: &BufferPool<T>,
) -> Vec<T> {
    if is_canonical(source) {
        return in_file;
    }
    let mut canonical = pool.take();
    canonical.clear();
    canonical.extend(source.file_offsets().map(|place| in_file[place]));
    pool.give_back(in_file);
    canonical
}
