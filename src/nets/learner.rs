//! One network together with its optimiser, behind an interface without type parameters.

use std::path::Path;

use burn::module::Module;
use burn::optim::{GradientsParams, ModuleOptimizer, OptimizerRecord};
use burn::store::ModuleRecord;
use burn::tensor::activation::sigmoid;
use burn::tensor::{Device, Tensor};

use crate::base::error::Fault;
use crate::nets::optimiser::OptimiserConfig;
use crate::nets::weights::{self, GradientNorm};
use crate::nets::{Architecture, Draws, Network, Output};

/// File of the weights inside a checkpoint's folder.
pub const WEIGHTS_FILE: &str = "weights.bpk";

/// File of the optimiser's state inside a checkpoint's folder.
pub const OPTIMISER_FILE: &str = "optimiser.bpk";

/// A network in training. The trainer knows nothing else of it.
pub trait Learner: Send {
    /// The training pass of images `[b, 4, d, h, w]`, recorded for [`update`](Self::update). What
    /// the network draws is a function of the run's seed and `step` alone.
    fn forward(&self, images: Tensor<5>, step: u64) -> Output;

    /// Takes one step down the gradient of `loss`.
    fn update(&mut self, loss: Tensor<1>, learning_rate: f64) -> Update;

    /// The gradient of `loss` by parameter; reads from the device, so not for every step.
    fn gradient_norms(&self, loss: Tensor<1>) -> Vec<GradientNorm>;

    /// The network as it is now, without gradients. Shares the weights; later steps leave it alone.
    fn network(&self) -> Box<dyn Network>;

    /// Writes weights and optimiser state into an existing folder.
    ///
    /// # Errors
    /// If a file cannot be written.
    fn save(&self, folder: &Path) -> Result<(), Fault>;

    /// Continues from what [`save`](Self::save) wrote, bit for bit. On error nothing has changed.
    ///
    /// # Errors
    /// If a file is missing, damaged, or that of another network.
    fn load(&mut self, folder: &Path) -> Result<(), Fault>;

    /// Puts other values in the place of weights; those that get none stay.
    fn start_from(&mut self, values: &mut weights::Values<'_>);

    /// Number of trained values.
    fn parameters(&self) -> usize;

    /// Where to make the images: the device it trains on, with gradients recorded.
    fn device(&self) -> &Device;
}

/// What a step did; everything stays on the device until it is read.
#[derive(Debug)]
pub struct Update {
    /// L2 norm of all gradients together, `[1]`.
    pub gradient_norm: Tensor<1>,
}

/// The learner of one architecture.
pub(crate) struct Trainee<A: Architecture> {
    module: A,
    optimiser: ModuleOptimizer,
    settings: (A::Config, OptimiserConfig),
    seed: u64,
    device: Device,
}

impl<A: Architecture> Trainee<A> {
    /// With weights drawn from `seed`, and later dropout and noise from it.
    pub(crate) fn new(
        config: &A::Config,
        optimiser: &OptimiserConfig,
        seed: u64,
        device: &Device,
    ) -> Self {
        let recording = device.clone().autodiff();
        Self {
            module: weights::number(A::init(config, &recording).draw_weights(seed)),
            optimiser: optimiser.init(),
            settings: (config.clone(), optimiser.clone()),
            seed,
            device: recording,
        }
    }

    fn gradients(&self, loss: &Tensor<1>) -> GradientsParams {
        GradientsParams::from_grads(loss.backward(), &self.module)
    }
}

impl<A: Architecture> Learner for Trainee<A> {
    fn forward(&self, images: Tensor<5>, step: u64) -> Output {
        self.module.forward(images, Draws { seed: self.seed, step })
    }

    fn update(&mut self, loss: Tensor<1>, learning_rate: f64) -> Update {
        let gradients = self.gradients(&loss);
        let gradient_norm = weights::global_norm(&self.module, &gradients)
            .expect("every architecture has parameters, and the loss depends on them");
        self.module = self.optimiser.step(learning_rate, self.module.clone(), gradients);
        Update { gradient_norm }
    }

    fn gradient_norms(&self, loss: Tensor<1>) -> Vec<GradientNorm> {
        weights::gradient_norms(&self.module, &self.gradients(&loss))
    }

    fn network(&self) -> Box<dyn Network> {
        Box::new(Snapshot {
            module: self.module.valid(),
            patch_divisor: A::patch_divisor(&self.settings.0),
            device: self.device.clone().inner(),
        })
    }

    fn save(&self, folder: &Path) -> Result<(), Fault> {
        let weights_file = folder.join(WEIGHTS_FILE);
        let record = self.module.clone().into_record();
        record.save(&weights_file).map_err(|error| unwritable(&weights_file, &error))?;
        let optimiser_file = folder.join(OPTIMISER_FILE);
        self.optimiser.save(&optimiser_file).map_err(|error| unwritable(&optimiser_file, &error))
    }

    fn load(&mut self, folder: &Path) -> Result<(), Fault> {
        let module = with_weights(self.module.clone(), folder)?;
        let file = folder.join(OPTIMISER_FILE);
        let record = OptimizerRecord::load(&file).map_err(|error| unreadable(&file, &error))?;
        let recorded = record.len();
        let optimiser = self.settings.1.init().load_record(record);
        // Burn leaves out a state that it cannot rebuild, and would start it from zero.
        let rebuilt = optimiser.to_record().len();
        if rebuilt != recorded {
            let problem = format!("{rebuilt} of {recorded} tensors fit the optimiser");
            return Err(unreadable(&file, &problem));
        }
        self.module = module;
        self.optimiser = optimiser;
        Ok(())
    }

    fn start_from(&mut self, values: &mut weights::Values<'_>) {
        self.module = weights::replace(self.module.clone(), values);
    }

    fn parameters(&self) -> usize {
        self.module.num_params()
    }

    fn device(&self) -> &Device {
        &self.device
    }
}

/// A module that no longer learns.
struct Snapshot<A: Architecture> {
    module: A,
    patch_divisor: usize,
    device: Device,
}

impl<A: Architecture> Network for Snapshot<A> {
    fn probabilities(&self, images: Tensor<5>) -> Tensor<5> {
        sigmoid(self.module.logits(images))
    }

    fn patch_divisor(&self) -> usize {
        self.patch_divisor
    }

    fn device(&self) -> &Device {
        &self.device
    }
}

/// The module whose weights lie in `folder`.
pub(crate) fn load_module<A: Architecture>(
    config: &A::Config,
    folder: &Path,
    device: &Device,
) -> Result<A, Fault> {
    with_weights(A::init(config, device), folder)
}

/// The network whose weights lie in `folder`, for inference.
pub(crate) fn load_network<A: Architecture>(
    config: &A::Config,
    folder: &Path,
    device: &Device,
) -> Result<Box<dyn Network>, Fault> {
    let module = load_module::<A>(config, folder, device)?;
    let patch_divisor = A::patch_divisor(config);
    Ok(Box::new(Snapshot { module: module.valid(), patch_divisor, device: device.clone() }))
}

fn with_weights<M: Module>(module: M, folder: &Path) -> Result<M, Fault> {
    let file = folder.join(WEIGHTS_FILE);
    let record = ModuleRecord::load(&file).map_err(|error| unreadable(&file, &error))?;
    module.try_load_record(record).map_err(|error| unreadable(&file, &error))
}

fn unwritable(file: &Path, error: &impl std::fmt::Display) -> Fault {
    Fault::Environment {
        subject: file.display().to_string(),
        problem: format!("cannot be written: {error}"),
        remedy: "check free space and permissions".into(),
    }
}

fn unreadable(file: &Path, error: &impl std::fmt::Display) -> Fault {
    Fault::Environment {
        subject: file.display().to_string(),
        problem: format!("is no checkpoint of this network: {error}"),
        remedy: "use the settings it was trained with, or an earlier checkpoint".into(),
    }
}
