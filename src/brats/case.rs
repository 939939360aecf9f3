//! Reads a case: four modalities and their labels on one grid, in canonical orientation, with
//! canonical labels. Files that disagree are an error, never resampled.

use std::collections::BTreeSet;
use std::path::Path;

use parking_lot::Mutex;

use crate::base::{
    CaseError, Fingerprint, Fingerprinter, OutOfMemory, Reason, collect_values, reserve_values,
};
use crate::brats::file_grid::{FileGrid, GridMatch};
use crate::brats::read::{DEFAULT_MAX_VOXELS, RawVolume};
use crate::brats::{CaseFiles, StackPlaces, labels, narrow, source_grid};
use crate::buffers::{BufferPool, CaseBuffers};
use crate::volume::{Case, CaseId, Dims, LabelScheme, Modality, ModalitySet, SourceGrid, Voxels};

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
    /// Voxel edges in canonical orientation in mm, fastest axis first.
    pub spacing_mm: [f64; 3],
}

/// Reads a segmentation alone: canonical labels in canonical orientation.
///
/// # Errors
/// If the file cannot be read, holds more than one volume, or a label is none of the scheme's.
pub fn read_labels_only(path: &Path, scheme: LabelScheme) -> Result<LabelVolume, CaseError> {
    let buffers = CaseBuffers::default();
    let packed = RawVolume::read(path, DEFAULT_MAX_VOXELS, &buffers)?;
    let source = source_grid(packed.header.volume_dims(path, 1)?, packed.header.world_from_voxel);
    let file_labels = labels::read_labels(&packed, scheme, &buffers)?;
    let labels = to_canonical_order(file_labels, &source, &buffers.bytes).map_err(out_of(path))?;
    Ok(LabelVolume { labels, source })
}

fn read_files(files: &CaseFiles, buffers: &CaseBuffers) -> Result<Case, CaseError> {
    let mut sum = SourceTotals::of_files(files);
    let first_path = files.first_image();
    let volumes = files.stack.map_or(1, |stack| stack.volumes);
    let first = RawVolume::read(first_path, files.max_voxels.saturating_mul(volumes), buffers)?;
    let placed = FileGrid::from_file(first_path, &first, volumes)?;
    let mut images = Vec::with_capacity(Modality::COUNT);
    match files.stack {
        Some(StackPlaces { places, .. }) => {
            let modalities = files.channels.modalities.iter();
            let places = modalities.filter_map(|modality| places[modality.index()]);
            let places: Vec<usize> = places.collect();
            for voxels in narrow::decode_volumes(&first, volumes, &places, buffers)? {
                let image = to_canonical_image(voxels, &placed.source, buffers);
                images.push(image.map_err(out_of(first_path))?);
            }
        }
        None => images.push(canonical_image(&first, &placed.source, buffers)?),
    }
    sum.add_file(first, buffers);
    let read_beside = |path: &Path| -> Result<(RawVolume, SourceGrid), CaseError> {
        let packed = RawVolume::read(path, files.max_voxels, buffers)?;
        let matched = placed.match_file(&FileGrid::from_file(path, &packed, 1)?)?;
        warn_of_difference(&files.id, path, &matched);
        Ok((packed, matched.source))
    };
    let others = if files.stack.is_some() { Modality::COUNT } else { 1 };
    for path in files.image_paths().skip(others) {
        let (packed, source) = read_beside(path)?;
        images.push(canonical_image(&packed, &source, buffers)?);
        sum.add_file(packed, buffers);
    }
    let mut canonical_labels = None;
    if let Some(path) = &files.labels {
        let (packed, source) = read_beside(path)?;
        let file_labels = labels::read_labels(&packed, files.scheme, buffers)?;
        canonical_labels =
            Some(to_canonical_order(file_labels, &source, &buffers.bytes).map_err(out_of(path))?);
        sum.add_file(packed, buffers);
    }
    let mut mask = None;
    if let Some(path) = &files.mask {
        let read = || -> Result<(RawVolume, Vec<u8>), CaseError> {
            let (packed, source) = read_beside(path)?;
            let values = canonical_image(&packed, &source, buffers)?;
            Ok((packed, mask_of_values(path, &values)?))
        };
        let (packed, inside) = read().map_err(of_mask)?;
        mask = Some(inside);
        sum.add_file(packed, buffers);
    }
    Ok(Case {
        id: files.id.clone(),
        source: placed.source,
        images: in_lanes(images, files.channels.modalities, placed.source.dims, buffers)?,
        labels: canonical_labels,
        mask,
        scheme: files.scheme,
        channels: files.channels,
        fingerprint: sum.fingerprint.finish(),
        bytes_read: sum.bytes_read,
    })
}

/// Images of some modalities in the lanes of all; the others are 0.
fn in_lanes(
    images: Vec<Voxels>,
    modalities: ModalitySet,
    dims: Dims,
    buffers: &CaseBuffers,
) -> Result<[Voxels; Modality::COUNT], CaseError> {
    let mut lanes = [(); Modality::COUNT].map(|()| Voxels::from_whole(Vec::new()));
    for (modality, image) in modalities.iter().zip(images) {
        lanes[modality.index()] = image;
    }
    for modality in Modality::ALL.into_iter().filter(|modality| !modalities.contains(*modality)) {
        let mut zeros = buffers.intensities.take();
        reserve_values(&mut zeros, dims.voxel_count())
            .map_err(|error| error.to_case_error(modality))?;
        zeros.resize(dims.voxel_count(), 0);
        lanes[modality.index()] = Voxels::from_whole(zeros);
    }
    Ok(lanes)
}

/// Tissue as a mask file says it.
fn mask_of_values(path: &Path, values: &Voxels) -> Result<Vec<u8>, CaseError> {
    let flaw = |problem: String| {
        let subject = format!("{}: voxels", path.display());
        Err(CaseError::new(Reason::Format, subject, problem, "write 1 for tissue and 0 elsewhere"))
    };
    let non_finite = values.iter().filter(|value| !value.is_finite()).count();
    if non_finite > 0 {
        return flaw(format!("{non_finite} of {} are NaN or infinite", values.len()));
    }
    let inside = values.iter().map(|value| u8::from(value != 0.0));
    let inside = collect_values(values.len(), inside).map_err(out_of(path))?;
    match inside.contains(&1) {
        true => Ok(inside),
        false => flaw(format!("all {} are 0, so that the mask leaves no tissue", inside.len())),
    }
}

/// Names the way out that every fault of a mask file has.
fn of_mask(error: CaseError) -> CaseError {
    let remedy = format!("{}, or set data.foreground to nonzero or threshold", error.remedy);
    CaseError { remedy, ..error }
}

/// Warns, once for each case in a process, of a file that is a little beside the first one's grid.
fn warn_of_difference(case: &CaseId, path: &Path, matched: &GridMatch) {
    static WARNED: Mutex<BTreeSet<CaseId>> = Mutex::new(BTreeSet::new());
    let Some(shift) = matched.tolerated_voxels else { return };
    if WARNED.lock().insert(case.clone()) {
        tracing::warn!(
            "case {case}: {}: its affine is up to {shift:.1e} voxels from the first image's; taken as \
             the same grid",
            path.display()
        );
    }
}

fn read_case_headers(files: &CaseFiles, buffers: &CaseBuffers) -> Result<CaseHeaders, CaseError> {
    let mut sum = SourceTotals::of_files(files);
    let mut first: Option<FileGrid<'_>> = None;
    for path in files.paths() {
        let volumes = match files.stack {
            Some(stack) if first.is_none() => stack.volumes,
            _ => 1,
        };
        let packed = RawVolume::read(path, files.max_voxels.saturating_mul(volumes), buffers)?;
        let placed = FileGrid::from_file(path, &packed, volumes)?;
        sum.add_file(packed, buffers);
        first.get_or_insert(placed).match_file(&placed)?;
    }
    let source = first.expect("a case has four images").source;
    Ok(CaseHeaders {
        fingerprint: sum.fingerprint.finish(),
        grid: source.canonical_dims(),
        spacing_mm: source.canonical_spacing_mm(),
    })
}

/// Totals over the files of a case.
#[derive(Default)]
struct SourceTotals {
    /// Fingerprint of the files' fingerprints, in the order of reading.
    fingerprint: Fingerprinter,
    bytes_read: u64,
}

impl SourceTotals {
    /// Totals before the first file; the order of a stack is part of what its bytes mean.
    fn of_files(files: &CaseFiles) -> Self {
        let mut totals = Self::default();
        totals.fingerprint.update(&files.order_bytes());
        totals
    }

    /// Adds a file and gives its bytes back.
    fn add_file(&mut self, packed: RawVolume, buffers: &CaseBuffers) {
        let Fingerprint(bytes) = packed.fingerprint;
        self.fingerprint.update(&bytes);
        self.bytes_read += packed.bytes_read;
        buffers.bytes.give_back(packed.raw);
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
    let voxels = narrow::decode_voxels(packed, buffers)?;
    to_canonical_image(voxels, source, buffers).map_err(out_of(&packed.path))
}

fn to_canonical_image(
    voxels: Voxels,
    source: &SourceGrid,
    buffers: &CaseBuffers,
) -> Result<Voxels, OutOfMemory> {
    match voxels {
        voxels if is_canonical(source) => Ok(voxels),
        Voxels::I16(values) => {
            let mut canonical = buffers.intensities.take();
            gather_into(&mut canonical, &values, source)?;
            buffers.intensities.give_back(values.into_buffer());
            Ok(Voxels::from_whole(canonical))
        }
        voxels => voxels.gather(source.file_offsets()),
    }
}

/// Error of a file for which there is no memory.
fn out_of(path: &Path) -> impl FnOnce(OutOfMemory) -> CaseError {
    move |error| error.to_case_error(path.display())
}

fn to_canonical_order<T: Copy>(
    in_file: Vec<T>,
    source: &SourceGrid,
    pool: &BufferPool<T>,
) -> Result<Vec<T>, OutOfMemory> {
    if is_canonical(source) {
        return Ok(in_file);
    }
    let mut canonical = pool.take();
    gather_into(&mut canonical, &in_file, source)?;
    pool.give_back(in_file);
    Ok(canonical)
}

/// Gathers values of a file's order into `canonical`.
fn gather_into<T: Copy>(
    canonical: &mut Vec<T>,
    in_file: &[T],
    source: &SourceGrid,
) -> Result<(), OutOfMemory> {
    reserve_values(canonical, in_file.len())?;
    canonical.extend(source.file_offsets().map(|place| in_file[place]));
    Ok(())
}
