//! Stage `augment`: renders a sample's patch in one pass into a pooled buffer.

use crate::actor::Stage;
use crate::augment::{Background, Kernel, PatchImages, RenderPlan};
use crate::base::CaseError;
use crate::buffers::{PatchBuffer, PatchBufferPool};
use crate::pipeline::{CaseRecovery, DrawnSample, PlannedSample, Provenance, Sample};
use crate::volume::Targets;

/// Renders drawn samples.
#[derive(Debug, Clone)]
pub struct Augment {
    kernel: Kernel,
    background: Background,
    targets: Targets,
    recycler: PatchBufferPool,
    recovery: CaseRecovery,
}

impl Augment {
    /// Stage with the fastest kernel of this machine, rendering into buffers of `recycler`.
    pub fn new(background: Background, recycler: PatchBufferPool) -> Self {
        Self {
            kernel: Kernel::fastest_available(),
            background,
            targets: Targets::Hard,
            recycler,
            recovery: CaseRecovery::default(),
        }
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

    /// Renders the voxels of `sample` into `patch`.
    ///
    /// # Panics
    /// If the case has probabilities and labels are asked for.
    pub fn render_sample(&self, sample: &DrawnSample, patch: &mut PatchBuffer) {
        let view = sample.case.case_view();
        let render_plan = RenderPlan::new(&view, sample.window, &sample.drawn, self.background);
        patch.shape_for(sample.window.dims, self.targets);
        let images = PatchImages::F16(&mut patch.images);
        match self.targets {
            Targets::Hard => {
                self.kernel.render_labels(&view, &render_plan, images, &mut patch.labels)
            }
            Targets::Soft => {
                let shares = patch.labels.as_chunks_mut().0;
                self.kernel.render_shares(&view, &render_plan, images, shares);
            }
        }
    }
}

impl Stage for Augment {
    const NAME: &'static str = "augment";
    type In = DrawnSample;
    type Out = Sample;

    fn process(&mut self, mut sample: DrawnSample) -> Result<Sample, CaseError> {
        let mut patch = self.recycler.take(sample.window.dims, self.targets);
        let mut attempt = 0;
        loop {
            attempt += 1;
            self.render_sample(&sample, &mut patch);
            let files = sample.planned.as_ref().map(PlannedSample::case_files);
            match self.recovery.replace_lost_case(&sample.case, files, attempt)? {
                None => break,
                Some(again) => sample.case = again,
            }
        }
        let DrawnSample { key, case, window, drawn, .. } = sample;
        let provenance = Provenance { case: case.id().clone(), corner: window.corner, drawn };
        Ok(Sample { key, patch, provenance })
    }
}
