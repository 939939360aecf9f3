//! Network and optimiser in training, behind an interface without type parameters.

use std::path::Path;

use burn::module::Module;
use burn::optim::GradientsParams;
use burn::tensor::activation::sigmoid;
use burn::tensor::{Device, Tensor};

use crate::base::Fault;
use crate::nets::exchange::{self, Weight};
use crate::nets::freezing::FrozenParameters;
use crate::nets::gradients::AccumulatedGradients;
use crate::nets::update_rules::Optimiser;
use crate::nets::weight_average::WeightAverage;
use crate::nets::weights::{self, GradientNorm};
use crate::nets::{Architecture, ModelRng, Network, OptimiserConfig, Output, cpu, files};
use crate::volume::RunChannels;

/// File of the weights inside a checkpoint's folder.
pub const WEIGHTS_FILE: &str = "weights.bpk";

/// File of the optimiser's state inside a checkpoint's folder.
pub const OPTIMISER_FILE: &str = "optimiser.bpk";

/// File of the weights' moving average inside a checkpoint's folder, where there is one.
pub const AVERAGE_FILE: &str = "average.bpk";

/// Network in training, as the trainer sees it.
pub trait Learner: Send {
    /// Training pass over images `[b, c, d, h, w]`, recorded for
    /// [`accumulate_gradients`](Self::accumulate_gradients). Its random draws depend on the run's
    /// seed and `pass` alone.
    fn forward(&self, images: Tensor<5>, pass: u64) -> Output;

    /// Adds the gradients of one batch's `loss` to those of the current step.
    fn accumulate_gradients(&mut self, loss: Tensor<1>);

    /// Takes an optimiser step with the mean of the accumulated gradients, of at least one batch.
    /// If a loss or gradient is not finite, weights and optimiser state stay as they are.
    fn optimiser_step(&mut self, learning_rate: f64) -> Update;

    /// Takes a step of one batch.
    fn backward_and_step(&mut self, loss: Tensor<1>, learning_rate: f64) -> Update {
        self.accumulate_gradients(loss);
        self.optimiser_step(learning_rate)
    }

    /// Gradient norms of `loss` by parameter; reads from the device, so not for every step.
    fn gradient_norms(&self, loss: Tensor<1>) -> Vec<GradientNorm>;

    /// Copy of the network for inference: the averaged weights where they are kept. Later steps
    /// leave it unchanged.
    fn inference_network(&self) -> Box<dyn Network>;

    /// Writes weights, their average and the optimiser state into an existing folder, without the
    /// gradients of an unfinished step.
    ///
    /// # Errors
    /// If a file cannot be written.
    fn save(&self, folder: &Path) -> Result<(), Fault>;

    /// Restores what [`save`](Self::save) wrote, bit for bit. On error nothing has changed.
    ///
    /// # Errors
    /// If a file is missing, damaged, or that of another network.
    fn load(&mut self, folder: &Path) -> Result<(), Fault>;

    /// Parameters with their values. Waits for the device.
    fn weights(&self) -> Vec<Weight>;

    /// Replaces initial weights by those of `values`; the others stay.
    fn initialise_weights(&mut self, values: &mut weights::NewValues<'_>);

    /// Leaves the parameters of these parts of the network as they are from now on
    /// (`check_frozen_parts` knows the parts).
    fn freeze_parts(&mut self, parts: &[String]);

    /// Number of trainable parameters.
    fn parameter_count(&self) -> usize;

    /// Training device, with gradients recorded, for the images.
    fn device(&self) -> &Device;
}

/// Result of a step, still on the device.
#[derive(Debug)]
pub struct Update {
    /// L2 norm of all gradients together before clipping, `[1]`. A step with a norm or loss that is
    /// not finite changed nothing.
    pub gradient_norm: Tensor<1>,
}

pub(crate) struct TrainableModel<A: Architecture> {
    module: A,
    optimiser: Optimiser<A>,
    accumulated: AccumulatedGradients,
    average: Option<WeightAverage<A>>,
    frozen: FrozenParameters,
    settings: (A::Config, OptimiserConfig),
    seed: u64,
    device: Device,
    has_stepped: bool,
}

impl<A: Architecture> TrainableModel<A> {
    /// Creates a model whose weights, dropout and noise are drawn from `seed`.
    pub(crate) fn new(
        (config, channels): (&A::Config, RunChannels),
        optimiser: &OptimiserConfig,
        seed: u64,
        device: &Device,
    ) -> Self {
        let recording = device.clone().autodiff();
        let module =
            weights::number_parameters(A::init(config, channels, &recording).draw_weights(seed));
        Self {
            optimiser: optimiser.init_optimiser(&module, device),
            accumulated: AccumulatedGradients::default(),
            average: optimiser.average.map(|_| WeightAverage::starting_from(&module, device)),
            module,
            frozen: FrozenParameters::default(),
            settings: (config.clone(), optimiser.clone()),
            seed,
            device: recording,
            has_stepped: false,
        }
    }

    fn backward(&self, loss: &Tensor<1>) -> GradientsParams {
        let mut gradients = GradientsParams::from_grads(loss.backward(), &self.module);
        self.frozen.drop_gradients(&self.module, &mut gradients);
        gradients
    }
}

impl<A: Architecture> Learner for TrainableModel<A> {
    fn forward(&self, images: Tensor<5>, pass: u64) -> Output {
        self.module.forward(images, ModelRng { seed: self.seed, step: pass })
    }

    fn accumulate_gradients(&mut self, loss: Tensor<1>) {
        let fresh = self.backward(&loss);
        self.accumulated.add_batch(&self.module, fresh, loss);
    }

    fn optimiser_step(&mut self, learning_rate: f64) -> Update {
        let settings = &self.settings.1;
        let gradient = self.accumulated.take_mean(&self.module, settings.clip_norm);
        let gradient = gradient.expect("a step follows at least one batch");
        let is_finite = self.average.as_ref().map(|_| gradient.is_finite());
        let gradient_norm = gradient.norm.clone();
        self.module = self.optimiser.step_along(learning_rate, self.module.clone(), gradient);
        if let (Some(average), Some(decay), Some(is_finite)) =
            (&mut self.average, settings.average, &is_finite)
        {
            average.add_weights(&self.module, decay, is_finite);
        }
        if !self.has_stepped {
            // A GPU's memory has pages of the size of the largest volume, and those of before that one came are
            // given back now rather than kept beside the later ones.
            self.device.memory_cleanup();
            self.has_stepped = true;
        }
        Update { gradient_norm }
    }

    fn gradient_norms(&self, loss: Tensor<1>) -> Vec<GradientNorm> {
        weights::gradient_norms(&self.module, &self.backward(&loss))
    }

    fn inference_network(&self) -> Box<dyn Network> {
        Box::new(InferenceModel {
            module: match &self.average {
                Some(average) => average.averaged_weights().clone(),
                None => self.module.valid(),
            },
            patch_divisor: A::patch_divisor(&self.settings.0),
            device: self.device.clone().inner(),
        })
    }

    fn save(&self, folder: &Path) -> Result<(), Fault> {
        files::write_module(self.module.clone(), &folder.join(WEIGHTS_FILE))?;
        files::write_module(self.optimiser.state().clone(), &folder.join(OPTIMISER_FILE))?;
        match &self.average {
            Some(average) => files::write_module(average.clone(), &folder.join(AVERAGE_FILE)),
            None => Ok(()),
        }
    }

    fn load(&mut self, folder: &Path) -> Result<(), Fault> {
        let module =
            files::read_identified_module(self.module.clone(), &folder.join(WEIGHTS_FILE))?;
        let memory = self.optimiser.state().clone();
        let memory = files::read_identified_module(memory, &folder.join(OPTIMISER_FILE))?;
        let average = match &self.average {
            Some(average) => {
                Some(files::read_identified_module(average.clone(), &folder.join(AVERAGE_FILE))?)
            }
            None => None,
        };
        self.optimiser = self.optimiser.with_state(memory);
        (self.module, self.average) = (module, average);
        self.accumulated = AccumulatedGradients::default();
        Ok(())
    }

    fn weights(&self) -> Vec<Weight> {
        exchange::weights_of(&self.module)
    }

    fn initialise_weights(&mut self, values: &mut weights::NewValues<'_>) {
        self.module = weights::replace_parameters(self.module.clone(), values);
        if let Some(average) = &mut self.average {
            *average = WeightAverage::starting_from(&self.module, &self.device);
        }
    }

    fn freeze_parts(&mut self, parts: &[String]) {
        self.frozen = FrozenParameters::of_parts(&self.module, parts);
    }

    fn parameter_count(&self) -> usize {
        Module::num_params(&self.module)
    }

    fn device(&self) -> &Device {
        &self.device
    }
}

struct InferenceModel<A: Architecture> {
    module: A,
    patch_divisor: usize,
    device: Device,
}

impl<A: Architecture> Network for InferenceModel<A> {
    fn predict_probabilities(&self, images: Tensor<5>) -> Tensor<5> {
        let logits = self.module.predict_logits(images);
        if cpu::computes(&logits) { cpu::sigmoid::sigmoid(logits) } else { sigmoid(logits) }
    }

    fn patch_divisor(&self) -> usize {
        self.patch_divisor
    }

    fn device(&self) -> &Device {
        &self.device
    }
}

/// Loads the module that [`Learner::save`] left in `folder` for inference: averaged weights, where
/// there are some.
pub(crate) fn load_module<A: Architecture>(
    (config, channels): (&A::Config, RunChannels),
    folder: &Path,
    device: &Device,
) -> Result<A, Fault> {
    let fresh = A::init(config, channels, device);
    let file = folder.join(predicting_file(folder));
    if file.ends_with(AVERAGE_FILE) {
        return Ok(files::read_module(WeightAverage::starting_from(&fresh, device), &file)?
            .averaged_weights()
            .clone());
    }
    files::read_module(fresh, &file)
}

/// Name of the weights file for inference in a checkpoint's folder: the average, where there is
/// one.
pub fn predicting_file(folder: &Path) -> &'static str {
    if folder.join(AVERAGE_FILE).is_file() { AVERAGE_FILE } else { WEIGHTS_FILE }
}

/// Loads the module of [`load_module`] as a [`Network`].
pub(crate) fn load_network<A: Architecture>(
    (config, channels): (&A::Config, RunChannels),
    folder: &Path,
    device: &Device,
) -> Result<Box<dyn Network>, Fault> {
    let module = load_module::<A>((config, channels), folder, device)?;
    let patch_divisor = A::patch_divisor(config);
    Ok(Box::new(InferenceModel { module: module.valid(), patch_divisor, device: device.clone() }))
}
