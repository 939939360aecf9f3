//! Buffers for the volumes of a case. At 72 MB a case, new memory costs as much in page faults as
//! inflating the files does.

use crate::buffers::BufferPool;
use crate::volume::{Case, Modality, Voxels};

/// Buffer pools for the decoding and preprocessing of cases. Clones share the pools, so that one
/// stage gives back what another has taken.
#[derive(Debug, Clone)]
pub struct CaseBuffers {
    /// Whole files, stored voxels, labels.
    pub bytes: BufferPool<u8>,
    /// Volumes.
    pub intensities: BufferPool<i16>,
    /// Volumes of all modalities, interleaved.
    pub interleaved: BufferPool<[i16; Modality::COUNT]>,
}

impl Default for CaseBuffers {
    /// Buffers for two cases: one is read while another is prepared.
    fn default() -> Self {
        Self::for_cases(2)
    }
}

impl CaseBuffers {
    /// Creates pools for `cases` cases at once; a case of BraTS keeps 125 MB.
    pub fn for_cases(cases: usize) -> Self {
        Self {
            // A file, its stored voxels, the labels, the labels of the brain box.
            bytes: BufferPool::new(4 * cases),
            intensities: BufferPool::new(Modality::COUNT * cases),
            interleaved: BufferPool::new(cases),
        }
    }

    /// Takes back the volumes and labels of a case. Floating-point volumes are rare and not kept.
    pub fn give_back_case(&self, case: Case) {
        for voxels in case.images {
            if let Voxels::I16(values) = voxels {
                self.intensities.give_back(values.into_buffer());
            }
        }
        for bytes in [case.labels, case.mask].into_iter().flatten() {
            self.bytes.give_back(bytes);
        }
    }
}
