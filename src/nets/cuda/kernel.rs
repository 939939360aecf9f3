//! Text of a kernel, and its launch through CubeCL.

use std::fmt::Write;

use cubecl::PrecompiledSource;
use cubecl::client::Client;
use cubecl::ir::metadata::Info;
use cubecl::ir::settings::KernelSettings;
use cubecl::ir::{ElemType, Scope, UIntKind};
use cubecl::prelude::{
    AddressType, CubeCount, CubeDim, CubeKernel, ExecutionMode, KernelDefinition, KernelId,
    KernelMetadata,
};
use cubecl::server::{Handle, KernelArguments, MetadataBindingInfo};

const ELEMENTS: &str = include_str!("kernels/elements.cuh");
const TENSOR_CORES: &str = include_str!("kernels/tensor_cores.cuh");
const LATTICE: &str = include_str!("kernels/lattice.cuh");
const VOLUME: &str = include_str!("kernels/volume.cuh");
const REGION_LOSS: &str = include_str!("kernels/region_loss.cuh");
const NORM: &str = include_str!("kernels/norm.cuh");

/// File in `kernels/`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum KernelFile {
    AddKernelParts,
    AddParts,
    Concatenate,
    Correlate,
    GradientNorm,
    GradientSquares,
    KernelGradient,
    MaxPool,
    MaxPoolGradient,
    NormApply,
    NormGradientStatistics,
    NormStatistics,
    NormSums,
    Pack,
    RegionGradient,
    RegionScores,
    RegionSums,
    TakeChannels,
    ToChannelsLast,
    UpdateParameters,
    Upsample,
    UpsampleGradient,
}

impl KernelFile {
    /// The kernel's name in the file, what comes ahead of the file, and the file.
    fn source_parts(self) -> (&'static str, &'static [&'static str], &'static str) {
        match self {
            Self::AddKernelParts => (
                "add_kernel_parts",
                &[ELEMENTS, LATTICE],
                include_str!("kernels/add_kernel_parts.cu"),
            ),
            Self::AddParts => {
                ("add_parts", &[ELEMENTS, LATTICE], include_str!("kernels/add_parts.cu"))
            }
            Self::Concatenate => {
                ("concatenate", &[ELEMENTS], include_str!("kernels/concatenate.cu"))
            }
            Self::Correlate => (
                "correlate",
                &[ELEMENTS, TENSOR_CORES, LATTICE],
                include_str!("kernels/correlate.cu"),
            ),
            Self::GradientNorm => ("gradient_norm", &[], include_str!("kernels/gradient_norm.cu")),
            Self::GradientSquares => {
                ("gradient_squares", &[], include_str!("kernels/gradient_squares.cu"))
            }
            Self::KernelGradient => (
                "kernel_gradient",
                &[ELEMENTS, TENSOR_CORES, LATTICE],
                include_str!("kernels/kernel_gradient.cu"),
            ),
            Self::MaxPool => ("max_pool", &[ELEMENTS, VOLUME], include_str!("kernels/max_pool.cu")),
            Self::MaxPoolGradient => (
                "max_pool_gradient",
                &[ELEMENTS, VOLUME],
                include_str!("kernels/max_pool_gradient.cu"),
            ),
            Self::NormApply => {
                ("norm_apply", &[ELEMENTS, NORM], include_str!("kernels/norm_apply.cu"))
            }
            Self::NormGradientStatistics => (
                "norm_gradient_statistics",
                &[ELEMENTS, NORM],
                include_str!("kernels/norm_gradient_statistics.cu"),
            ),
            Self::NormStatistics => {
                ("norm_statistics", &[ELEMENTS, NORM], include_str!("kernels/norm_statistics.cu"))
            }
            Self::NormSums => {
                ("norm_sums", &[ELEMENTS, NORM], include_str!("kernels/norm_sums.cu"))
            }
            Self::Pack => ("pack_kernel", &[ELEMENTS, LATTICE], include_str!("kernels/pack.cu")),
            Self::RegionGradient => {
                ("region_gradient", &[REGION_LOSS], include_str!("kernels/region_gradient.cu"))
            }
            Self::RegionScores => {
                ("region_scores", &[REGION_LOSS], include_str!("kernels/region_scores.cu"))
            }
            Self::RegionSums => {
                ("region_sums", &[REGION_LOSS], include_str!("kernels/region_sums.cu"))
            }
            Self::TakeChannels => {
                ("take_channels", &[ELEMENTS], include_str!("kernels/take_channels.cu"))
            }
            Self::ToChannelsLast => {
                ("to_channels_last", &[ELEMENTS], include_str!("kernels/to_channels_last.cu"))
            }
            Self::UpdateParameters => {
                ("update_parameters", &[], include_str!("kernels/update_parameters.cu"))
            }
            Self::Upsample => {
                ("upsample", &[ELEMENTS, VOLUME], include_str!("kernels/upsample.cu"))
            }
            Self::UpsampleGradient => (
                "upsample_gradient",
                &[ELEMENTS, VOLUME],
                include_str!("kernels/upsample_gradient.cu"),
            ),
        }
    }

    /// Threads of a block, as the kernel's bounds say.
    fn block_threads(self) -> u32 {
        match self {
            Self::Correlate
            | Self::KernelGradient
            | Self::NormGradientStatistics
            | Self::NormStatistics => 128,
            Self::AddKernelParts
            | Self::AddParts
            | Self::Concatenate
            | Self::GradientNorm
            | Self::GradientSquares
            | Self::MaxPool
            | Self::MaxPoolGradient
            | Self::NormApply
            | Self::NormSums
            | Self::Pack
            | Self::RegionGradient
            | Self::RegionScores
            | Self::RegionSums
            | Self::TakeChannels
            | Self::ToChannelsLast
            | Self::UpdateParameters
            | Self::Upsample
            | Self::UpsampleGradient => 256,
        }
    }
}

/// A kernel and the values of its macros.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct CudaKernel {
    file: KernelFile,
    macros: Vec<(&'static str, u32)>,
}

impl CudaKernel {
    pub(super) fn new(file: KernelFile, macros: &[(&'static str, u32)]) -> Self {
        Self { file, macros: macros.to_vec() }
    }

    fn source_text(&self) -> String {
        let (_, ahead, body) = self.file.source_parts();
        let mut text = String::new();
        for (name, value) in &self.macros {
            writeln!(text, "#define {name} {value}").expect("a string takes all");
        }
        ahead.iter().for_each(|part| text.push_str(part));
        text + &self.repeat_lines(body)
    }

    /// Repeats each line with an `@` for each of `SLOTS` tensors, and one with a `%` beside it for each of
    /// `MOMENTS`: a kernel takes pointers, not lists of them.
    fn repeat_lines(&self, body: &str) -> String {
        let count_of = |wanted: &str| {
            self.macros.iter().find(|(name, _)| *name == wanted).map_or(0, |(_, value)| *value)
        };
        let (slots, moments) = (count_of("SLOTS"), count_of("MOMENTS"));
        let mut text = String::new();
        for line in body.lines() {
            let of_slot = if line.contains('@') { slots } else { 1 };
            let of_moment = if of_slot > 1 && line.contains('%') { moments } else { 1 };
            for (slot, moment) in (0..of_slot).flat_map(|s| (0..of_moment).map(move |m| (s, m))) {
                if of_slot > 1 {
                    let numbered = line.replace('@', &slot.to_string());
                    text.push_str(&numbered.replace('%', &moment.to_string()));
                } else {
                    text.push_str(line);
                }
                text.push('\n');
            }
        }
        text
    }

    /// Launches as many blocks as `blocks` says; the kernel's parameters are `buffers` and the 4-byte
    /// `fields` of a structure.
    pub(super) fn launch_blocks(
        self,
        client: &Client,
        blocks: [usize; 3],
        buffers: &[&Handle],
        fields: &[i32],
    ) {
        let [x, y, z] = blocks.map(|count| u32::try_from(count).expect("grids fit the hardware"));
        let words = fields.chunks(2).map(|pair| {
            let high = pair.get(1).copied().unwrap_or(0);
            u64::from(pair[0].cast_unsigned()) | u64::from(high.cast_unsigned()) << 32
        });
        let words: Vec<u64> = words.collect();
        let all = words.len();
        let bindings = buffers.iter().map(|handle| (*handle).clone().binding()).collect();
        let arguments = KernelArguments::new()
            .with_buffers(bindings)
            .with_info(MetadataBindingInfo::new(words, all));
        client.launch(Box::new(self), CubeCount::Static(x, y, z), arguments);
    }
}

impl KernelMetadata for CudaKernel {
    fn name(&self) -> &'static str {
        self.file.source_parts().0
    }

    fn id(&self) -> KernelId {
        // The text is the program's own, so file and macros stand for it.
        let dim = CubeDim::new_1d(self.file.block_threads());
        KernelId::new::<Self>().info(self.clone()).cube_dim(dim.0)
    }

    fn address_type(&self) -> ElemType {
        UIntKind::U32.into()
    }
}

impl CubeKernel for CudaKernel {
    fn define(&self) -> KernelDefinition {
        let dim = CubeDim::new_1d(self.file.block_threads());
        let settings = KernelSettings::new(dim.0, ExecutionMode::Checked, AddressType::U32);
        KernelDefinition { body: Scope::root(settings.clone()), info: Info::default(), settings }
    }

    fn source(&self) -> Option<PrecompiledSource> {
        Some(PrecompiledSource {
            source: self.source_text(),
            entrypoint_name: self.file.source_parts().0.to_owned(),
            lang: "cuda",
        })
    }
}
