//! Validation loss: the region loss of training on patches of the held-out cases. Their keys are fixed and
//! nothing is augmented, so every validation of a run sees the same patches, and no draw of training changes.
//! Terms that a network adds in training (auxiliary losses, deep supervision) have no part in it.

use std::sync::Arc;

use burn::tensor::{DType, Tensor};

use crate::actor::Stage;
use crate::augment::AugmentConfig;
use crate::base::CaseError;
use crate::buffers::{CaseBuffers, PatchBuffer};
use crate::nets::{Learner, Network};
use crate::pipeline::augment::Augment;
use crate::pipeline::cold::{DecodeSample, NormalizeSample};
use crate::pipeline::{
    Batch, CaseRecovery, Crop, Fetch, FetchedSample, Normalize, Plan, PlannedSample,
};
use crate::run::context::RunContext;
use crate::train::TrainingLoss;
use crate::train::feed::upload_batch;
use crate::volume::{LabelScheme, Targets};

/// Pass over the held-out cases whose keys the patches have: none of training comes so far.
const PASS: u64 = 1 << 40;

/// Distance of a probability from 0 and 1 at which its logit is still finite.
const LEAST: f64 = 1e-7;

/// Computes the mean loss over the patches that the settings ask for; `None` if they ask for none, or a
/// case of them cannot be read.
pub(super) fn validation_loss(
    context: &RunContext<'_>,
    loss: &dyn TrainingLoss,
    learner: &dyn Learner,
) -> Option<f64> {
    let run = &context.config.run;
    let patches = run.train.validation.loss_patches;
    if patches == 0 || context.cohort.held_out.is_empty() {
        return None;
    }
    let plan = Plan::new(context.cohort.held_out.clone().into(), run.seed, 1);
    let network = learner.inference_network();
    let first = PASS * plan.epoch_len();
    let mut sum = 0.0;
    for number in 0..patches {
        match patch_loss(context, loss, network.as_ref(), plan.sample_at(first + number)) {
            Ok(patch) => sum += patch,
            Err(error) => {
                tracing::warn!("no validation loss: {error}");
                return None;
            }
        }
    }
    Some(sum / patches as f64)
}

/// Computes the loss of one patch.
fn patch_loss(
    context: &RunContext<'_>,
    loss: &dyn TrainingLoss,
    network: &dyn Network,
    planned: PlannedSample,
) -> Result<f64, CaseError> {
    let run = &context.config.run;
    let channels = context.config.blueprint.run_channels();
    let key = planned.key;
    let (fetched, recovery) = fetch_case(context, planned)?;
    let crop = Crop::new(run.crop.clone(), AugmentConfig::none());
    let drawn = crop.with_recovery(recovery.clone()).process(fetched)?;
    let dims = drawn.window.dims;
    let augment = Augment::new(run.augment.background);
    let sample = augment.with_recovery(recovery).process(drawn)?;
    let PatchBuffer { images, labels, .. } = sample.patch.into_buffer();
    let batch = Batch {
        number: 0,
        next_sample: 0,
        images: images.into(),
        labels: labels.into(),
        targets: Targets::Hard,
        dims,
        keys: vec![key],
        provenance: Vec::new(),
    };
    let batch = upload_batch(batch, network.device(), channels.modalities, run.precision);
    let probabilities = network.predict_probabilities(batch.images).cast(DType::F32);
    let has_ignored = run.data.labels.is_some_and(LabelScheme::has_ignored);
    let targets = batch.truth.into_regions(channels.regions, has_ignored);
    let total = loss.region_total(logits_of(probabilities), &targets);
    Ok(f64::from(total.into_scalar::<f32>()))
}

/// Logits `[b, k, d, h, w]` of probabilities.
fn logits_of(probabilities: Tensor<5>) -> Tensor<5> {
    let inside = probabilities.clamp(LEAST, 1.0 - LEAST);
    (inside.clone() / (inside.neg() + 1.0)).log()
}

/// Fetches a case from the run's cache, with the way to it if its mapped file is lost meanwhile, or reads
/// it from its files.
fn fetch_case(
    context: &RunContext<'_>,
    planned: PlannedSample,
) -> Result<(FetchedSample, CaseRecovery), CaseError> {
    let preprocess = context.config.run.data.preprocess.clone();
    if let Some(store) = &context.store {
        let stop = context.session.stop.clone();
        let fetch = Fetch::new(Arc::clone(store), preprocess, stop);
        let mut fetch = fetch.waiting_for(context.arrivals.clone());
        let recovery = CaseRecovery::through(fetch.clone());
        return Ok((fetch.process(planned)?, recovery));
    }
    let buffers = CaseBuffers::default();
    let normalize = Normalize::new(preprocess, buffers.clone());
    let mut cold =
        DecodeSample::new(buffers.clone()).fuse_with(NormalizeSample::new(normalize, buffers));
    Ok((cold.process(planned)?, CaseRecovery::default()))
}
