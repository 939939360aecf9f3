//! The donor's part of a mixed patch: rendered like the patch, laid over it where the region was carved out.

use half::f16;

use crate::augment::mixing::carving::{CarvedVoxel, CarvingBuffers, Donor};
use crate::augment::mixing::patch_part::PatchPart;
use crate::augment::{
    Background, CaseView, DrawnParams, Kernel, PatchImages, Placement, RenderPlan, Window,
};
use crate::cache::RawVoxel;
use crate::volume::{Dims, Modality, Targets, probabilities_of_label};

/// Bytes that a worker needs for mixing patches of `patch`: a donor's part of a patch in single precision, its
/// targets, its voxels and their distances, of a region as large as the patch.
pub const fn mixing_bytes(patch: Dims) -> usize {
    let part = Modality::COUNT * size_of::<f32>() + size_of::<CarvedVoxel>();
    let carved = size_of::<RawVoxel>() + size_of::<CarvedVoxel>() + 2 * size_of::<f32>();
    patch.voxel_count().saturating_mul(part + carved)
}

/// Patch of a mixed sample, as it was rendered from its receiver.
#[derive(Debug)]
pub struct MixedPatch<'a> {
    /// Intensities `[c, d, h, w]`.
    pub images: PatchImages<'a>,
    /// Canonical labels `[d, h, w]`, or region probabilities in 255ths `[d, h, w, 3]`.
    pub labels: &'a mut [u8],
    /// Kind of `labels`.
    pub targets: Targets,
}

/// Cases and parameters of a mixed sample.
#[derive(Debug)]
pub struct MixedCases<'a> {
    /// Case of the sample.
    pub receiver: CaseView<'a>,
    /// Case whose tumour is put into it.
    pub donor: CaseView<'a>,
    /// Position of the receiver's brain box in the donor's, in voxels `[z, y, x]`.
    pub offset: [isize; 3],
    /// Patch of the sample, in the receiver's brain box.
    pub window: Window,
    /// Parameters of the sample.
    pub drawn: &'a DrawnParams,
    /// Treatment of voxels without tissue.
    pub background: Background,
}

/// Renderer of the donor's part, with memory that is kept from sample to sample.
#[derive(Debug, Default)]
pub struct Mixer {
    carving: CarvingBuffers,
    halves: Vec<f16>,
    singles: Vec<f32>,
    targets: Vec<CarvedVoxel>,
}

impl Mixer {
    /// Lays the donor's region over the patch, as far as the patch shows it. Voxels of both cases have the same
    /// size, and a donor without labels changes nothing.
    ///
    /// # Panics
    /// If no mixing was drawn for the sample, or the machine cannot run the kernel.
    pub fn lay_over(&mut self, kernel: Kernel, cases: &MixedCases<'_>, patch: MixedPatch<'_>) {
        let mixing = cases.drawn.mixing.as_ref().expect("a mixed sample has a donor");
        let MixedCases { receiver, donor, window, drawn, background, .. } = cases;
        let Some(labels) = donor.labels() else { return };
        let brain = donor.brain_dims();
        let spacing_mm = donor.spacing_mm();
        let whole = Donor { images: donor.images(), labels, dims: brain, spacing_mm };
        let linear = drawn.compose_all().linear;
        let place_in = |start: [usize; 3], dims: Dims| {
            let corner = std::array::from_fn(|axis| {
                window.corner[axis] + cases.offset[axis] - start[axis] as isize
            });
            Placement::new(Window { corner, ..*window }, dims, spacing_mm, &linear)
        };
        let Some(seen) = place_in([0; 3], brain).seen_box() else { return };
        let Some(kept) = self.carving.carve_region(whole, mixing.shift, seen) else { return };
        let placement = place_in(kept.start, kept.dims);
        let Some(part) = placement.covered_part() else { return };
        let placed = placement.placed_part(part);
        let plan = RenderPlan::of_donor(placed, receiver, donor, drawn, *background);
        let view = donor.with_box(&self.carving.images, kept.dims);
        let carved = &self.carving.targets;
        let voxels = part.dims.voxel_count();
        self.targets.resize(voxels, CarvedVoxel::default());
        match patch.images {
            PatchImages::F16(images) => {
                self.halves.resize(Modality::COUNT * voxels, f16::ZERO);
                let rendered = PatchImages::F16(&mut self.halves);
                kernel.render_carved(&view, &plan, carved, rendered, &mut self.targets);
                lay_images(images, &self.halves, &self.targets, window.dims, part);
            }
            PatchImages::F32(images) => {
                self.singles.resize(Modality::COUNT * voxels, 0.0);
                let rendered = PatchImages::F32(&mut self.singles);
                kernel.render_carved(&view, &plan, carved, rendered, &mut self.targets);
                lay_images(images, &self.singles, &self.targets, window.dims, part);
            }
        }
        lay_targets(patch.labels, patch.targets, &self.targets, window.dims, part);
    }
}

/// Writes the carved voxels of a part into the images of a patch, both `[c, d, h, w]`.
fn lay_images<T: Copy>(
    patch: &mut [T],
    rendered: &[T],
    targets: &[CarvedVoxel],
    dims: Dims,
    part: PatchPart,
) {
    let channels = patch.chunks_exact_mut(dims.voxel_count());
    for (patch, rendered) in channels.zip(rendered.chunks_exact(part.dims.voxel_count())) {
        let rows = part.row_ranges(dims).zip(targets.chunks_exact(part.dims.0[2]));
        for ((row, targets), from) in rows.zip(rendered.chunks_exact(part.dims.0[2])) {
            for ((value, target), from) in patch[row].iter_mut().zip(targets).zip(from) {
                *value = if target.is_carved { *from } else { *value };
            }
        }
    }
}

/// Writes the labels of the carved voxels of a part into the targets of a patch.
fn lay_targets(
    patch: &mut [u8],
    kind: Targets,
    targets: &[CarvedVoxel],
    dims: Dims,
    part: PatchPart,
) {
    for (row, targets) in part.row_ranges(dims).zip(targets.chunks_exact(part.dims.0[2])) {
        let carved = row.zip(targets).filter(|(_, target)| target.is_carved);
        for (place, target) in carved {
            match kind {
                Targets::Hard => patch[place] = target.label,
                Targets::Soft => {
                    patch.as_chunks_mut().0[place] = probabilities_of_label(target.label);
                }
            }
        }
    }
}
