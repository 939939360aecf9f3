//! Writes one sample again: as NIfTI files, what the network saw, where it lies in the patient, and
//! what was drawn for it; or as NumPy arrays, for another program to train on.

use std::path::{Path, PathBuf};

use half::f16;
use serde::Serialize;

use crate::augment::{Background, DrawnParams, Kernel, RenderPlan};
use crate::base::{CaseError, SampleKey, fs};
use crate::brats::{write_labels, write_scalars};
use crate::buffers::PatchBuffer;
use crate::pipeline::augment::Augment;
use crate::pipeline::{CaseHandle, DrawnSample};
use crate::volume::{
    Affine, CERTAIN, CaseId, Dims, Region, RegionProbabilities, RunChannels, SourceGrid, Targets,
    most_likely_label,
};

/// Record of a sample that was made again.
#[derive(Debug, Clone, Serialize)]
pub struct ReplayedSample {
    /// Key of the sample.
    pub key: SampleKey,
    /// Case of the sample.
    pub case: CaseId,
    /// First corner in the case's brain box, `[z, y, x]`.
    pub corner: [isize; 3],
    /// Extent, `[d, h, w]`.
    pub dims: Dims,
    /// Drawn parameters of each transform.
    pub drawn: DrawnParams,
    /// Kernel that rendered the patch; all give the same voxels.
    pub kernel: &'static str,
    /// Files: one per modality, the labels, and this record.
    pub files: Vec<PathBuf>,
}

/// Renders `sample` and writes it into `out`: z-scores per modality as float32, labels in the
/// values of the case's own label file, the probability of each region if `targets` are soft, and
/// the drawn parameters.
///
/// The affine says where each voxel of the patch comes from, rotated and scaled as it was, so that
/// a viewer overlays the patch on the case's own files.
///
/// # Errors
/// If a file cannot be written.
///
/// # Panics
/// Never: a patch has one value per voxel.
pub fn replay_sample(
    sample: &DrawnSample,
    channels: RunChannels,
    background: Background,
    targets: Targets,
    out: &Path,
) -> Result<ReplayedSample, CaseError> {
    fs::create_dir_all(out)?;
    let mut patch = render_patch(sample, background, targets);
    let DrawnSample { case, window, .. } = sample;
    let grid = SourceGrid::canonical(window.dims, world_from_patch(sample, background));
    let stem = file_stem(sample);
    let mut files = Vec::new();
    let mut file = |what: &str| {
        files.push(out.join(format!("{stem}-{what}")));
        files[files.len() - 1].clone()
    };
    for modality in channels.modalities.iter() {
        let channel = &patch.images[modality.index() * window.dims.voxel_count()..];
        let values: Vec<f32> =
            channel[..window.dims.voxel_count()].iter().copied().map(f16::to_f32).collect();
        write_scalars(&file(&format!("{modality}.nii.gz")), &values, &grid)?;
    }
    if targets == Targets::Soft {
        let shares: &[RegionProbabilities] = patch.labels.as_chunks().0;
        for region in channels.regions.iter() {
            let parts = shares.iter().map(|voxel| voxel[region.index()]);
            let values: Vec<f32> = parts.map(|part| f32::from(part) / f32::from(CERTAIN)).collect();
            write_scalars(&file(&format!("{region}.nii.gz")), &values, &grid)?;
        }
        let painted: Vec<u8> = shares.iter().copied().map(most_likely_label).collect();
        patch.labels = painted.as_slice().into();
    }
    let labels: Vec<u8> =
        patch.labels.iter().map(|label| case.label_scheme().to_file(*label)).collect();
    write_labels(&file("seg.nii.gz"), &labels, &grid)?;
    let record = file("sample.json");
    let replayed = record_of(sample, files);
    let text = serde_json::to_vec_pretty(&replayed).expect("records serialise to JSON");
    fs::write(&record, text)?;
    Ok(replayed)
}

/// Renders `sample` and writes it into `out` as two NumPy arrays, exactly what the network is given:
/// images `[c, d, h, w]` of the run's modalities, z-scores as float16, and targets `[k, d, h, w]`, the
/// probabilities of its regions in 255ths.
///
/// # Errors
/// If a file cannot be written.
pub fn write_sample_arrays(
    sample: &DrawnSample,
    channels: RunChannels,
    background: Background,
    targets: Targets,
    out: &Path,
) -> Result<ReplayedSample, CaseError> {
    fs::create_dir_all(out)?;
    let patch = render_patch(sample, background, targets);
    let Dims([d, h, w]) = sample.window.dims;
    let RunChannels { modalities, regions } = channels;
    let voxels = sample.window.dims.voxel_count();
    let planes =
        modalities.iter().map(|modality| &patch.images[modality.index() * voxels..][..voxels]);
    let images: Vec<u8> = planes.flatten().flat_map(|value| value.to_le_bytes()).collect();
    let labels: &[u8] = &patch.labels;
    let targets: Vec<u8> = match targets {
        Targets::Soft => {
            let shares: &[RegionProbabilities] = labels.as_chunks().0;
            regions
                .iter()
                .flat_map(|region| shares.iter().map(move |own| own[region.index()]))
                .collect()
        }
        Targets::Hard => {
            let member = |own: u8, region: Region| u8::from(region.contains(own)) * CERTAIN;
            regions
                .iter()
                .flat_map(|region| labels.iter().map(move |own| member(*own, region)))
                .collect()
        }
    };
    let stem = file_stem(sample);
    let files = ["images", "targets"].map(|what| out.join(format!("{stem}-{what}.npy")));
    fs::write(&files[0], to_npy("<f2", [modalities.len(), d, h, w], &images))?;
    fs::write(&files[1], to_npy("|u1", [regions.len(), d, h, w], &targets))?;
    Ok(record_of(sample, files.to_vec()))
}

/// Bytes of a `.npy` file, version 1.0: NumPy's type name, row-major shape, little-endian values.
fn to_npy(type_name: &str, shape: [usize; 4], values: &[u8]) -> Vec<u8> {
    const PREAMBLE: usize = 10;
    let [a, b, c, d] = shape;
    let mut header = format!(
        "{{'descr': '{type_name}', 'fortran_order': False, 'shape': ({a}, {b}, {c}, {d}), }}"
    );
    // The format aligns the values to 64 bytes, and the header ends with a line break.
    let length = (PREAMBLE + header.len() + 1).next_multiple_of(64) - PREAMBLE;
    header = format!("{header:<width$}\n", width = length - 1);
    let length = (length as u16).to_le_bytes();
    [b"\x93NUMPY\x01\x00", length.as_slice(), header.as_bytes(), values].concat()
}

fn render_patch(sample: &DrawnSample, background: Background, targets: Targets) -> PatchBuffer {
    let mut patch = PatchBuffer::default();
    let mut augment = Augment::new(background).with_targets(targets);
    augment.render_sample(sample, &mut patch);
    patch
}

fn file_stem(sample: &DrawnSample) -> String {
    let DrawnSample { key, case, .. } = sample;
    format!("{}-epoch{}-index{}", case.id(), key.epoch, key.index)
}

fn record_of(sample: &DrawnSample, files: Vec<PathBuf>) -> ReplayedSample {
    let DrawnSample { key, case, window, drawn, .. } = sample;
    ReplayedSample {
        key: *key,
        case: case.id().clone(),
        corner: window.corner,
        dims: window.dims,
        drawn: drawn.clone(),
        kernel: Kernel::fastest_available().name(),
        files,
    }
}

/// Affine from patch voxels, fastest axis first, to the world of the case's files in mm.
fn world_from_patch(sample: &DrawnSample, background: Background) -> Affine {
    let DrawnSample { case, window, drawn, .. } = sample;
    let render_plan = RenderPlan::new(&case.case_view(), *window, drawn, background);
    let world = |at: [f64; 3]| world_from_box(case, render_plan.placement().box_from_patch(at));
    let origin = world([0.0; 3]);
    let mut rows = [[0.0; 4]; 4];
    for (column, axis) in [2, 1, 0].into_iter().enumerate() {
        let mut step = [0.0; 3];
        step[axis] = 1.0;
        let beside = world(step);
        for row in 0..3 {
            rows[row][column] = beside[row] - origin[row];
        }
    }
    for row in 0..3 {
        rows[row][3] = origin[row];
    }
    rows[3][3] = 1.0;
    Affine(rows)
}

/// World coordinates in mm of a position `[z, y, x]` in the brain box.
fn world_from_box(case: &CaseHandle, place: [f64; 3]) -> [f64; 3] {
    let source = case.source_grid();
    let start = case.brain_box().start;
    let shape = source.dims.to_nifti();
    let mut file = [0.0; 3];
    for (ours, axis) in [2, 1, 0].into_iter().enumerate() {
        let along = place[axis] + start[axis] as f64;
        let from = usize::from(source.axes[ours]);
        let last = shape[from] as f64 - 1.0;
        file[from] = if source.flipped[ours] { last - along } else { along };
    }
    let rows = source.world_from_voxel.0;
    std::array::from_fn(|row| {
        rows[row][3] + (0..3).map(|axis| rows[row][axis] * file[axis]).sum::<f64>()
    })
}
