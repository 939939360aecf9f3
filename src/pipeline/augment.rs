//! Stage `augment`: renders a sample's patch in one pass into its place in a batch.

use crate::actor::Stage;
use half::slice::HalfFloatSliceExt;

use crate::augment::{
    Background, FilterBuffers, Kernel, MixedCases, MixedPatch, Mixer, PatchImages, RenderPlan,
    RenderedPatch,
};
use crate::base::CaseError;
use crate::buffers::{BatchMemory, PatchBuffer, PlacedPatch};
use crate::pipeline::{CaseRecovery, DrawnSample, Provenance, Sample};
use crate::volume::Targets;

/// Renders drawn samples.
#[derive(Debug)]
pub struct Augment {
    kernel: Kernel,
    background: Background,
    targets: Targets,
    memory: Option<BatchMemory>,
    recovery: CaseRecovery,
    filtering: FilterMemory,
    mixer: Mixer,
}

/// Memory of the samples that are filtered: a patch in single precision, and the filters' own.
#[derive(Debug, Default)]
struct FilterMemory {
    images: Vec<f32>,
    buffers: FilterBuffers,
}

impl Clone for Augment {
    /// Clones the stage for another worker, which gets memory of its own.
    fn clone(&self) -> Self {
        Self {
            kernel: self.kernel,
            background: self.background,
            targets: self.targets,
            memory: self.memory.clone(),
            recovery: self.recovery.clone(),
            filtering: FilterMemory::default(),
            mixer: Mixer::default(),
        }
    }
}

impl Augment {
    /// Stage with the fastest kernel of this machine, rendering each patch into memory of its own.
    pub fn new(background: Background) -> Self {
        Self {
            kernel: Kernel::fastest_available(),
            background,
            targets: Targets::Hard,
            memory: None,
            recovery: CaseRecovery::default(),
            filtering: FilterMemory::default(),
            mixer: Mixer::default(),
        }
    }

    /// Renders planned samples into `memory`.
    #[must_use]
    pub fn with_memory(self, memory: BatchMemory) -> Self {
        Self { memory: Some(memory), ..self }
    }

    /// Recovers cases that are lost while a sample is rendered.
    #[must_use]
    pub fn with_recovery(self, recovery: CaseRecovery) -> Self {
        Self { recovery, ..self }
    }

    /// Replaces the targets. Labelled cases can give soft targets; cases with probabilities cannot
    /// give hard ones.
    #[must_use]
    pub fn with_targets(self, targets: Targets) -> Self {
        Self { targets, ..self }
    }

    fn take_memory(&self, sample: &DrawnSample) -> PlacedPatch {
        match (&self.memory, &sample.planned) {
            (Some(memory), Some(planned)) => memory.take_place(planned.position),
            _ => PatchBuffer::default().into(),
        }
    }

    /// Renders the voxels of `sample` into `patch`.
    ///
    /// # Panics
    /// If the case has probabilities and labels are asked for.
    pub fn render_sample(&mut self, sample: &DrawnSample, patch: &mut PatchBuffer) {
        let view = sample.case.case_view();
        let render_plan = RenderPlan::new(&view, sample.window, &sample.drawn, self.background);
        patch.shape_for(sample.window.dims, self.targets);
        let is_filtered = sample.drawn.is_filtered();
        let images = if is_filtered {
            self.filtering.images.resize(patch.images.len(), 0.0);
            PatchImages::F32(&mut self.filtering.images)
        } else {
            PatchImages::F16(&mut patch.images)
        };
        match self.targets {
            Targets::Hard => {
                self.kernel.render_labels(&view, &render_plan, images, &mut patch.labels)
            }
            Targets::Soft => {
                let shares = patch.labels.as_chunks_mut().0;
                self.kernel.render_shares(&view, &render_plan, images, shares);
            }
        }
        if let Some(donor) = &sample.donor {
            let images = match is_filtered {
                true => PatchImages::F32(&mut self.filtering.images),
                false => PatchImages::F16(&mut patch.images),
            };
            let cases = MixedCases {
                receiver: view,
                donor: donor.case_view(),
                offset: sample.case.place_in(donor, [0; 3]),
                window: sample.window,
                drawn: &sample.drawn,
                background: self.background,
            };
            let mixed = MixedPatch { images, labels: &mut patch.labels, targets: self.targets };
            self.mixer.lay_over(self.kernel, &cases, mixed);
        }
        if is_filtered {
            self.filtering.filter_into(patch, sample, &render_plan);
        }
    }
}

impl FilterMemory {
    /// Filters the rendered patch and rounds it into the images of `patch`, both `[c, d, h, w]`.
    fn filter_into(&mut self, patch: &mut PatchBuffer, sample: &DrawnSample, plan: &RenderPlan) {
        sample.drawn.filter_patch(&mut RenderedPatch {
            images: &mut self.images,
            labels: &mut patch.labels,
            targets: patch.targets,
            dims: plan.patch_dims(),
            keeps_background: !plan.changes_background(),
            dropped: &sample.drawn.dropped,
            buffers: &mut self.buffers,
        });
        patch.images.convert_from_f32_slice(&self.images);
    }
}

impl Stage for Augment {
    const NAME: &'static str = "augment";
    type In = DrawnSample;
    type Out = Sample;

    fn process(&mut self, mut sample: DrawnSample) -> Result<Sample, CaseError> {
        let mut patch = self.take_memory(&sample);
        let mut attempt = 0;
        loop {
            attempt += 1;
            self.render_sample(&sample, &mut patch);
            if !self.recovery.replace_lost_cases(&mut sample, attempt)? {
                break;
            }
        }
        let DrawnSample { key, case, window, drawn, .. } = sample;
        let provenance = Provenance { case: case.id().clone(), corner: window.corner, drawn };
        Ok(Sample { key, patch, provenance })
    }
}
