//! One network together with its optimiser, behind an interface without type parameters.

use std::path::Path;

use burn::optim::{GradientsParams, ModuleOptimizer};
use burn::tensor::activation::sigmoid;
use burn::tensor::{Device, Tensor};

use crate::base::error::Fault;
use crate::nets::files;
use crate::nets::gradients::Gathered;
use crate::nets::optimiser::OptimiserConfig;
use crate::nets::weights::{self, GradientNorm};
use crate::nets::{Architecture, Draws, Network, Output};

/// File of the weights inside a checkpoint's folder.
pub const WEIGHTS_FILE: &str = "weights.bpk";

/// File of the optimiser's state inside a checkpoint's folder.
pub const OPTIMISER_FILE: &str = "optimiser.bpk";

/// File of the weights' moving average inside a checkpoint's folder, where there is one.
pub const AVERAGE_FILE: &str = "average.bpk";

/// Files of the gradients that have not led to a step yet, and of how many batches they are of.
pub const GATHERED_FILE: &str = "gathered.bpk";
const BATCHES_FILE: &str = "gathered.json";

/// A network in training. The trainer knows nothing else of it.
pub trait Learner: Send {
    /// The training pass of images `[b, 4, d, h, w]`, recorded for [`update`](Self::update). What
    /// the network draws is a function of the run's seed and `step` alone.
    fn forward(&self, images: Tensor<5>, step: u64) -> Output;

    /// Adds the gradient of `loss`, and takes a step down the mean of as many as the optimiser
    /// gathers.
    fn update(&mut self, loss: Tensor<1>, learning_rate: f64) -> Update;

    /// The gradient of `loss` by parameter; reads from the device, so not for every step.
    fn gradient_norms(&self, loss: Tensor<1>) -> Vec<GradientNorm>;

    /// The network as it is now, without gradients. Shares the weights; later steps leave it alone.
    fn network(&self) -> Box<dyn Network>;

    /// Writes weights and optimiser state into an existing folder.
    ///
    /// # Errors
    /// If a file cannot be written.
    fn save(&self, folder: &Path) -> Result<(), Fault> {
        files::write(self.module.clone(), &folder.join(WEIGHTS_FILE))?;
        files::write_optimiser(&self.optimiser, &folder.join(OPTIMISER_FILE))?;
        if let Some(average) = &self.average {
            files::write(average.clone(), &folder.join(AVERAGE_FILE))?;
        }
        let batches = self.gathered.batches();
        if batches > 0 {
            let sum = self.gathered.written(self.module.clone());
            files::write(sum, &folder.join(GATHERED_FILE))?;
        }
        files::write_batches(batches, &folder.join(BATCHES_FILE))
    }

    fn load(&mut self, folder: &Path) -> Result<(), Fault> {
        let module = files::read(self.module.clone(), &folder.join(WEIGHTS_FILE))?;
        let optimiser =
            files::read_optimiser(self.settings.1.rule.init(), &folder.join(OPTIMISER_FILE))?;
        let average = match &self.average {
            Some(average) => Some(files::read(average.clone(), &folder.join(AVERAGE_FILE))?),
            None => None,
        };
        let gathered = match files::read_batches(&folder.join(BATCHES_FILE))? {
            0 => Gathered::default(),
            batches => {
                let sum = files::read(self.module.clone(), &folder.join(GATHERED_FILE))?;
                Gathered::read(&sum, batches)
            }
        };
        (self.module, self.optimiser) = (module, optimiser);
        (self.average, self.gathered) = (average, gathered);
        Ok(())
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

/// The network whose weights lie in `folder`, for inference: their average, where there is one.
pub(crate) fn load_network<A: Architecture>(
    config: &A::Config,
    folder: &Path,
    device: &Device,
) -> Result<Box<dyn Network>, Fault> {
    let average = folder.join(AVERAGE_FILE);
    let file = if average.is_file() { average } else { folder.join(WEIGHTS_FILE) };
    let module = files::read(A::init(config, device), &file)?;
    let patch_divisor = A::patch_divisor(config);
    Ok(Box::new(Snapshot { module: module.valid(), patch_divisor, device: device.clone() }))
}
