//! The cascade of base 2 at 64^3: logits and loss of each resolution, the gradient of every
//! parameter.

use burn::tensor::Device;
use gliaflow::internals::nets::{Architecture, Cascaded, CascadedConfig, ModelRng, mean_pool};
use gliaflow::internals::train::{DiceBceLoss, region_targets};
use gliaflow::internals::volume::{RegionSet, RunChannels};

use super::figures::fixture;
use super::network::{
    Figures, GRADIENT_TOLERANCE, check_gradients, check_logits, check_losses, filled, images,
    labels, read,
};

#[test]
fn the_cascade_has_torchs_maps_losses_and_gradients() {
    let figures: Figures = fixture("cascaded");
    let device = Device::flex().autodiff();
    let config = CascadedConfig { base_width: 2, dropout: 0.0, ..CascadedConfig::default() };
    let net = filled(Cascaded::init(&config, RunChannels::default(), &device), 4, &figures);
    let output = net.forward(images(1, 64, &device), ModelRng { seed: 1, step: 1 });
    let [half, quarter] = output.deep_supervision.as_slice() else {
        panic!("{} maps", output.deep_supervision.len())
    };

    let mut targets = region_targets(RegionSet::BRATS, labels(1, 64, &device));
    let mut losses = Vec::new();
    for (name, logits) in
        [("full", &output.logits), ("half", &half.logits), ("quarter", &quarter.logits)]
    {
        check_logits(&figures, "cascaded", &format!("logits_{name}"), logits);
        let parts = DiceBceLoss::default().region_loss(logits.clone(), targets.clone());
        losses.push((name, read(&parts.total)));
        if name != "quarter" {
            targets = mean_pool(targets);
        }
    }
    let parts = DiceBceLoss::default()
        .total_loss(output, region_targets(RegionSet::BRATS, labels(1, 64, &device)));
    losses.push(("total", read(&parts.total)));
    check_losses(&figures, &losses);
    check_gradients(
        &figures,
        &net,
        &parts.total,
        |name| name.ends_with("conv1.bias"),
        GRADIENT_TOLERANCE,
    );
}
