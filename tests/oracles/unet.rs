//! The U-Net of base 4 at 32^3: logits, losses and the gradient of every parameter.

use burn::optim::GradientsParams;
use burn::tensor::Device;
use gliaflow::internals::nets::{Architecture, UNet, UNetConfig};
use gliaflow::internals::train::{DiceBceLoss, region_targets};
use gliaflow::internals::volume::{RegionSet, RunChannels};

use super::figures::fixture;
use super::network::{
    Figures, Found, GRADIENT_TOLERANCE, check_gradients, check_logits, check_losses, filled,
    gradients, images, labels, off_gradient, read,
};

#[test]
fn the_unet_has_torchs_logits_losses_and_gradients() {
    let figures: Figures = fixture("unet");
    let device = Device::flex().autodiff();
    let config = UNetConfig { base_width: 4, ..UNetConfig::default() };
    let net = filled(UNet::init(&config, RunChannels::default(), &device), 1, &figures);

    let logits = net.predict_logits(images(2, 32, &device));
    check_logits(&figures, "unet", "logits", &logits);

    let targets = region_targets(RegionSet::BRATS, labels(2, 32, &device));
    let loss = |config: DiceBceLoss| config.region_loss(logits.clone(), targets.clone());
    let paper = loss(DiceBceLoss::default());
    let summed = loss(DiceBceLoss { region_sum: true, ..Default::default() });
    let per_sample = loss(DiceBceLoss { per_sample: true, ..Default::default() });
    let ours = [
        ("total", read(&paper.total)),
        ("dice_batch", read(&paper.dice)),
        ("bce_mean", read(&paper.bce)),
        ("bce_region_sum", read(&summed.bce)),
        ("dice_per_sample", read(&per_sample.dice)),
    ];
    check_losses(&figures, &ours);
    check_gradients(
        &figures,
        &net,
        &paper.total,
        |name| name.ends_with("conv.bias"),
        GRADIENT_TOLERANCE,
    );
}

/// The same values with the first two axes exchanged, where that changes their order.
fn transposed(found: &Found) -> Option<Vec<f32>> {
    let [rows, columns, ref kernel @ ..] = *found.shape else { return None };
    let taps: usize = kernel.iter().product();
    let blocks: Vec<&[f32]> = found.values.chunks_exact(taps).collect();
    let by_column = (0..columns).flat_map(|j| (0..rows).map(move |i| i * columns + j));
    let turned = by_column.flat_map(|block| blocks[block].iter().copied()).collect();
    (rows > 1 && columns > 1).then_some(turned)
}

/// The same values with each kernel turned about its centre.
fn flipped(found: &Found) -> Option<Vec<f32>> {
    let taps: usize = found.shape.iter().skip(2).product();
    let kernels = found.values.chunks_exact(taps);
    let turned = kernels.flat_map(|kernel| kernel.iter().rev().copied()).collect();
    (found.shape.len() == 5 && taps > 1).then_some(turned)
}

#[test]
fn a_gradient_in_another_order_or_of_another_sign_is_refused_though_its_norm_is_right() {
    let figures: Figures = fixture("unet");
    let device = Device::flex().autodiff();
    let config = UNetConfig { base_width: 4, ..UNetConfig::default() };
    let net = filled(UNet::init(&config, RunChannels::default(), &device), 1, &figures);
    let targets = region_targets(RegionSet::BRATS, labels(2, 32, &device));
    let loss = DiceBceLoss::default()
        .region_loss(net.predict_logits(images(2, 32, &device)), targets)
        .total;
    let by_parameter = GradientsParams::from_grads(loss.backward(), &net);
    let mut refused = 0;
    for found in &gradients(&net, &by_parameter) {
        let off = |values: &[f32]| off_gradient(&figures, found.place, &found.name, values);
        assert!(off(&found.values) < GRADIENT_TOLERANCE);
        let negated: Vec<f32> = found.values.iter().map(|value| -value).collect();
        let reversed: Vec<f32> = found.values.iter().rev().copied().collect();
        let wrong = [Some(negated), Some(reversed), transposed(found), flipped(found)];
        for (way, values) in wrong.iter().enumerate() {
            let Some(values) = values else { continue };
            let off = off(values);
            assert!(off > 50.0 * GRADIENT_TOLERANCE, "{} {way}: {off}", found.name);
            refused += 1;
        }
    }
    assert!(refused > 100, "only {refused} ways to be wrong");
}
