//! Passes over volumes on the CPU, in f32: norms with the activation behind them, pooling and up-sampling by two.
//!
//! Values are written where a volume's own lie if nothing else needs those. No value depends on the number of threads, nor
//! on the processor: sums have lanes of their own, whatever the length of a vector.

use burn::backend::TensorMetadata;
use burn::tensor::{DType, Device, Tensor, TensorData};
use burn_flex::FlexTensor;

mod moments;
pub(super) mod norm;
pub(super) mod pooling;
pub(super) mod sigmoid;
pub(super) mod upsampling;

/// Values that a thread works on at a time, and fewer at the end of a channel.
const PIECE: usize = 1 << 16;

/// True where these passes compute: on the CPU, in f32.
pub(super) fn computes<const D: usize>(tensor: &Tensor<D>) -> bool {
    tensor.dtype() == DType::F32 && tensor.device().without_autodiff() == Device::flex()
}

/// Volume `[b, c, d, h, w]` with its values one after the other.
struct ContiguousVolume {
    tensor: FlexTensor,
    shape: [usize; 5],
}

impl ContiguousVolume {
    fn new(tensor: FlexTensor) -> Self {
        // `to_contiguous` of what is contiguous shares its memory, which is no longer its own then.
        let tensor = if tensor.is_contiguous() { tensor } else { tensor.to_contiguous() };
        let shape = tensor.shape();
        Self { shape: std::array::from_fn(|axis| shape[axis]), tensor }
    }

    fn values(&self) -> &[f32] {
        self.tensor.as_slice().expect("it is contiguous, and of f32")
    }

    /// Extents of a channel.
    fn extent(&self) -> [usize; 3] {
        let [.., d, h, w] = self.shape;
        [d, h, w]
    }

    /// Voxels of a channel.
    fn voxel_count(&self) -> usize {
        self.extent().iter().product()
    }

    /// Samples times channels.
    fn channel_count(&self) -> usize {
        self.shape[0] * self.shape[1]
    }

    /// Values, to be written over, where nothing else reads them.
    fn own_values(&mut self) -> Option<&mut [f32]> {
        let (start, end) = self.tensor.layout().contiguous_offsets()?;
        Some(&mut self.tensor.try_storage_mut()?[start..end])
    }
}

/// Makes a tensor `[b, c, ...]` of the samples and channels of `like`.
fn volume_of(values: Vec<f32>, like: &ContiguousVolume, [d, h, w]: [usize; 3]) -> FlexTensor {
    let [b, c, ..] = like.shape;
    FlexTensor::from_data(TensorData::new(values, [b, c, d, h, w]))
}

/// Values `[c]` or `[b, c, 2]` of a small tensor.
fn small_values(tensor: &FlexTensor) -> Vec<f32> {
    tensor.to_contiguous().as_slice().expect("parameters and statistics are f32").to_vec()
}
