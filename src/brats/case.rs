//! Reads a case: four modalities and their labels on one grid, in canonical orientation, with
//! canonical labels. Files that disagree are an error, never resampled.

use std::path::Path;

use crate::base::error::{CaseError, Reason};
use crate::base::fingerprint::{Fingerprint, Fingerprinter};
use crate::brats::dataset::CaseFiles;
use crate::brats::labels;
use crate::brats::narrow;
use crate::brats::orient::source_grid;
use crate::brats::read::Packed;
use crate::buffers::case::CaseShelf;
use crate::buffers::pool::Shelf;
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
    buffers: CaseShelf,
}

impl CaseReader {
    /// Reads into `buffers`, which [`CaseBuffers::give_back_case`] refills.
    pub const fn new(buffers: CaseShelf) -> Self {
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
    pub fn glance(&self, files: &CaseFiles) -> Result<Glance, CaseError> {
        glance_at(files, &self.buffers).map_err(|error| error.of_case(&files.id))
    }
}

/// Facts about a case that need no voxel.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Glance {
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
    let buffers = CaseShelf::default();
    let packed = Packed::read(path, &buffers)?;
    let source = source_grid(packed.header.volume_dims(path)?, packed.header.affine);
    let file_labels = labels::read(&packed, scheme, &buffers)?;
    Ok(LabelVolume { labels: turned(file_labels, &source, &buffers.bytes), source })
}

fn read_files(files: &CaseFiles, buffers: &CaseShelf) -> Result<Case, CaseError> {
    let mut sum = Sum::default();
    let [first_path, other_paths @ ..] = &files.images;
    let first = Packed::read(first_path, buffers)?;
    let placed = Placed::of(first_path, &first)?;
    let source = source_grid(placed.dims, placed.affine);
    let mut images = Vec::with_capacity(Modality::COUNT);
    images.push(image(&first, &source, buffers)?);
    sum.add(first, buffers);
    for path in other_paths {
        let packed = Packed::read(path, buffers)?;
        placed.agree(&Placed::of(path, &packed)?)?;
        images.push(image(&packed, &source, buffers)?);
        sum.add(packed, buffers);
    }
    let mut canonical_labels = None;
    if let Some(path) = &files.labels {
        let packed = Packed::read(path, buffers)?;
        placed.agree(&Placed::of(path, &packed)?)?;
        let file_labels = labels::read(&packed, files.scheme, buffers)?;
        canonical_labels = Some(turned(file_labels, &source, &buffers.bytes));
        sum.add(packed, buffers);
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

fn glance_at(files: &CaseFiles, buffers: &CaseShelf) -> Result<Glance, CaseError> {
    let mut sum = Sum::default();
    let mut first = None;
    for path in files.images.iter().chain(&files.labels) {
        let packed = Packed::read(path, buffers)?;
        let placed = Placed::of(path, &packed)?;
        sum.add(packed, buffers);
        first.get_or_insert(placed).agree(&placed)?;
    }
    let placed = first.expect("a case has four images");
    let grid = source_grid(placed.dims, placed.affine).canonical_dims();
    Ok(Glance { fingerprint: sum.fingerprint.finish(), grid })
}

/// Totals over the files of a case.
#[derive(Default)]
struct Sum {
    /// Fingerprint of the files' fingerprints, in the order of reading.
    fingerprint: Fingerprinter,
    bytes_read: u64,
}

impl Sum {
    /// Adds a file and gives its bytes back.
    fn add(&mut self, packed: Packed, buffers: &CaseShelf) {
        let Fingerprint(bytes) = packed.fingerprint;
        self.fingerprint.update(&bytes);
        self.bytes_read += packed.bytes_read;
        buffers.bytes.give(packed.raw);
    }
}

/// Grid of one file.
#[derive(Clone, Copy)]
struct Placed<'a> {
    path: &'a Path,
    dims: Dims,
    affine: Affine,
}

impl<'a> Placed<'a> {
    fn of(path: &'a Path, packed: &Packed) -> Result<Self, CaseError> {
        let dims = packed.header.volume_dims(path)?;
        Ok(Self { path, dims, affine: packed.header.affine })
    }

    /// Refuses another file of the case on a different grid.
    fn agree(&self, other: &Self) -> Result<(), CaseError> {
        let geometry = |problem: String| {
            let remedy = "resample it onto the other's grid, or download the case again";
            CaseError::new(Reason::Geometry, other.path.display(), problem, remedy)
        };
        let name = self.path.file_name().unwrap_or_default().to_string_lossy();
        if self.dims != other.dims {
            return Err(geometry(format!("is {}, but {name} is {}", other.dims, self.dims)));
        }
        let distance = self.affine.distance_mm(&other.affine);
        if distance <= TOLERANCE_MM {
            return Ok(());
        }
        let rows = |affine: &Affine| format!("{:?}", &affine.0[..3]);
        Err(geometry(format!(
            "its affine {} is up to {distance} mm from {} of {name}",
            rows(&other.affine),
            rows(&self.affine)
        )))
    }
}

fn is_canonical(source: &SourceGrid) -> bool {
    *source == SourceGrid::canonical(source.dims, source.affine)
}

/// Voxels of one modality in canonical orientation.
fn image(packed: &Packed, source: &SourceGrid, buffers: &CaseShelf) -> Result<Voxels, CaseError> {
    Ok(match narrow::voxels(packed, buffers)? {
        Voxels::I16(values) => Voxels::I16(turned(values, source, &buffers.intensities)),
        voxels if is_canonical(source) => voxels,
        voxels => voxels.gather(source.file_places()),
    })
}

fn turned<T: Copy>(in_file: Vec<T>, source: &SourceGrid, pool: &Shelf<T>) -> Vec<T> {
    if is_canonical(source) {
        return in_file;
    }
    let mut canonical = pool.take();
    canonical.clear();
    canonical.extend(source.file_places().map(|place| in_file[place]));
    pool.give(in_file);
    canonical
}
