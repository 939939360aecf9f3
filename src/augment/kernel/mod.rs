//! Applies a [`RenderPlan`] to a [`CaseView`]: each row of the patch is gathered from the case's
//! raw voxels into a few kB of first-level cache, mapped to intensities there, and stored in the
//! sample's precision. There is no sampling grid, no normalised volume and no second pass.
//!
//! The two kernels do the same operations in the same order, so they agree to the last bit, and a
//! sample does not depend on the machine. `scalar` is the one to read.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod neighbours;
mod row;
mod scalar;
mod store;

use std::ops::Range;

use half::f16;

use crate::augment::kernel::row::PatchRow;
use crate::augment::tone::IntensityMap;
use crate::augment::{CarvedVoxel, CaseView, RenderPlan, TargetVoxels};
use crate::volume::{Modality, RegionProbabilities, probabilities_of_label};

/// Output of a patch's intensities, `[c, d, h, w]`.
#[derive(Debug)]
pub enum PatchImages<'a> {
    /// Half precision, as in samples.
    F16(&'a mut [f16]),
    /// Single precision, unrounded.
    F32(&'a mut [f32]),
}

impl PatchImages<'_> {
    const fn len(&self) -> usize {
        match self {
            Self::F16(values) => values.len(),
            Self::F32(values) => values.len(),
        }
    }
}

/// Implementation of the augmentation pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq, strum::IntoStaticStr)]
#[strum(serialize_all = "lowercase")]
pub enum Kernel {
    /// Plain code for any machine.
    Scalar,
    /// x86-64 with AVX2 and F16C: every server of the last ten years.
    Avx2,
}

impl Kernel {
    /// All kernels, slowest first.
    pub const ALL: [Self; 2] = [Self::Scalar, Self::Avx2];

    /// Fastest kernel that this machine can run.
    pub fn fastest_available() -> Self {
        let runs = Self::ALL.into_iter().rev().find(|kernel| kernel.is_available());
        runs.unwrap_or(Self::Scalar)
    }

    /// Name in the run's record.
    pub fn name(self) -> &'static str {
        self.into()
    }

    /// Returns true if this machine can run the kernel.
    pub fn is_available(self) -> bool {
        match self {
            Self::Scalar => true,
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => is_x86_feature_detected!("avx2") && is_x86_feature_detected!("f16c"),
            #[cfg(not(target_arch = "x86_64"))]
            Self::Avx2 => false,
        }
    }

    /// Renders the patch of `recipe` from `view`: intensities `[c, d, h, w]`, labels `[d, h, w]`.
    /// Every element is written; labels are 0 where the case has none.
    ///
    /// # Panics
    /// If the machine cannot run this kernel, the plan is for a box of another shape, the outputs
    /// do not have the patch's size, or the case has probabilities and no labels.
    pub fn render_labels(
        self,
        view: &CaseView<'_>,
        render_plan: &RenderPlan,
        images: PatchImages<'_>,
        labels: &mut [u8],
    ) {
        let truth = match view.target_voxels() {
            TargetVoxels::Absent => None,
            TargetVoxels::Labels(labels) => Some(labels),
            TargetVoxels::Shares(_) => panic!("probabilities are no labels: render them as shares"),
        };
        self.render_targets(&PatchJob { view, render_plan, truth }, images, labels);
    }

    /// Renders like [`render_labels`](Self::render_labels), with region probabilities `[d, h, w]`
    /// in place of labels: the case's own, or those of its labels.
    ///
    /// # Panics
    /// As [`render_labels`](Self::render_labels), but for probabilities.
    pub fn render_shares(
        self,
        view: &CaseView<'_>,
        render_plan: &RenderPlan,
        images: PatchImages<'_>,
        shares: &mut [RegionProbabilities],
    ) {
        match view.target_voxels() {
            TargetVoxels::Absent => self.render_targets(
                &PatchJob::<u8> { view, render_plan, truth: None },
                images,
                shares,
            ),
            TargetVoxels::Labels(all) => self.render_targets(
                &PatchJob { view, render_plan, truth: Some(all) },
                images,
                shares,
            ),
            TargetVoxels::Shares(all) => self.render_targets(
                &PatchJob { view, render_plan, truth: Some(all) },
                images,
                shares,
            ),
        }
    }

    /// Renders like [`render_labels`](Self::render_labels), with the targets `carved` of the view's voxels in
    /// place of its own; those outside the view are the default.
    ///
    /// # Panics
    /// As [`render_labels`](Self::render_labels), or if there are not as many targets as voxels.
    pub(in crate::augment) fn render_carved(
        self,
        view: &CaseView<'_>,
        render_plan: &RenderPlan,
        carved: &[CarvedVoxel],
        images: PatchImages<'_>,
        targets: &mut [CarvedVoxel],
    ) {
        assert_eq!(carved.len(), view.images().len(), "one target per place");
        let job = PatchJob { view, render_plan, truth: Some(carved) };
        self.render_targets(&job, images, targets);
    }

    fn render_targets<S: IntoTarget<T>, T: Target>(
        self,
        job: &PatchJob<'_, S>,
        images: PatchImages<'_>,
        targets: &mut [T],
    ) {
        assert!(self.is_available(), "the machine cannot run kernel {}", self.name());
        let PatchJob { view, render_plan, .. } = job;
        let voxels = render_plan.patch_dims().voxel_count();
        assert_eq!(
            render_plan.placement().brain_dims(),
            view.brain_dims(),
            "the recipe is for another case"
        );
        assert_eq!(images.len(), Modality::COUNT * voxels, "one intensity per voxel and modality");
        assert_eq!(targets.len(), voxels, "one target per voxel");
        match self {
            Self::Scalar => scalar::render_patch(job, images, targets),
            #[cfg(target_arch = "x86_64")]
            Self::Avx2 => launch_avx2(job, images, targets),
            #[cfg(not(target_arch = "x86_64"))]
            Self::Avx2 => unreachable!("not available, asserted above"),
        }
    }
}

#[cfg(target_arch = "x86_64")]
#[allow(unsafe_code)]
fn launch_avx2<S: IntoTarget<T>, T: Target>(
    job: &PatchJob<'_, S>,
    images: PatchImages<'_>,
    targets: &mut [T],
) {
    // SAFETY: the only caller has asserted `is_available`, which asks the processor for the very
    // features that the function is compiled for.
    unsafe { avx2::render_patch(job, images, targets) }
}

/// Target of a voxel in a patch; the default is that of a voxel outside the case.
trait Target: Copy + Default {}

impl Target for u8 {}
impl Target for RegionProbabilities {}
impl Target for CarvedVoxel {}

/// Conversion of a voxel's target in a case to its target in a patch. Targets come from the nearest
/// voxel and are never interpolated.
trait IntoTarget<T>: Copy {
    fn into_target(self) -> T;
}

impl<T: Copy> IntoTarget<T> for T {
    fn into_target(self) -> T {
        self
    }
}

impl IntoTarget<RegionProbabilities> for u8 {
    fn into_target(self) -> RegionProbabilities {
        probabilities_of_label(self)
    }
}

/// Inputs of a patch, from a case with targets of kind `S`.
struct PatchJob<'a, S> {
    view: &'a CaseView<'a>,
    render_plan: &'a RenderPlan,
    truth: Option<&'a [S]>,
}

/// Part of a row of one modality, ahead of its map to intensities.
struct FinishedRow<'a> {
    /// Raw values and masses, in whole groups.
    raw: &'a mut [f32],
    mass: &'a [f32],
    map: &'a IntensityMap,
    /// Index of the first voxel in the patch.
    first: u32,
    /// Number of voxels to write.
    length: usize,
}

/// Renders the patch row by row.
///
/// `gather(z, y, row, targets)` fills a row's raw values, masses and targets and returns the range
/// of voxels, in whole groups, that it filled; `finish(row, images, at)` maps a part of a row of one modality
/// to intensities and writes them.
#[inline(always)]
fn render_rows<S, T: Target>(
    job: &PatchJob<'_, S>,
    mut images: PatchImages<'_>,
    targets: &mut [T],
    mut gather: impl FnMut(usize, usize, &mut PatchRow, &mut [T]) -> Range<usize>,
    finish: impl Fn(FinishedRow<'_>, &mut PatchImages<'_>, usize),
) {
    let dims = job.render_plan.patch_dims();
    let [_, height, width] = dims.0;
    let tones = job.render_plan.intensity_maps();
    let mut row = PatchRow::new(width);
    if dims.voxel_count() == 0 {
        return;
    }
    for (number, targets) in targets.chunks_exact_mut(width).enumerate() {
        let first = number * width;
        let found = gather(number / height, number % height, &mut row, targets);
        let coloured = if job.render_plan.changes_background() {
            row.clear_around(&found)
        } else {
            found.clone()
        };
        for (channel, tone) in tones.iter().enumerate() {
            let at = channel * dims.voxel_count() + first;
            let (raw, mass) = row.modality_plane(channel, &coloured);
            let end = coloured.end.min(width);
            let row = FinishedRow {
                raw,
                mass,
                map: tone,
                // Counters wrap in a patch of more than 4 billion voxels; noise repeats there.
                first: (first + coloured.start) as u32,
                length: end - coloured.start,
            };
            finish(row, &mut images, at + coloured.start);
            store::fill_background(&mut images, at..at + coloured.start);
            store::fill_background(&mut images, at + end..at + width);
        }
    }
}
