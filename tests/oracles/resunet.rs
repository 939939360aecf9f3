//! The residual U-Net of base 8 at 32^3, without and with its autoencoder.

use burn::tensor::{Device, Tensor, TensorData};
use gliaflow::nets::resunet_vae::{ResUNetVae, ResUNetVaeConfig};
use gliaflow::nets::{Architecture, ModelRng};
use gliaflow::train::loss::{LossConfig, region_targets};
use gliaflow::volume::grid::Dims;

use super::counters::uniform;
use super::figures::fixture;
use super::network::{
    Figures, check_gradients, check_logits, check_losses, filled, images, labels, read,
};

fn config(vae: bool) -> ResUNetVaeConfig {
    ResUNetVaeConfig {
        base_width: 8,
        dropout: 0.0,
        vae,
        patch: Dims::cube(32),
        bottleneck: 8,
        latent: 16,
        ..ResUNetVaeConfig::default()
    }
}

#[test]
fn the_residual_unet_is_monais_segresnet() {
    let figures: Figures = fixture("resunet");
    let device = Device::flex().autodiff();
    let net = filled(ResUNetVae::init(&config(false), &device), 2, &figures);
    let logits = net.predict_logits(images(2, 32, &device));
    check_logits(&figures, "resunet", "logits", &logits);

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
    check_gradients(&figures, &net, &paper.total, |_| false);
}

#[test]
fn the_autoencoder_has_torchs_penalties_and_gradients() {
    let figures: Figures = fixture("resunet_vae");
    let device = Device::flex().autodiff();
    let net = filled(ResUNetVae::init(&config(true), &device), 3, &figures);
    let noise = |shape: [usize; 2]| {
        let values = uniform(shape.iter().product(), 99, -1.5, 1.5);
        Tensor::from_data(TensorData::new(values, shape), &device)
    };
    let draws = ModelRng { seed: 1, step: 1 };
    let output = net.forward_with(images(2, 32, &device), draws, noise);
    check_logits(&figures, "resunet_vae", "logits", &output.logits);

    let targets = region_targets(labels(2, 32, &device));
    let parts = LossConfig::default().total_loss(output, targets);
    let weight = 0.1;
    let penalty = |name| {
        let (_, value) = parts.aux_losses.iter().find(|(found, _)| *found == name).unwrap();
        read(value)
    };
    let ours = [
        ("total", read(&parts.total)),
        ("seed_dice", read(&parts.dice)),
        ("seed_bce", read(&parts.bce)),
        ("l2", penalty("reconstruction") / weight),
        ("kl", penalty("kl") / weight),
        (
            "myronenko_total_dice_only",
            read(&parts.dice) + penalty("reconstruction") + penalty("kl"),
        ),
    ];
    check_losses(&figures, &ours);
    check_gradients(&figures, &net, &parts.total, |_| false);
}
