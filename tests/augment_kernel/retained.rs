//! Gamma that keeps the mean and standard deviation of the tissue.

use gliaflow::internals::augment::{Background, DrawnGamma, DrawnParams, Window};
use gliaflow::internals::volume::Dims;

use super::toy::Toy;
use super::{kernels, render};

const DIMS: Dims = Dims([16, 24, 40]);

/// Skewed, long-tailed, two-peaked and spiked modalities, a third air; `place` counts from 0 to 1.
fn skewed_values(place: f64) -> [f64; 4] {
    let exponential = -300.0 * (1.0 - 0.999 * place).ln();
    let tailed = 40.0 / (place + 0.002);
    let two_peaked = if place < 0.9 { 200.0 + 90.0 * place } else { 4000.0 + 900.0 * place };
    let spiked = if place > 0.9999 { 32_000.0 } else { 500.0 * place.sqrt() - 700.0 };
    [exponential, tailed, two_peaked, spiked]
}

fn skewed() -> Toy {
    let count = DIMS.voxel_count();
    let images = (0..count).map(|place| match place % 3 {
        0 => [0; 4],
        _ => skewed_values(place as f64 / (count - 1) as f64).map(|value| {
            let code = value.round() as i16;
            if code == 0 { 1 } else { code }
        }),
    });
    Toy::of_images(images.collect(), DIMS, [1.0; 3])
}

/// Mean and standard deviation of each modality's tissue in a patch that shows the whole case.
fn tissue_statistics(toy: &Toy, images: &[f32]) -> [[f64; 2]; 4] {
    std::array::from_fn(|channel| {
        let plane = &images[channel * DIMS.voxel_count()..][..DIMS.voxel_count()];
        let tissue = toy.images.iter().zip(plane).filter(|(raw, _)| raw[channel] != 0);
        let values: Vec<f64> = tissue.map(|(_, value)| f64::from(*value)).collect();
        let count = values.len() as f64;
        let mean = values.iter().sum::<f64>() / count;
        let squares = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>();
        [mean, (squares / count).sqrt()]
    })
}

#[test]
fn tissue_keeps_its_mean_and_deviation_however_skewed_it_is() {
    let toy = skewed();
    let view = toy.view();
    let window = Window { corner: [0; 3], dims: DIMS };
    let linear = DrawnParams {
        contrast: Some([0.9, 1.1, 1.0, 1.05]),
        shift: Some([-0.1, 0.1, 0.0, 0.05]),
        ..DrawnParams::default()
    };
    for kernel in kernels() {
        let (straight, _) = render(kernel, &view, window, &linear, Background::Zero);
        let wanted = tissue_statistics(&toy, &straight);
        for exponent in [0.5, 0.7, 1.0, 1.5, 2.0] {
            let gamma = |retain_stats| {
                let gamma = Some(DrawnGamma { exponents: [exponent; 4], retain_stats });
                let drawn = DrawnParams { gamma, ..linear.clone() };
                render(kernel, &view, window, &drawn, Background::Zero).0
            };
            let retained = gamma(true);
            let found = tissue_statistics(&toy, &retained);
            for (found, wanted) in found.iter().flatten().zip(wanted.iter().flatten()) {
                assert!((found - wanted).abs() < 1e-3, "{kernel:?} {exponent}: {found} {wanted}");
            }
            let moved = tissue_statistics(&toy, &gamma(false));
            let furthest =
                moved.iter().zip(&wanted).map(|(moved, wanted)| (moved[0] - wanted[0]).abs());
            let furthest = furthest.fold(0.0, f64::max);
            assert!(
                exponent == 1.0 || furthest > 0.5,
                "{exponent}: the extremes move it {furthest}"
            );
        }
    }
}
