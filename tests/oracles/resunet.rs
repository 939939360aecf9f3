//! The residual U-Net of base 8 at 32^3, without and with its autoencoder, and its first losses.

use std::collections::BTreeMap;

use burn::tensor::{Device, Tensor, TensorData};
use gliaflow::internals::nets::{Architecture, ModelRng, Output, ResUNetVae, ResUNetVaeConfig};
use gliaflow::internals::train::{DiceBceLoss, region_targets};
use gliaflow::internals::volume::{Dims, RegionSet, RunChannels};

use super::counters::uniform;
use super::figures::fixture;
use super::network::{
    Figures, GRADIENT_TOLERANCE, TOLERANCE_AT_A_KINK, check_gradients, check_logits, check_losses,
    filled, images, labels, read,
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
    let net =
        filled(ResUNetVae::init(&config(false), RunChannels::default(), &device), 2, &figures);
    let logits = net.predict_logits(images(2, 32, &device));
    check_logits(&figures, "resunet", "logits", &logits);

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
    check_gradients(&figures, &net, &paper.total, |_| false, TOLERANCE_AT_A_KINK);
}

/// Training pass of the oracle: its images, its latent noise.
fn training_pass(net: &ResUNetVae, device: &Device) -> Output {
    let noise = |shape: [usize; 2]| {
        let values = uniform(shape.iter().product(), 99, -1.5, 1.5);
        Tensor::from_data(TensorData::new(values, shape), device)
    };
    net.forward_with(images(2, 32, device), ModelRng { seed: 1, step: 1 }, noise)
}

#[test]
fn the_autoencoder_has_torchs_penalties_and_gradients() {
    let figures: Figures = fixture("resunet_vae");
    let device = Device::flex().autodiff();
    let net = filled(ResUNetVae::init(&config(true), RunChannels::default(), &device), 3, &figures);
    let output = training_pass(&net, &device);
    check_logits(&figures, "resunet_vae", "logits", &output.logits);

    let targets = region_targets(RegionSet::BRATS, labels(2, 32, &device));
    let parts = DiceBceLoss::default().total_loss(output, targets);
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
    check_gradients(&figures, &net, &parts.total, |_| false, GRADIENT_TOLERANCE);
}

/// He's initial weights began at a total of 9 to 17, nearly all of it the reconstruction's error.
#[test]
fn training_begins_where_torchs_initial_weights_do() {
    let oracle: BTreeMap<String, Vec<f32>> = fixture("initial_losses");
    let device = Device::flex();
    let targets = region_targets(RegionSet::BRATS, labels(2, 32, &device));
    for seed in 1..=3 {
        let net =
            ResUNetVae::init(&config(true), RunChannels::default(), &device).draw_weights(seed);
        let parts =
            DiceBceLoss::default().total_loss(training_pass(&net, &device), targets.clone());
        let l2 = parts.aux_losses.iter().find(|(name, _)| *name == "reconstruction").unwrap();
        let ours = [
            ("total", read(&parts.total)),
            ("seed_bce", read(&parts.bce)),
            ("l2", read(&l2.1) / 0.1),
        ];
        for (name, value) in ours {
            let theirs = &oracle[name];
            assert_eq!(theirs.len(), 32);
            let mean = theirs.iter().sum::<f32>() / 32.0;
            let squares = theirs.iter().map(|other| (other - mean).powi(2)).sum::<f32>();
            let deviation = (squares / 31.0).sqrt();
            assert!((value - mean).abs() < 4.0 * deviation, "{name}, seed {seed}: {value}");
        }
    }
}
