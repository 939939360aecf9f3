//! What a sample is trained towards, label or probabilities: one voxel's, the same in both forms.

use gliaflow::augment::{Background, CaseView, PatchImages, RenderPlan, TargetVoxels};
use gliaflow::volume::{Modality, RegionProbabilities, probabilities_of_label};
use proptest::prelude::*;

use super::{bits, drawn, kernels, render, toy, window};

proptest! {
    #[test]
    fn probabilities_are_taken_from_the_voxels_that_labels_are_taken_from(
        toy in toy(), window in window(), drawn in drawn(),
    ) {
        let view = toy.view();
        let told = |label: u8| [label, 10 * label, 50 * label];
        let shares: Vec<RegionProbabilities> = toy.labels.iter().map(|label| told(*label)).collect();
        let (dims, spacing) = (toy.dims, toy.spacing_mm);
        let intensities = *view.intensities();
        let histograms = Modality::ALL.map(|modality| view.tissue_histogram(modality));
        let soft = CaseView::with_targets(TargetVoxels::Shares(&shares), view.images(), dims, spacing, intensities)
            .with_histograms(histograms);
        let bare = CaseView::new(view.images(), None, dims, spacing, intensities)
            .with_histograms(histograms);
        for kernel in kernels() {
            let (images, labels) = render(kernel, &view, window, &drawn, Background::Zero);
            let expected = |of: &dyn Fn(u8) -> RegionProbabilities| -> Vec<RegionProbabilities> {
                labels.iter().map(|label| of(*label)).collect()
            };
            for (view, wanted) in [
                (soft, expected(&told)),
                (view, expected(&probabilities_of_label)),
                (bare, expected(&|_| [0; 3])),
            ] {
                let recipe = RenderPlan::new(&view, window, &drawn, Background::Zero);
                let voxels = window.dims.voxel_count();
                let (mut own, mut out) = (vec![f32::NAN; 4 * voxels], vec![[99; 3]; voxels]);
                kernel.render_shares(&view, &recipe, PatchImages::F32(&mut own), &mut out);
                prop_assert_eq!(&out, &wanted, "{:?}", kernel);
                prop_assert_eq!(bits(&own), bits(&images), "{:?}", kernel);
            }
        }
    }
}
