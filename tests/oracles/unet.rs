//! The U-Net of base 4 at 32^3: logits, losses and the gradient of every parameter.

use burn::tensor::Device;
use gliaflow::nets::Architecture;
use gliaflow::nets::unet::{UNet, UNetConfig};
use gliaflow::train::loss::{LossConfig, region_targets};

use super::figures::fixture;
use super::network::{
    Figures, check_gradients, check_logits, check_losses, filled, images, labels, read,
};

#[test]
fn the_unet_has_torchs_logits_losses_and_gradients() {
    let figures: Figures = fixture("unet");
    let device = Device::flex().autodiff();
    let config = UNetConfig { base_width: 4, ..UNetConfig::default() };
    let net = filled(UNet::init(&config, &device), 1, &figures);

    let logits = net.predict_logits(images(2, 32, &device));
    check_logits(&figures, "unet_isensee_b4_32", "logits", &logits);

    let targets = region_targets(labels(2, 32, &device));
    let loss = |config: LossConfig| config.region_loss(logits.clone(), targets.clone());
    let paper = loss(LossConfig::default());
    let summed = loss(LossConfig { region_sum: true, ..Default::default() });
    let per_sample = loss(LossConfig { per_sample: true, ..Default::default() });
    let ours = [
        ("total", read(&paper.total)),
        ("dice_batch", read(&paper.dice)),
        ("bce_mean", read(&paper.bce)),
        ("bce_region_sum", read(&summed.bce)),
        ("dice_per_sample", read(&per_sample.dice)),
    ];
    check_losses(&figures, &ours);
    check_gradients(&figures, &net, &paper.total, |name| name.ends_with("conv.bias"));
}
