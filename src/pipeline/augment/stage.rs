//! Stage `augment`: makes a sample's voxels, in one pass, in a recycled buffer.

use crate::actor::stage::Stage;
use crate::base::error::CaseError;
use crate::pipeline::augment::config::Background;
use crate::pipeline::augment::kernel::{Images, Kernel};
use crate::pipeline::augment::recipe::Recipe;
use crate::pipeline::recycle::Recycler;
use crate::pipeline::sample::{DrawnSample, PatchBuffer, Provenance, Sample};
use crate::volume::targets::Targets;

/// Applies what was drawn.
#[derive(Debug, Clone)]
pub struct Augment {
    kernel: Kernel,
    background: Background,
    targets: Targets,
    recycler: Recycler,
}

impl Augment {
    /// With the fastest kernel of this machine, into buffers from `recycler`.
    pub fn new(background: Background, recycler: Recycler) -> Self {
        Self::with_kernel(Kernel::best(), background, recycler)
    }

    /// With a kernel of the caller's choice.
    pub const fn with_kernel(kernel: Kernel, background: Background, recycler: Recycler) -> Self {
        Self { kernel, background, targets: Targets::Hard, recycler }
    }

    /// The same for samples with other targets. A case with labels has soft ones, too; one with
    /// probabilities has no hard ones.
    #[must_use]
    pub fn towards(self, targets: Targets) -> Self {
        Self { targets, ..self }
    }

    /// Makes the voxels of `sample` in `patch`.
    ///
    /// # Panics
    /// If the case has probabilities and labels are asked for.
    pub fn render(&self, sample: &DrawnSample, patch: &mut PatchBuffer) {
        let view = sample.case.view();
        let recipe = Recipe::new(&view, sample.window, &sample.drawn, self.background);
        patch.shape_for(sample.window.dims, self.targets);
        let images = Images::F16(&mut patch.images);
        match self.targets {
            Targets::Hard => self.kernel.render(&view, &recipe, images, &mut patch.labels),
            Targets::Soft => {
                let shares = patch.labels.as_chunks_mut().0;
                self.kernel.render_shares(&view, &recipe, images, shares);
            }
        }
    }
}

impl Stage for Augment {
    const NAME: &'static str = "augment";
    type In = DrawnSample;
    type Out = Sample;

    fn process(&mut self, sample: DrawnSample) -> Result<Sample, CaseError> {
        let mut patch = self.recycler.take(sample.window.dims, self.targets);
        self.render(&sample, &mut patch);
        let DrawnSample { key, case, window, drawn } = sample;
        let provenance = Provenance { case: case.id().clone(), corner: window.corner, drawn };
        Ok(Sample { key, patch, provenance })
    }
}
