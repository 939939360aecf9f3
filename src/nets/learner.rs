//! One network together with its optimiser, behind an interface without type parameters.

use std::path::Path;

use burn::module::Module;
use burn::optim::GradientsParams;
use burn::tensor::activation::sigmoid;
use burn::tensor::{Device, Tensor};

use crate::base::error::Fault;
use crate::nets::average::Average;
use crate::nets::files;
use crate::nets::gradients::Gathered;
use crate::nets::optimiser::OptimiserConfig;
use crate::nets::steps::Optimiser;
use crate::nets::weights::{self, GradientNorm};
use crate::nets::{Architecture, Draws, Network, Output};

/// File of the weights inside a checkpoint's folder.
pub const WEIGHTS_FILE: &str = "weights.bpk";

/// File of the optimiser's memory inside a checkpoint's folder.
pub const OPTIMISER_FILE: &str = "optimiser.bpk";

/// File of the weights' moving average inside a checkpoint's folder, where there is one.
pub const AVERAGE_FILE: &str = "average.bpk";

/// A network in training. The trainer knows nothing else of it.
pub trait Learner: Send {
    /// The training pass of images `[b, 4, d, h, w]`, recorded for [`gather`](Self::gather). What
    /// the network draws is a function of the run's seed and `pass` alone.
    fn forward(&self, images: Tensor<5>, pass: u64) -> Output;

    /// Adds the gradient of one batch's `loss` to those of the step under way.
    fn gather(&mut self, loss: Tensor<1>);

    /// Takes a step down the mean of the gradients gathered, of which there is at least one. If one
    /// of them or its loss is not finite, weights and memory stay what they were.
    fn step(&mut self, learning_rate: f64) -> Update;

    /// A step of one batch.
    fn update(&mut self, loss: Tensor<1>, learning_rate: f64) -> Update {
        self.gather(loss);
        self.step(learning_rate)
    }

    /// The gradient of `loss` by parameter; reads from the device, so not for every step.
    fn gradient_norms(&self, loss: Tensor<1>) -> Vec<GradientNorm>;

    /// The network that predicts, as it is now: the average of the weights where one is kept. Later
    /// steps leave it alone.
    fn network(&self) -> Box<dyn Network>;

    /// Writes weights, their average and the optimiser's memory into an existing folder. What was
    /// gathered for a step that was not taken is not part of it.
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
    /// L2 norm of all gradients together, before they were shortened, `[1]`. A step whose norm or
    /// loss is not finite changed nothing.
    pub gradient_norm: Tensor<1>,
}

/// The learner of one architecture.
pub(crate) struct Trainee<A: Architecture> {
    module: A,
    optimiser: Optimiser<A>,
    gathered: Gathered,
    average: Option<Average<A>>,
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
        let module = weights::number(A::init(config, &recording).draw_weights(seed));
        Self {
            optimiser: optimiser.rule.optimiser(&module, device),
            gathered: Gathered::default(),
            average: optimiser.average.map(|_| Average::of(&module, device)),
            module,
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
    fn forward(&self, images: Tensor<5>, pass: u64) -> Output {
        self.module.forward(images, Draws { seed: self.seed, step: pass })
    }

    fn gather(&mut self, loss: Tensor<1>) {
        let fresh = self.gradients(&loss);
        self.gathered.add(&self.module, fresh, loss);
    }

    fn step(&mut self, learning_rate: f64) -> Update {
        let settings = &self.settings.1;
        let gradient = self.gathered.take(&self.module, settings.clip_norm);
        let gradient = gradient.expect("a step follows at least one batch");
        let (values, sound) = (gradient.values, &gradient.sound);
        self.module = self.optimiser.step(learning_rate, self.module.clone(), values, sound);
        if let (Some(average), Some(decay)) = (&mut self.average, settings.average) {
            average.follow(&self.module, decay, sound);
        }
        Update { gradient_norm: gradient.norm }
    }

    fn gradient_norms(&self, loss: Tensor<1>) -> Vec<GradientNorm> {
        weights::gradient_norms(&self.module, &self.gradients(&loss))
    }

    fn network(&self) -> Box<dyn Network> {
        Box::new(Snapshot {
            module: match &self.average {
                Some(average) => average.weights().clone(),
                None => self.module.valid(),
            },
            patch_divisor: A::patch_divisor(&self.settings.0),
            device: self.device.clone().inner(),
        })
    }

    fn save(&self, folder: &Path) -> Result<(), Fault> {
        files::write(self.module.clone(), &folder.join(WEIGHTS_FILE))?;
        files::write(self.optimiser.memory().clone(), &folder.join(OPTIMISER_FILE))?;
        match &self.average {
            Some(average) => files::write(average.clone(), &folder.join(AVERAGE_FILE)),
            None => Ok(()),
        }
    }

    fn load(&mut self, folder: &Path) -> Result<(), Fault> {
        let module = files::read(self.module.clone(), &folder.join(WEIGHTS_FILE))?;
        let memory = self.optimiser.memory().clone();
        let memory = files::read(memory, &folder.join(OPTIMISER_FILE))?;
        let average = match &self.average {
            Some(average) => Some(files::read(average.clone(), &folder.join(AVERAGE_FILE))?),
            None => None,
        };
        self.optimiser = self.optimiser.remembering(memory);
        (self.module, self.average) = (module, average);
        self.gathered = Gathered::default();
        Ok(())
    }

    fn start_from(&mut self, values: &mut weights::Values<'_>) {
        self.module = weights::replace(self.module.clone(), values);
        if let Some(average) = &mut self.average {
            *average = Average::of(&self.module, &self.device);
        }
    }

    fn parameters(&self) -> usize {
        Module::num_params(&self.module)
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

/// The module whose weights [`Learner::save`] left in `folder`, for inference: their average, where
/// there is one.
pub(crate) fn load_module<A: Architecture>(
    config: &A::Config,
    folder: &Path,
    device: &Device,
) -> Result<A, Fault> {
    let fresh = A::init(config, device);
    let file = folder.join(predicting_file(folder));
    if file.ends_with(AVERAGE_FILE) {
        return Ok(files::read(Average::of(&fresh, device), &file)?.weights().clone());
    }
    files::read(fresh, &file)
}

/// The file of a checkpoint's folder whose weights predict: their average, where there is one.
pub fn predicting_file(folder: &Path) -> &'static str {
    if folder.join(AVERAGE_FILE).is_file() { AVERAGE_FILE } else { WEIGHTS_FILE }
}

/// The network of [`load_module`].
pub(crate) fn load_network<A: Architecture>(
    config: &A::Config,
    folder: &Path,
    device: &Device,
) -> Result<Box<dyn Network>, Fault> {
    let module = load_module::<A>(config, folder, device)?;
    let patch_divisor = A::patch_divisor(config);
    Ok(Box::new(Snapshot { module: module.valid(), patch_divisor, device: device.clone() }))
}
