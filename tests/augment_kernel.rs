//! The kernels against the f64 reference, against each other, and against what needs no reference.
#![allow(clippy::unwrap_used)]

use gliaflow::internals::augment::{
    AugmentConfig, Background, CaseView, DrawnGamma, DrawnNoise, DrawnParams,
    IntensityNormalisation, Kernel, PatchImages, RenderPlan, Window,
};
use gliaflow::internals::base::SampleKey;
use gliaflow::internals::volume::{Dims, Modality};
use half::f16;
use proptest::prelude::*;

use crate::augment_reference::reference;

mod retained;
mod targets;
mod toy;

use toy::Toy;

/// Blank patch to render into.
fn blank_patch(dims: Dims) -> (Vec<f16>, Vec<u8>) {
    (vec![f16::ZERO; Modality::COUNT * dims.voxel_count()], vec![0; dims.voxel_count()])
}

/// One patch by one kernel, into buffers that hold rubbish.
fn render(
    kernel: Kernel,
    view: &CaseView<'_>,
    window: Window,
    drawn: &DrawnParams,
    background: Background,
) -> (Vec<f32>, Vec<u8>) {
    let recipe = RenderPlan::new(view, window, drawn, background);
    let voxels = window.dims.voxel_count();
    let (mut images, mut labels) = (vec![f32::NAN; 4 * voxels], vec![99; voxels]);
    kernel.render_labels(view, &recipe, PatchImages::F32(&mut images), &mut labels);
    (images, labels)
}

fn kernels() -> impl Iterator<Item = Kernel> {
    Kernel::ALL.into_iter().filter(|kernel| kernel.is_available())
}

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|value| value.to_bits()).collect()
}

fn drawn() -> impl Strategy<Value = DrawnParams> {
    let per_modality = |low: f32, high: f32| prop::option::of(prop::array::uniform4(low..high));
    (
        prop::option::of(prop::array::uniform3(-180.0f32..180.0)),
        prop::option::of(0.5f32..2.0),
        any::<[bool; 3]>(),
        per_modality(0.9, 1.1),
        per_modality(-0.1, 0.1),
        (per_modality(0.7, 1.5), any::<bool>()),
        prop::option::of((0.0f32..0.32, any::<[u32; 2]>())),
    )
        .prop_map(|(rotation, scaling, mirroring, contrast, shift, gamma, noise)| {
            let (exponents, retain_stats) = gamma;
            let gamma = exponents.map(|exponents| DrawnGamma { exponents, retain_stats });
            let noise = noise.map(|(deviation, key)| DrawnNoise { deviation, key });
            let spatial = DrawnParams { rotation, scaling, mirroring, ..DrawnParams::default() };
            DrawnParams { contrast, shift, gamma, noise, ..spatial }
        })
}

fn toy() -> impl Strategy<Value = Toy> {
    let dims = (1usize..9, 1usize..9, 1usize..30).prop_map(|(d, h, w)| Dims([d, h, w]));
    let spacing = prop_oneof![Just([1.0; 3]), Just([3.0, 1.0, 0.7]), Just([0.5, 2.0, 1.0])];
    let reach = prop_oneof![Just(20i16), Just(1500), Just(i16::MAX)];
    (any::<u64>(), dims, spacing, reach)
        .prop_map(|(seed, dims, spacing, reach)| Toy::new(seed, dims, spacing, reach))
}

fn window() -> impl Strategy<Value = Window> {
    let corner = prop::array::uniform3(-9isize..9);
    (corner, 1usize..8, 1usize..8, 1usize..37)
        .prop_map(|(corner, d, h, w)| Window { corner, dims: Dims([d, h, w]) })
}

fn background() -> impl Strategy<Value = Background> {
    prop_oneof![Just(Background::Zero), Just(Background::Augmented)]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    // 1e-4 of the normalised intensity, and of its size beyond 10: no z-score of a brain is beyond
    // 10 by more than an artefact, and the half precision that follows rounds by 4e-3 there.
    #[test]
    fn every_kernel_agrees_with_the_reference(
        toy in toy(), window in window(), drawn in drawn(), background in background(),
    ) {
        let view = toy.view();
        let wanted = reference(&view, window, &drawn, background);
        for kernel in kernels() {
            let (images, labels) = render(kernel, &view, window, &drawn, background);
            for (place, (found, wanted)) in images.iter().zip(&wanted.images).enumerate() {
                let error = (f64::from(*found) - wanted).abs();
                let allowed = 1e-4 * (wanted.abs() / 10.0).max(1.0);
                prop_assert!(error <= allowed, "{:?} at {}: {} {}", kernel, place, found, wanted);
            }
            for (found, wanted) in labels.iter().zip(&wanted.labels) {
                prop_assert!(wanted.is_none_or(|wanted| wanted == *found));
            }
        }
    }

    #[test]
    fn kernels_agree_to_the_last_bit(
        toy in toy(), window in window(), drawn in drawn(), background in background(),
    ) {
        let view = toy.view();
        let (images, labels) = render(Kernel::Scalar, &view, window, &drawn, background);
        for kernel in kernels() {
            let other = render(kernel, &view, window, &drawn, background);
            prop_assert_eq!(bits(&other.0), bits(&images), "{:?}", kernel);
            prop_assert_eq!(&other.1, &labels, "{:?}", kernel);
        }
    }

    #[test]
    fn half_precision_is_the_rounding_of_single(
        toy in toy(), window in window(), drawn in drawn(), background in background(),
    ) {
        let view = toy.view();
        let recipe = RenderPlan::new(&view, window, &drawn, background);
        for kernel in kernels() {
            let (single, _) = render(kernel, &view, window, &drawn, background);
            let (mut images, mut labels) = blank_patch(window.dims);
            images.fill(f16::NAN);
            kernel.render_labels(&view, &recipe, PatchImages::F16(&mut images), &mut labels);
            for (half, single) in images.iter().zip(single) {
                prop_assert_eq!(half.to_bits(), f16::from_f32(single).to_bits());
            }
        }
    }

    #[test]
    fn air_is_plus_zero_to_the_last_bit_whatever_was_drawn(
        toy in toy(), window in window(), drawn in drawn(),
    ) {
        let view = toy.view();
        // Seen with an intensity of 1 wherever there is tissue, a patch shows its masses.
        let massive = toy.view_as([IntensityNormalisation { factor: 0.0, offset: 1.0, range: [1.0; 2] }; 4]);
        let DrawnParams { rotation, scaling, mirroring, .. } = drawn;
        let moved = DrawnParams { rotation, scaling, mirroring, ..DrawnParams::default() };
        for kernel in kernels() {
            let (mass, _) = render(kernel, &massive, window, &moved, Background::Zero);
            let (images, _) = render(kernel, &view, window, &drawn, Background::Zero);
            for (found, mass) in images.iter().zip(&mass) {
                prop_assert!(*mass > 0.0 || found.to_bits() == 0, "{:?}: {}", kernel, found);
            }
        }
    }

    #[test]
    fn without_rotation_and_scale_voxels_are_taken_as_they_are(
        toy in toy(), window in window(), mirroring in any::<[bool; 3]>(),
    ) {
        let view = toy.view();
        let drawn = DrawnParams { mirroring, ..DrawnParams::default() };
        let voxels = window.dims.voxel_count();
        for kernel in kernels() {
            let (images, labels) = render(kernel, &view, window, &drawn, Background::Zero);
            for voxel in 0..voxels {
                let at = window.dims.zyx_from_offset(voxel);
                let place: [isize; 3] = std::array::from_fn(|axis| {
                    let last = window.dims.0[axis] - 1;
                    let within = if mirroring[axis] { last - at[axis] } else { at[axis] };
                    window.corner[axis] + within as isize
                });
                let inside = (0..3).all(|a| (0..toy.dims.0[a] as isize).contains(&place[a]));
                let place = inside.then(|| toy.dims.offset_from_zyx(place.map(|along| along as usize)));
                prop_assert_eq!(labels[voxel], place.map_or(0, |place| toy.labels[place]));
                for channel in 0..4 {
                    let raw = place.map_or(0, |place| toy.images[place][channel]);
                    let IntensityNormalisation { factor, offset, .. } = view.intensities()[channel];
                    let wanted = match raw {
                        0 => 0.0,
                        raw => factor as f32 * f32::from(raw) + offset as f32,
                    };
                    prop_assert_eq!(images[channel * voxels + voxel], wanted);
                }
            }
        }
    }
}

#[test]
fn whole_steps_through_the_interpolating_path_are_exact_too() {
    // Half the size: every second voxel, at whole places because the patch's sides are odd.
    let toy = Toy::new(4, Dims([9, 9, 41]), [1.0; 3], 1000);
    let view = toy.view();
    let window = Window { corner: [2, 2, 10], dims: Dims([5, 5, 19]) };
    let drawn = DrawnParams { scaling: Some(0.5), ..DrawnParams::default() };
    for kernel in kernels() {
        let (images, _) = render(kernel, &view, window, &drawn, Background::Zero);
        for (voxel, found) in images[..window.dims.voxel_count()].iter().enumerate() {
            let [z, y, x] = window.dims.zyx_from_offset(voxel);
            let raw = toy.images[toy.dims.offset_from_zyx([2 * z, 2 * y, 2 * x + 1])][0];
            let IntensityNormalisation { factor, offset, .. } = view.intensities()[0];
            let wanted =
                if raw == 0 { 0.0 } else { factor as f32 * f32::from(raw) + offset as f32 };
            assert_eq!(*found, wanted, "{kernel:?} at {z} {y} {x}");
        }
    }
}

#[test]
fn mirroring_the_result_undoes_mirroring() {
    let toy = Toy::new(5, Dims([7, 8, 20]), [1.0; 3], 1000);
    let view = toy.view();
    let window = Window { corner: [-2, 3, -3], dims: Dims([6, 5, 33]) };
    let exponents = [0.8, 1.2, 0.7, 1.5];
    let gamma = Some(DrawnGamma { exponents, retain_stats: true });
    let plain = DrawnParams { gamma, ..DrawnParams::default() };
    for kernel in kernels() {
        let (images, labels) = render(kernel, &view, window, &plain, Background::Zero);
        for axes in 1..8usize {
            let mirroring = [axes & 4 != 0, axes & 2 != 0, axes & 1 != 0];
            let drawn = DrawnParams { mirroring, ..plain.clone() };
            let (turned, turned_labels) = render(kernel, &view, window, &drawn, Background::Zero);
            for voxel in 0..window.dims.voxel_count() {
                let mut at = window.dims.zyx_from_offset(voxel);
                for axis in 0..3 {
                    if mirroring[axis] {
                        at[axis] = window.dims.0[axis] - 1 - at[axis];
                    }
                }
                let other = window.dims.offset_from_zyx(at);
                assert_eq!(images[voxel], turned[other], "{mirroring:?}");
                assert_eq!(labels[voxel], turned_labels[other], "{mirroring:?}");
            }
        }
    }
}

#[test]
fn no_seam_appears_at_the_edge_of_tissue_of_one_value() {
    // A ball of one raw value with z = 2; raw 0, taken for a value, would be z = -8.
    let dims = Dims([12, 12, 40]);
    let mut toy = Toy::new(0, dims, [1.0; 3], 10);
    for place in 0..dims.voxel_count() {
        let [z, y, x] = dims.zyx_from_offset(place).map(|along| along as f64);
        let far = ((z - 5.5).powi(2) + (y - 5.5).powi(2) + (x / 4.0 - 5.0).powi(2)).sqrt();
        toy.images[place] = if far < 4.5 { [100; 4] } else { [0; 4] };
    }
    let view =
        toy.view_as([IntensityNormalisation { factor: 0.1, offset: -8.0, range: [2.0, 2.0] }; 4]);
    let window = Window { corner: [-1, -1, -1], dims: Dims([14, 14, 42]) };
    for index in 0..40 {
        let key = SampleKey { seed: 3, epoch: 0, index };
        let DrawnParams { rotation, scaling, mirroring, .. } =
            AugmentConfig::full_profile().draw_params(key);
        let drawn = DrawnParams { rotation, scaling, mirroring, ..DrawnParams::default() };
        for kernel in kernels() {
            let (images, _) = render(kernel, &view, window, &drawn, Background::Zero);
            let (low, high) = images.iter().fold((f32::MAX, f32::MIN), |(low, high), value| {
                (low.min(*value), high.max(*value))
            });
            assert!(low >= -1e-5 && high <= 2.0 + 1e-5, "{kernel:?}: {low} to {high}");
            assert!(high > 1.999, "the ball is in the patch: {high}");
        }
    }
}

#[test]
fn a_case_without_labels_gives_background_labels() {
    let toy = Toy::new(6, Dims([4, 4, 20]), [1.0; 3], 100);
    let intensities = *toy.view().intensities();
    let view = CaseView::new(&toy.images, None, toy.dims, toy.spacing_mm, intensities);
    let window = Window { corner: [0; 3], dims: Dims([4, 4, 20]) };
    for scaling in [None, Some(1.1)] {
        for kernel in kernels() {
            let drawn = DrawnParams { scaling, ..DrawnParams::default() };
            let (_, labels) = render(kernel, &view, window, &drawn, Background::Zero);
            assert!(labels.iter().all(|label| *label == 0));
        }
    }
}

#[test]
fn a_sample_does_not_depend_on_what_was_made_before_it() {
    let toy = Toy::new(7, Dims([8, 8, 30]), [1.0; 3], 500);
    let view = toy.view();
    let window = Window { corner: [-1, 0, 2], dims: Dims([7, 8, 30]) };
    let mut config = AugmentConfig::full_profile();
    config.gamma.probability = 1.0;
    config.noise.probability = 1.0;
    let sample = |index| {
        let drawn = config.draw_params(SampleKey { seed: 9, epoch: 2, index });
        let (images, labels) =
            render(Kernel::fastest_available(), &view, window, &drawn, Background::Augmented);
        (bits(&images), labels)
    };
    let forwards: Vec<_> = (0..6).map(sample).collect();
    let mut backwards: Vec<_> = (0..6).rev().map(sample).collect();
    backwards.reverse();
    assert_eq!(forwards, backwards);
    assert_ne!(forwards[0], forwards[1]);
}

#[test]
#[should_panic(expected = "another case")]
fn a_recipe_for_another_box_is_refused() {
    let (small, large) =
        (Toy::new(1, Dims([4, 4, 4]), [1.0; 3], 9), Toy::new(1, Dims([5, 4, 4]), [1.0; 3], 9));
    let window = Window { corner: [0; 3], dims: Dims([4, 4, 4]) };
    let recipe = RenderPlan::new(&large.view(), window, &DrawnParams::default(), Background::Zero);
    let (mut images, mut labels) = blank_patch(window.dims);
    Kernel::Scalar.render_labels(
        &small.view(),
        &recipe,
        PatchImages::F16(&mut images),
        &mut labels,
    );
}
