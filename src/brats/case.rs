//! A case in: four modalities and their labels on one grid, in canonical orientation, with
//! canonical labels. Files that disagree are an error, never resampled.

use std::path::Path;

use crate::base::error::{CaseError, Reason};
use crate::base::fingerprint::{Fingerprint, Fingerprinter};
use crate::brats::dataset::CaseFiles;
use crate::brats::labels;
use crate::brats::orient::source_grid;
use crate::brats::read::{Volume, read_volume};
use crate::volume::case::{Case, SourceGrid};
use crate::volume::grid::{Affine, Dims};
use crate::volume::modality::Modality;
use crate::volume::region::LabelScheme;
use crate::volume::voxels::Voxels;

/// How far the affines of one case may differ in any entry.
const TOLERANCE_MM: f64 = 1e-3;

/// A segmentation, read alone.
#[derive(Debug, Clone)]
pub struct LabelVolume {
    /// Canonical labels in canonical orientation, `[d, h, w]`.
    pub labels: Vec<u8>,
    /// The grid of the file.
    pub source: SourceGrid,
}

/// Reads a case whole.
///
/// # Errors
/// If a file cannot be read, the files disagree in shape or affine, or a label is none of the
/// scheme's. The error's subject starts with the case.
pub fn read_case(files: &CaseFiles) -> Result<Case, CaseError> {
    read_files(files).map_err(|error| error.of_case(&files.id))
}

/// Reads a segmentation alone: canonical labels in canonical orientation.
///
/// # Errors
/// If the file cannot be read, holds more than one volume, or a label is none of the scheme's.
pub fn read_labels_only(path: &Path, scheme: LabelScheme) -> Result<LabelVolume, CaseError> {
    let volume = read_volume(path)?;
    let source = source_grid(volume.header.volume_dims(path)?, volume.header.affine);
    let file_labels = labels::canonical(path, &volume.voxels, scheme)?;
    Ok(LabelVolume { labels: turned_labels(file_labels, &source), source })
}

fn read_files(files: &CaseFiles) -> Result<Case, CaseError> {
    let mut sum = Sum::default();
    let [first_path, other_paths @ ..] = &files.images;
    let first = read_volume(first_path)?;
    sum.add(&first);
    let placed = Placed::of(first_path, &first)?;
    let source = source_grid(placed.dims, placed.affine);
    let mut images = Vec::with_capacity(Modality::COUNT);
    images.push(turned(first.voxels, &source));
    for path in other_paths {
        let volume = read_volume(path)?;
        sum.add(&volume);
        placed.agree(&Placed::of(path, &volume)?)?;
        images.push(turned(volume.voxels, &source));
    }
    let mut canonical_labels = None;
    if let Some(path) = &files.labels {
        let volume = read_volume(path)?;
        sum.add(&volume);
        placed.agree(&Placed::of(path, &volume)?)?;
        let file_labels = labels::canonical(path, &volume.voxels, files.scheme)?;
        canonical_labels = Some(turned_labels(file_labels, &source));
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

/// What is added up over the files of a case.
#[derive(Default)]
struct Sum {
    /// Of the files' fingerprints, in the order of reading.
    fingerprint: Fingerprinter,
    bytes_read: u64,
}

impl Sum {
    fn add(&mut self, volume: &Volume) {
        let Fingerprint(bytes) = volume.fingerprint;
        self.fingerprint.update(&bytes);
        self.bytes_read += volume.bytes_read;
    }
}

/// Where a file's grid lies.
struct Placed<'a> {
    path: &'a Path,
    dims: Dims,
    affine: Affine,
}

impl<'a> Placed<'a> {
    fn of(path: &'a Path, volume: &Volume) -> Result<Self, CaseError> {
        let dims = volume.header.volume_dims(path)?;
        Ok(Self { path, dims, affine: volume.header.affine })
    }

    /// Refuses another file of the case that lies elsewhere.
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

fn turned(voxels: Voxels, source: &SourceGrid) -> Voxels {
    if is_canonical(source) { voxels } else { voxels.gather(source.file_places()) }
}

fn turned_labels(file_labels: Vec<u8>, source: &SourceGrid) -> Vec<u8> {
    if is_canonical(source) {
        return file_labels;
    }
    source.file_places().map(|place| file_labels[place]).collect()
}
