//! nnU-Net's augmentation against batchgeneratorsv2, voxel by voxel, with the same parameters.

use std::collections::BTreeMap;

use gliaflow::internals::augment::{
    Background, CaseView, ChannelFilters, DrawnFilters, DrawnParams, FilterBuffers,
    IntensityNormalisation, Kernel, Matrix3, PatchImages, RenderPlan, Window,
};
use gliaflow::internals::volume::{Dims, Modality};
use serde::Deserialize;

use super::figures::{Array, fixture, tensors, worst};

/// Worst difference of a z-score, which is between -3 and 18: places between voxels are single precision in
/// PyTorch.
const CLOSE: f32 = 1e-4;

#[derive(Deserialize)]
struct Recipe {
    shape: [usize; 3],
    angles: [f32; 3],
    scale: f32,
    factor: [f64; 4],
    offset: [f64; 4],
    drawn: DrawnFilters,
}

impl Recipe {
    fn dims(&self) -> Dims {
        Dims(self.shape)
    }

    /// Case of the recipe, rendered whole with these parameters and then filtered.
    fn render(&self, raw: &Array, drawn: &DrawnParams) -> Vec<f32> {
        let voxels = self.dims().voxel_count();
        let stored = |place: usize| [0, 1, 2, 3].map(|c| raw.values[c * voxels + place] as i16);
        let raw: Vec<[i16; 4]> = (0..voxels).map(stored).collect();
        let intensities = [0, 1, 2, 3].map(|c| IntensityNormalisation {
            factor: self.factor[c],
            offset: self.offset[c],
            range: [-3.0, 18.0],
        });
        let view = CaseView::new(&raw, None, self.dims(), [1.0; 3], intensities);
        let window = Window { corner: [0; 3], dims: self.dims() };
        let plan = RenderPlan::new(&view, window, drawn, Background::Zero);
        let mut images = vec![f32::NAN; Modality::COUNT * voxels];
        let mut labels = vec![0; voxels];
        let kernel = Kernel::fastest_available();
        kernel.render_labels(&view, &plan, PatchImages::F32(&mut images), &mut labels);
        let filters = Modality::ALL.map(|modality| drawn.filters.channel_filters(modality));
        filter_patch(&mut images, &filters, self.dims(), true);
        images
    }

    /// Rotation and scaling of the recipe. nnU-Net turns coordinates about z first, then y, then x; here it is x
    /// first, so the angles of the same rotation are others.
    fn placement(&self) -> DrawnParams {
        let [[cos_z, sin_z], [cos_y, sin_y], [cos_x, sin_x]] =
            self.angles.map(|angle| [f64::from(angle).cos(), f64::from(angle).sin()]);
        let about_z = [[1.0, 0.0, 0.0], [0.0, cos_z, -sin_z], [0.0, sin_z, cos_z]];
        let about_y = [[cos_y, 0.0, sin_y], [0.0, 1.0, 0.0], [-sin_y, 0.0, cos_y]];
        let about_x = [[cos_x, -sin_x, 0.0], [sin_x, cos_x, 0.0], [0.0, 0.0, 1.0]];
        let turned = product(&product(&about_x, &about_y), &about_z);
        let degrees = [
            (-turned[1][2]).atan2(turned[2][2]),
            turned[0][2].asin(),
            (-turned[0][1]).atan2(turned[0][0]),
        ];
        DrawnParams {
            rotation: Some(degrees.map(|angle| angle.to_degrees() as f32)),
            scaling: Some(1.0 / self.scale),
            ..DrawnParams::default()
        }
    }
}

fn product(a: &Matrix3, b: &Matrix3) -> Matrix3 {
    std::array::from_fn(|row| {
        std::array::from_fn(|column| (0..3).map(|k| a[row][k] * b[k][column]).sum())
    })
}

fn filter_patch(images: &mut [f32], filters: &[ChannelFilters; 4], dims: Dims, keeps: bool) {
    let mut buffers = FilterBuffers::default();
    for (values, filters) in images.chunks_exact_mut(dims.voxel_count()).zip(filters) {
        buffers.apply_filters(filters, values, dims, keeps);
    }
}

fn oracle() -> (Recipe, BTreeMap<String, Array>) {
    (fixture("augmentation"), tensors("augmentation"))
}

#[test]
fn a_turned_and_scaled_patch_is_nnunets() {
    let (recipe, tensors) = oracle();
    let ours = recipe.render(&tensors["raw"], &recipe.placement());
    let apart = worst(&ours, &tensors["patch"].values);
    assert!(apart < CLOSE, "{apart}");
    assert!(ours.iter().filter(|value| **value != 0.0).count() > ours.len() / 3);
}

#[test]
fn each_filter_gives_what_batchgenerators_gives() {
    let (recipe, tensors) = oracle();
    let patch = &tensors["patch"].values;
    let drawn = &recipe.drawn;
    let of = |modality: usize, name: &str| ChannelFilters {
        blur: drawn.blur.filter(|_| name == "blur").and_then(|all| all[modality]),
        contrast: drawn.contrast.filter(|_| name == "contrast").map(|all| all[modality]),
        resolution: drawn
            .low_resolution
            .filter(|_| name == "low_resolution")
            .and_then(|all| all[modality]),
        inverted_gamma: drawn
            .inverted_gamma
            .filter(|_| name == "inverted_gamma")
            .map(|all| all[modality]),
        gamma: drawn.gamma.filter(|_| name == "gamma").map(|all| all[modality]),
    };
    for name in ["blur", "contrast", "low_resolution", "inverted_gamma", "gamma"] {
        let mut ours = patch.clone();
        filter_patch(
            &mut ours,
            &[0, 1, 2, 3].map(|modality| of(modality, name)),
            recipe.dims(),
            false,
        );
        let apart = worst(&ours, &tensors[name].values);
        assert!(apart < CLOSE, "{name}: {apart}");
        assert!(worst(&ours, patch) > 0.1, "{name} changes something");
    }
}

#[test]
fn the_whole_recipe_is_nnunets() {
    let (recipe, tensors) = oracle();
    let drawn = DrawnParams { filters: recipe.drawn.clone(), ..recipe.placement() };
    let ours = recipe.render(&tensors["raw"], &drawn);
    let apart = worst(&ours, &tensors["all"].values);
    assert!(apart < CLOSE, "{apart}");
}
