//! Launches of a norm and the activation behind it, forward and backward.

use burn::backend::DType;
use burn_cubecl::kernel::into_contiguous;
use burn_cubecl::tensor::CubeTensor;
use cubecl::client::Client;
use cubecl::server::Handle;
use cubecl::zspace::Shape;

use crate::nets::cuda::kernel::{CudaKernel, KernelFile};
use crate::nets::cuda::layout::{ChannelsLast, bf16_macro, to_field, volume_shape};
use crate::nets::operations::NormSettings;

/// Bytes of channels that a thread keeps to, and threads of a block.
const GRANULE: usize = 16;
const THREADS: usize = 256;

/// Channels of a group in `kernels/norm.cuh`, and of a voxel in f32 that `THREADS` read.
pub(super) const MOST_CHANNELS: usize = 1024;

/// Blocks that keep a large card busy.
const BLOCKS_WANTED: usize = 1056;

/// A norm's launches over one volume.
struct Passes {
    volume: ChannelsLast,
    fields: Vec<i32>,
    /// Blocks along a sample's voxels.
    stretches: usize,
    samples: usize,
    channels: usize,
    groups: usize,
}

impl Passes {
    fn new(volume: CubeTensor, settings: NormSettings) -> Self {
        let [samples, channels, d, h, w] = volume_shape(&volume);
        let volume = ChannelsLast::with_own_pitch(volume);
        let voxels = d * h * w;
        let rows = THREADS / (volume.pitch * volume.tensor.dtype.size() / GRANULE);
        // Several voxels a thread, or what belongs to a channel is fetched more often than voxels are.
        let stretch = voxels.div_ceil(BLOCKS_WANTED.div_ceil(samples)).next_multiple_of(8 * rows);
        let sizes = [samples, voxels, channels, settings.groups, volume.pitch, stretch];
        let mut fields: Vec<i32> = sizes.map(to_field).to_vec();
        fields
            .extend([settings.epsilon, settings.slope].map(|value| value.to_bits().cast_signed()));
        let stretches = voxels.div_ceil(stretch);
        Self { volume, fields, stretches, samples, channels, groups: settings.groups }
    }

    fn client(&self) -> &Client {
        &self.volume.tensor.client
    }

    fn allocate_floats(&self, count: usize) -> Handle {
        self.client().empty(count * size_of::<f32>())
    }

    /// Two numbers for each group of each sample.
    fn allocate_pairs(&self) -> Handle {
        self.allocate_floats(self.samples * self.groups * 2)
    }

    fn allocate_sums(&self) -> Handle {
        self.allocate_floats(self.samples * self.stretches * 2 * self.volume.pitch)
    }

    fn launch_kernel(
        &self,
        file: KernelFile,
        backward: Option<bool>,
        blocks: [usize; 2],
        buffers: &[&Handle],
    ) {
        let way = backward.map(|backward| ("BACKWARD", u32::from(backward)));
        let macros: Vec<_> =
            [bf16_macro(self.volume.tensor.dtype)].into_iter().chain(way).collect();
        let [x, y] = blocks;
        CudaKernel::new(file, &macros).launch_blocks(
            self.client(),
            [x, y, 1],
            buffers,
            &self.fields,
        );
    }

    fn over_volume(&self) -> [usize; 2] {
        [self.stretches, self.samples]
    }

    fn tensor(&self, handle: Handle, shape: Shape) -> CubeTensor {
        let device = self.volume.tensor.device.clone();
        CubeTensor::new_contiguous(self.client().clone(), device, shape, handle, DType::F32)
    }
}

/// Normalises `[b, c, d, h, w]`, f32 or bf16, scales and shifts by `weight` and `bias`, `[c]` in f32, and
/// applies the activation. Returns that and what the way back needs: mean and inverse deviation of
/// each group, `[b, groups, 2]`.
pub(in crate::nets) fn normalise(
    volume: CubeTensor,
    weight: CubeTensor,
    bias: CubeTensor,
    settings: NormSettings,
) -> (CubeTensor, CubeTensor) {
    let shape = volume_shape(&volume);
    let passes = Passes::new(volume, settings);
    let [weight, bias] = [weight, bias].map(into_contiguous);
    let x = &passes.volume.tensor.handle;
    let [sums, statistics] = [passes.allocate_sums(), passes.allocate_pairs()];
    let target = ChannelsLast::allocate(&passes.volume.tensor, shape);
    // What a way does not read, any buffer stands for.
    let [weight, bias] = [&weight.handle, &bias.handle];
    let buffers = [x, x, &statistics, weight, bias, &sums];
    passes.launch_kernel(KernelFile::NormSums, Some(false), passes.over_volume(), &buffers);
    let by_group = [passes.groups, passes.samples];
    passes.launch_kernel(KernelFile::NormStatistics, None, by_group, &[x, &sums, &statistics]);
    let buffers = [x, x, &statistics, &statistics, weight, bias, &target.tensor.handle];
    passes.launch_kernel(KernelFile::NormApply, Some(false), passes.over_volume(), &buffers);
    let of_groups = Shape::from([passes.samples, passes.groups, 2]);
    (target.tensor, passes.tensor(statistics, of_groups))
}

/// Computes the gradients of a norm's volume, weight and bias, from that of what is behind its activation.
pub(in crate::nets) fn norm_gradients(
    volume: CubeTensor,
    slopes: CubeTensor,
    weight: CubeTensor,
    bias: CubeTensor,
    statistics: CubeTensor,
    settings: NormSettings,
) -> (CubeTensor, CubeTensor, CubeTensor) {
    let shape = volume_shape(&volume);
    let passes = Passes::new(volume, settings);
    let slopes = ChannelsLast::with_own_pitch(slopes);
    let [weight, bias, statistics] = [weight, bias, statistics].map(into_contiguous);
    let [x, slope] = [&passes.volume.tensor.handle, &slopes.tensor.handle];
    let [sums, means] = [passes.allocate_sums(), passes.allocate_pairs()];
    let of_channels = || passes.allocate_floats(passes.channels);
    let [of_weight, of_bias] = [of_channels(), of_channels()];
    let target = ChannelsLast::allocate(&passes.volume.tensor, shape);
    let [weight, bias, statistics] = [&weight.handle, &bias.handle, &statistics.handle];
    let buffers = [x, slope, statistics, weight, bias, &sums];
    passes.launch_kernel(KernelFile::NormSums, Some(true), passes.over_volume(), &buffers);
    let buffers = [&sums, weight, &means, &of_weight, &of_bias];
    passes.launch_kernel(KernelFile::NormGradientStatistics, None, [passes.groups, 1], &buffers);
    let buffers = [x, slope, statistics, &means, weight, bias, &target.tensor.handle];
    passes.launch_kernel(KernelFile::NormApply, Some(true), passes.over_volume(), &buffers);
    let by_channel = || Shape::from([passes.channels]);
    let of_weight = passes.tensor(of_weight, by_channel());
    let of_bias = passes.tensor(of_bias, by_channel());
    (target.tensor, of_weight, of_bias)
}

/// Sums each channel of `[b, c, d, h, w]` over samples and voxels, to `[c]` in f32.
pub(super) fn channel_sums(volume: CubeTensor) -> CubeTensor {
    let unused = NormSettings { groups: 1, epsilon: 0.0, slope: 1.0 };
    let passes = Passes::new(volume, unused);
    let sums = passes.allocate_sums();
    let gradient = passes.allocate_floats(passes.channels);
    let x = &passes.volume.tensor.handle;
    passes.launch_kernel(KernelFile::ChannelSums, None, passes.over_volume(), &[x, &sums]);
    let blocks = [passes.channels.div_ceil(4), 1];
    passes.launch_kernel(KernelFile::AddChannelSums, None, blocks, &[&sums, &gradient]);
    passes.tensor(gradient, Shape::from([passes.channels]))
}
