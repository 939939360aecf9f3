//! Variational autoencoder branch of Myronenko 2018 (section 2.2): it reconstructs the images from
//! the bottom of the encoder through a few latent variables, and so regularises the encoder.

use burn::module::{Module, Param};
use burn::nn::Initializer;
use burn::tensor::activation::relu;
use burn::tensor::{DType, Device, Tensor};

use super::{ResUNetVaeConfig, UpBlock};
use crate::nets::convolution::{ConvConfig, Convolution};
#[cfg(feature = "cuda")]
use crate::nets::cuda;
use crate::nets::{AuxLoss, Norm, cast, squared_error, upsample_trilinear};

/// Autoencoder from the bottom's features to latent variables and on to the images.
#[derive(Module, Debug)]
pub(super) struct Autoencoder {
    norm: Norm,
    narrow: Convolution,
    to_latent: Dense,
    from_latent: Dense,
    widen: Convolution,
    dec: Vec<UpBlock>,
    end: Convolution,
    reconstruction_weight: f64,
    kl_weight: f64,
}

impl Autoencoder {
    pub(super) fn new(config: &ResUNetVaeConfig, modalities: usize, device: &Device) -> Self {
        let bottom = config.level_width(config.bottom_level());
        let coarsest = config.patch.0.map(|side| side >> (config.bottom_level() + 1));
        let flat = config.bottleneck * coarsest.iter().product::<usize>();
        let biased = |kernel| ConvConfig { bias: true, ..kernel };
        Self {
            norm: config.new_norm(bottom, device),
            narrow: biased(ConvConfig { stride: 2, ..ConvConfig::CUBE })
                .init([bottom, config.bottleneck], device),
            to_latent: Dense::new([flat, 2 * config.latent], device),
            from_latent: Dense::new([config.latent, flat], device),
            widen: ConvConfig::POINT.init([config.bottleneck, bottom], device),
            dec: UpBlock::all_levels(config, device),
            end: biased(ConvConfig::POINT).init([config.level_width(0), modalities], device),
            reconstruction_weight: config.reconstruction_weight,
            kl_weight: config.kl_weight,
        }
    }

    /// Number of latent variables.
    pub(super) fn latent_size(&self) -> usize {
        self.from_latent.weight.lazy_shape()[1]
    }

    /// Computes the squared error of the reconstruction, averaged over voxels and channels, and the
    /// divergence of the latent distribution from the standard normal, summed over the variables
    /// and divided by the voxels and channels of one image; both weighted.
    ///
    /// The paper's equation 3 prints a sum for the former; the ports' mean keeps its weight sane.
    pub(super) fn aux_losses(
        &self,
        bottom: Tensor<5>,
        images: Tensor<5>,
        noise: Tensor<2>,
    ) -> [AuxLoss; 2] {
        let narrow = self.narrow.forward(self.norm.forward_relu(bottom));
        let coarsest = narrow.dims();
        let dtype = narrow.dtype();
        let [b, latent] = noise.dims();
        let variables = self.to_latent.apply_to_volume(narrow); // [b, 2 latent]
        let mean = variables.clone().narrow(1, 0, latent);
        let log_variance = variables.narrow(1, latent, latent);
        let deviation = (log_variance.clone() * 0.5).exp();
        let sample = mean.clone() + deviation * noise;

        let spread = self.from_latent.spread_over_volume(sample, coarsest, dtype);
        let mut volume = upsample_trilinear(self.widen.forward(spread));
        for rise in &self.dec {
            volume = rise.unit.forward(rise.project_and_upsample(volume));
        }
        let values = images.dims()[1..].iter().product::<usize>();
        let reconstruction = squared_error(self.end.forward(volume), images);
        let divergence = (mean.square() + log_variance.clone().exp() - log_variance - 1.0).sum();
        let kl = divergence / (b * values) as f64;
        [
            AuxLoss { name: "reconstruction", value: reconstruction * self.reconstruction_weight },
            AuxLoss { name: "kl", value: kl * self.kl_weight },
        ]
    }
}

/// Dense layer with a weight of PyTorch's shape, `[out, in]`.
#[derive(Module, Debug)]
struct Dense {
    weight: Param<Tensor<2>>,
    bias: Param<Tensor<1>>,
}

impl Dense {
    fn new(features: [usize; 2], device: &Device) -> Self {
        let [from, to] = features;
        Self {
            weight: Initializer::Zeros.init([to, from], device),
            bias: Initializer::Zeros.init([to], device),
        }
    }

    /// `[b, c, d, h, w]`, its values in that order, to `[b, out]` in f32.
    fn apply_to_volume(&self, volume: Tensor<5>) -> Tensor<2> {
        #[cfg(feature = "cuda")]
        if cuda::computes(&volume) {
            return cuda::dense_of_volume(volume, self.weight.val(), self.bias.val());
        }
        self.forward(cast(volume.flatten(1, 4), DType::F32))
    }

    /// `[b, in]` to a volume `[b, c, d, h, w]` of `dtype`, with ReLU.
    fn spread_over_volume(&self, rows: Tensor<2>, shape: [usize; 5], dtype: DType) -> Tensor<5> {
        #[cfg(feature = "cuda")]
        if cuda::computes(&rows) {
            return cuda::dense_to_volume(rows, self.weight.val(), self.bias.val(), shape, dtype);
        }
        cast(relu(self.forward(rows)), dtype).reshape(shape)
    }

    fn forward(&self, rows: Tensor<2>) -> Tensor<2> {
        rows.matmul(self.weight.val().transpose()) + self.bias.val().unsqueeze()
    }
}
