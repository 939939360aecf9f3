//! What a sample is trained towards, label or probabilities: one voxel's, the same in both forms.

use gliaflow::augment::config::Background;
use gliaflow::augment::kernel::Images;
use gliaflow::augment::recipe::Recipe;
use gliaflow::augment::view::{Truth, View};
use gliaflow::volume::targets::{RegionShares, certain};
use proptest::prelude::*;

use super::{bits, drawn, kernels, render, toy, window};

proptest! {
    #[test]
    fn probabilities_are_taken_from_the_voxels_that_labels_are_taken_from(
        toy in toy(), window in window(), drawn in drawn(),
    ) {
        let view = toy.view();
        let told = |label: u8| [label, 10 * label, 50 * label];
        let shares: Vec<RegionShares> = toy.labels.iter().map(|label| told(*label)).collect();
        let (dims, spacing) = (toy.dims, toy.spacing_mm);
        let intensities = *view.intensities();
        let soft = View::towards(Truth::Shares(&shares), view.images(), dims, spacing, intensities);
        let bare = View::new(view.images(), None, dims, spacing, intensities);
        for kernel in kernels() {
            let (images, labels) = render(kernel, &view, window, &drawn, Background::Zero);
            let expected = |of: &dyn Fn(u8) -> RegionShares| -> Vec<RegionShares> {
                labels.iter().map(|label| of(*label)).collect()
            };
            for (view, wanted) in [
                (soft, expected(&told)),
                (view, expected(&certain)),
                (bare, expected(&|_| [0; 3])),
            ] {
                let recipe = Recipe::new(&view, window, &drawn, Background::Zero);
                let voxels = window.dims.voxels();
                let (mut own, mut out) = (vec![f32::NAN; 4 * voxels], vec![[99; 3]; voxels]);
                kernel.render_shares(&view, &recipe, Images::F32(&mut own), &mut out);
                prop_assert_eq!(&out, &wanted, "{:?}", kernel);
                prop_assert_eq!(bits(&own), bits(&images), "{:?}", kernel);
            }
        }
    }
}
