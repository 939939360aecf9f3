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
const CHANNELS: &str = include_str!("kernels/channels.cuh");
const NORM: &str = include_str!("kernels/norm.cuh");
const DENSE: &str = include_str!("kernels/dense.cuh");
const SQUARED_ERROR: &str = include_str!("kernels/squared_error.cuh");

/// Declares the files in `kernels/`: name, which is the kernel's, too, threads of a block, as the kernel's bounds
/// say, and what comes ahead of the file.
macro_rules! kernel_files {
    ($($variant:ident, $name:literal, $threads:literal, [$($ahead:ident),*];)*) => {
        /// File in `kernels/`.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub(super) enum KernelFile {
            $($variant,)*
        }

        impl KernelFile {
            const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                }
            }

            /// Texts ahead of the file, and the file.
            const fn source_parts(self) -> (&'static [&'static str], &'static str) {
                match self {
                    $(Self::$variant => {
                        (&[$($ahead),*], include_str!(concat!("kernels/", $name, ".cu")))
                    })*
                }
            }

            const fn block_threads(self) -> u32 {
                match self {
                    $(Self::$variant => $threads,)*
                }
            }
        }
    };
}

kernel_files! {
    AddChannelSums, "add_channel_sums", 128, [ELEMENTS, NORM];
    AddKernelParts, "add_kernel_parts", 256, [ELEMENTS, LATTICE];
    AddParts, "add_parts", 256, [ELEMENTS, LATTICE];
    ChannelSums, "channel_sums", 256, [ELEMENTS, NORM];
    Concatenate, "concatenate", 256, [ELEMENTS, CHANNELS];
    ConvertChannels, "convert_channels", 256, [ELEMENTS, CHANNELS];
    Correlate, "correlate", 128, [ELEMENTS, TENSOR_CORES, LATTICE];
    Dense, "dense", 256, [ELEMENTS, DENSE];
    DenseInputGradient, "dense_input_gradient", 256, [ELEMENTS, DENSE];
    DenseWeightGradient, "dense_weight_gradient", 256, [ELEMENTS, DENSE];
    DropValues, "drop_values", 256, [ELEMENTS, CHANNELS];
    GradientNorm, "gradient_norm", 256, [];
    GradientSquares, "gradient_squares", 256, [];
    GroupMax, "group_max", 256, [ELEMENTS, CHANNELS];
    GroupMaxGradient, "group_max_gradient", 256, [ELEMENTS, CHANNELS];
    KernelGradient, "kernel_gradient", 128, [ELEMENTS, TENSOR_CORES, LATTICE];
    LayOutImages, "lay_out_images", 256, [ELEMENTS, CHANNELS];
    MaxPool, "max_pool", 256, [ELEMENTS, VOLUME];
    MaxPoolGradient, "max_pool_gradient", 256, [ELEMENTS, VOLUME];
    MeanPool, "mean_pool", 256, [ELEMENTS, VOLUME];
    MeanPoolGradient, "mean_pool_gradient", 256, [ELEMENTS, VOLUME];
    NormApply, "norm_apply", 256, [ELEMENTS, NORM];
    NormGradientStatistics, "norm_gradient_statistics", 128, [ELEMENTS, NORM];
    NormStatistics, "norm_statistics", 128, [ELEMENTS, NORM];
    NormSums, "norm_sums", 256, [ELEMENTS, NORM];
    PackKernel, "pack_kernel", 256, [ELEMENTS, LATTICE];
    RegionGradient, "region_gradient", 256, [REGION_LOSS];
    RegionScores, "region_scores", 256, [REGION_LOSS];
    RegionSums, "region_sums", 256, [REGION_LOSS];
    SquaredError, "squared_error", 32, [ELEMENTS, SQUARED_ERROR];
    SquaredErrorGradient, "squared_error_gradient", 256, [ELEMENTS, SQUARED_ERROR];
    SquaredErrorSums, "squared_error_sums", 256, [ELEMENTS, SQUARED_ERROR];
    TakeChannels, "take_channels", 256, [ELEMENTS, CHANNELS];
    ToChannelsLast, "to_channels_last", 256, [ELEMENTS];
    UpdateParameters, "update_parameters", 256, [];
    Upsample, "upsample", 256, [ELEMENTS, VOLUME];
    UpsampleGradient, "upsample_gradient", 256, [ELEMENTS, VOLUME];
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
        let (ahead, body) = self.file.source_parts();
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
        self.file.name()
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
            entrypoint_name: self.file.name().to_owned(),
            lang: "cuda",
        })
    }
}
