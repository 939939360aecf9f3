//! Networks of one's own, and the layers that the shipped ones are made of.

pub use crate::nets::convolution::{ConvConfig, Convolution};
pub use crate::nets::exchange::Dialect;
pub use crate::nets::{
    Architecture, ArchitectureEntry, AuxLoss, ConvUnit, LEAKY_SLOPE, ModelRng, Norm, Output,
    Precision, ResidualUnit, SideOutput, cast, concatenate_channels, leaky_relu,
    list_architectures, max_pool, mean_pool, register_architecture, squared_error,
    transposed_convolution, upsample_trilinear,
};
pub use crate::volume::RunChannels;
