//! Volumes as the kernels keep them: `[b, d, h, w, c]` in memory under the shape `[b, c, d, h, w]`, so
//! that all of a voxel's channels are read at once.

use burn::backend::{DType, TensorMetadata};
use burn_cubecl::tensor::CubeTensor;
use cubecl::zspace::metadata::Metadata;
use cubecl::zspace::{Shape, Strides};

use crate::nets::cuda::kernel::{CudaKernel, KernelFile};

/// Bytes that a voxel's channels are padded to: the longest read of a thread.
const LONGEST_READ: usize = 16;

/// Threads of a block that write 16 bytes each.
const GRANULE_THREADS: usize = 256;

/// Volume whose channels lie together.
#[derive(Clone)]
pub(super) struct ChannelsLast {
    pub(super) tensor: CubeTensor,
    /// Elements from voxel to voxel.
    pub(super) pitch: usize,
}

impl ChannelsLast {
    /// Allocates a volume `[b, c, d, h, w]`, its values whatever was there.
    pub(super) fn allocate(like: &CubeTensor, shape: [usize; 5]) -> Self {
        Self::allocate_as(like, shape, like.dtype)
    }

    /// [`Self::allocate`] with elements of another type.
    pub(super) fn allocate_as(like: &CubeTensor, shape: [usize; 5], dtype: DType) -> Self {
        let [b, c, d, h, w] = shape;
        let pitch = padded_channels(c, dtype.size());
        let bytes = b * d * h * w * pitch * dtype.size();
        let metadata =
            Metadata::new(Shape::from(shape), Strides::new(&volume_strides(shape, pitch)));
        let handle = like.client.empty(paired_bytes(bytes));
        let (client, device) = (like.client.clone(), like.device.clone());
        Self { tensor: CubeTensor::new(client, handle, metadata, device, dtype), pitch }
    }

    /// Takes a volume `[b, c, d, h, w]` as it is if its channels lie together and each voxel can be read
    /// 16 bytes at once, and lays it out anew otherwise.
    pub(super) fn from_tensor(tensor: CubeTensor) -> Self {
        Self::with_pitch(tensor, |pitch, channels| pitch >= channels)
    }

    /// Like [`Self::from_tensor`], with the pitch of a volume allocated here: for kernels that know one
    /// pitch for all of their volumes. Some channels of a wider volume have another.
    pub(super) fn with_own_pitch(tensor: CubeTensor) -> Self {
        let width = tensor.dtype.size();
        Self::with_pitch(tensor, |pitch, channels| pitch == padded_channels(channels, width))
    }

    fn with_pitch(tensor: CubeTensor, is_wanted: impl Fn(usize, usize) -> bool) -> Self {
        let shape = volume_shape(&tensor);
        let given = strides_of(&tensor);
        let pitch = given[4];
        let bytes = (pitch * tensor.dtype.size()) as u64 | tensor.handle.offset_start.unwrap_or(0);
        let is_aligned = bytes.is_multiple_of(LONGEST_READ as u64);
        if is_aligned && is_wanted(pitch, shape[1]) && given == volume_strides(shape, pitch) {
            return Self { tensor, pitch };
        }
        let laid_out = Self::allocate(&tensor, shape);
        let [b, c, d, h, w] = shape;
        let sizes = [d, h, w, b, c].into_iter().chain(given).chain([laid_out.pitch]);
        let fields: Vec<i32> = sizes.map(to_field).collect();
        let kernel = CudaKernel::new(KernelFile::ToChannelsLast, &[bf16_macro(tensor.dtype)]);
        let blocks = [(d * h * w).div_ceil(32), laid_out.pitch.div_ceil(32), b];
        let buffers = [&tensor.handle, &laid_out.tensor.handle];
        kernel.launch_blocks(&tensor.client, blocks, &buffers, &fields);
        laid_out
    }
}

/// Launches a thread for each 16 bytes of `target`; the kernel's structure is its voxels, `fields` and its pitch.
pub(super) fn launch_over_granules(
    file: KernelFile,
    sources: &[&CubeTensor],
    target: &ChannelsLast,
    fields: &[usize],
) {
    let [b, _, d, h, w] = volume_shape(&target.tensor);
    let dtype = target.tensor.dtype;
    let voxels = b * d * h * w;
    let granules = voxels * (target.pitch * dtype.size() / LONGEST_READ);
    let fields = [&[voxels], fields, &[target.pitch]].concat();
    let fields: Vec<i32> = fields.into_iter().map(to_field).collect();
    let buffers: Vec<_> =
        sources.iter().map(|source| &source.handle).chain([&target.tensor.handle]).collect();
    let blocks = [granules.div_ceil(GRANULE_THREADS), 1, 1];
    let kernel = CudaKernel::new(file, &[bf16_macro(dtype)]);
    kernel.launch_blocks(&target.tensor.client, blocks, &buffers, &fields);
}

/// Bytes to ask for: up to an eighth more, if that makes a power of two. CubeCL's pool makes pages as large as
/// the largest volume so far, and such a page then holds two volumes of half as many channels.
fn paired_bytes(bytes: usize) -> usize {
    let power = bytes.next_power_of_two();
    if (power - bytes) * 8 <= power { power } else { bytes }
}

/// Channels with their padding, of elements of `width` bytes.
fn padded_channels(channels: usize, width: usize) -> usize {
    channels.next_multiple_of(LONGEST_READ / width)
}

fn volume_strides([_, _, d, h, w]: [usize; 5], pitch: usize) -> [usize; 5] {
    [d * h * w * pitch, 1, h * w * pitch, w * pitch, pitch]
}

/// The shape `[b, c, d, h, w]`.
pub(super) fn volume_shape(tensor: &CubeTensor) -> [usize; 5] {
    let shape = tensor.shape();
    std::array::from_fn(|axis| shape[axis])
}

/// Elements along the axes of `[b, c, d, h, w]`.
pub(super) fn strides_of(tensor: &CubeTensor) -> [usize; 5] {
    let strides = tensor.meta.strides();
    std::array::from_fn(|axis| strides[axis])
}

/// The macro that says which elements volumes have.
pub(super) fn bf16_macro(dtype: DType) -> (&'static str, u32) {
    ("BF16", u32::from(dtype == DType::BF16))
}

/// A size as kernels take it.
///
/// # Panics
/// If it has more than 31 bits: kernels count elements in `int`.
pub(super) fn to_field(size: usize) -> i32 {
    i32::try_from(size).expect("a volume has fewer than 2^31 elements")
}
