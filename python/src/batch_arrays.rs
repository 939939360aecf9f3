//! Arrays of a batch, as Python asked for them. What needs no other form keeps its memory.

use gliaflow::internals::buffers::{BatchBuffer, BufferPool};
use gliaflow::internals::volume::{Dims, Modality, RunChannels, label};
use half::f16;
use half::slice::HalfFloatSliceExt;
use serde::Deserialize;

use crate::array::Array;
use crate::pooled::PooledBuffer;

/// Batch buffers kept for reuse, as in the loader.
const BUFFERS_KEPT: usize = 8;

/// Value of a region in voxels that count in no loss and no score.
const IGNORED: f32 = -1.0;

/// Type of image values.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum ImageType {
    Float16,
    Float32,
}

/// Content of the label array.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum LabelContent {
    /// Canonical labels, `[b, 1, d, h, w]` as bytes.
    Labels,
    /// Membership of the regions, `[b, k, d, h, w]` as f32.
    Regions,
}

/// Form of a batch's arrays, with the pools of those that the loader does not have.
#[derive(Debug)]
pub(crate) struct BatchForm {
    image: ImageType,
    label: LabelContent,
    channels: RunChannels,
    halves: BufferPool<f16>,
    singles: BufferPool<f32>,
    regions: BufferPool<f32>,
}

impl BatchForm {
    pub(crate) fn new(image: ImageType, label: LabelContent, channels: RunChannels) -> Self {
        Self {
            image,
            label,
            channels,
            halves: BufferPool::new(BUFFERS_KEPT),
            singles: BufferPool::new(BUFFERS_KEPT),
            regions: BufferPool::new(BUFFERS_KEPT),
        }
    }

    /// Array of images `[b, c, d, h, w]` with the dataset's modalities, of images with all of them.
    pub(crate) fn image_array(&self, images: BatchBuffer<f16>, dims: Dims) -> Array {
        let modalities = self.channels.modalities;
        let Dims([d, h, w]) = dims;
        let samples = images.len() / (Modality::COUNT * dims.voxel_count());
        let shape = [samples, modalities.len(), d, h, w];
        if modalities.is_all() {
            return match self.image {
                ImageType::Float16 => Array::new(images, &shape),
                ImageType::Float32 => Array::new(self.to_singles(&images), &shape),
            };
        }
        let chosen = self.select_modalities(&images, dims);
        match self.image {
            ImageType::Float16 => Array::new(chosen, &shape),
            ImageType::Float32 => Array::new(self.to_singles(&chosen), &shape),
        }
    }

    fn select_modalities(&self, images: &[f16], dims: Dims) -> PooledBuffer<f16> {
        let modalities = self.channels.modalities;
        let voxels = dims.voxel_count();
        let count = images.len() / Modality::COUNT * modalities.len();
        let mut chosen = PooledBuffer::with_room(self.halves.clone(), count);
        for sample in images.chunks_exact(Modality::COUNT * voxels) {
            for modality in modalities.iter() {
                chosen.extend_from_slice(&sample[modality.index() * voxels..][..voxels]);
            }
        }
        chosen
    }

    fn to_singles(&self, images: &[f16]) -> PooledBuffer<f32> {
        // In chunks of the first cache: resizing first would write all of it twice.
        let mut chunk = [0.0; 4096];
        let mut singles = PooledBuffer::with_room(self.singles.clone(), images.len());
        for halves in images.chunks(chunk.len()) {
            let converted = &mut chunk[..halves.len()];
            halves.convert_to_f32_slice(converted);
            singles.extend_from_slice(converted);
        }
        singles
    }

    /// Array of canonical labels `[b, d, h, w]` as Python asked for it.
    pub(crate) fn label_array(&self, labels: BatchBuffer<u8>, dims: Dims) -> Array {
        let Dims([d, h, w]) = dims;
        let samples = labels.len() / dims.voxel_count();
        match self.label {
            LabelContent::Labels => Array::new(labels, &[samples, 1, d, h, w]),
            LabelContent::Regions => {
                let shape = [samples, self.channels.regions.len(), d, h, w];
                Array::new(self.to_regions(&labels, dims), &shape)
            }
        }
    }

    fn to_regions(&self, labels: &[u8], dims: Dims) -> PooledBuffer<f32> {
        let regions = self.channels.regions;
        let mut members =
            PooledBuffer::with_room(self.regions.clone(), labels.len() * regions.len());
        let tables: Vec<[f32; 256]> = regions
            .iter()
            .map(|region| {
                std::array::from_fn(|value| match value as u8 {
                    label::IGNORE => IGNORED,
                    own => f32::from(region.contains(own)),
                })
            })
            .collect();
        for sample in labels.chunks_exact(dims.voxel_count()) {
            for table in &tables {
                members.extend(sample.iter().map(|own| table[usize::from(*own)]));
            }
        }
        members
    }
}
