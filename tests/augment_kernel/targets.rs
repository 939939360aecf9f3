//! What a sample is trained towards, label or probabilities: one voxel's, the same in both forms.

use gliaflow::internals::augment::{Background, CaseView, PatchImages, RenderPlan, TargetVoxels};
use gliaflow::internals::volume::{
    Box3, Dims, Modality, RegionProbabilities, probabilities_of_label,
};
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

    #[test]
    fn a_labelled_box_that_holds_all_labels_changes_no_label(
        toy in toy(), window in window(), drawn in drawn(),
        corners in prop::array::uniform3((0usize..40, 0usize..40)),
    ) {
        let Dims(sides) = toy.dims;
        let ranges: [_; 3] = std::array::from_fn(|axis| {
            let (one, other) = corners[axis];
            let (one, other) = (one % (sides[axis] + 1), other % (sides[axis] + 1));
            one.min(other)..one.max(other)
        });
        let part = Box3 {
            start: ranges.each_ref().map(|range| range.start),
            dims: Dims(ranges.each_ref().map(std::iter::ExactSizeIterator::len)),
        };
        let whole = toy.view();
        let inside = |place| part.contains_voxel(toy.dims.zyx_from_offset(place));
        let labels: Vec<u8> = (0..toy.labels.len())
            .map(|place| if inside(place) { toy.labels[place] } else { 0 })
            .collect();
        let view = CaseView::new(
            whole.images(), Some(&labels), toy.dims, toy.spacing_mm, *whole.intensities(),
        );
        for kernel in kernels() {
            let (_, wanted) = render(kernel, &view, window, &drawn, Background::Zero);
            let boxed = view.with_labelled_box(part);
            let (_, found) = render(kernel, &boxed, window, &drawn, Background::Zero);
            prop_assert_eq!(found, wanted, "{:?} of {:?}", kernel, part);
        }
    }
}
