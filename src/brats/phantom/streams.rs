//! Random streams, one per structure and purpose, so that a change to one never shifts another.

use crate::base::{Domain, KeyedRng, SampleKey};

/// Purpose of a stream of [`Domain::Phantom`]. The numbers are part of the generator.
#[derive(Debug, Clone, Copy)]
pub(super) enum Stream {
    Skull = 1,
    Cortex = 2,
    Cerebellum = 3,
    Midline = 4,
    Ventricles = 5,
    TumourSite = 6,
    TumourGrowth = 7,
    TumourCore = 8,
    Lesions = 9,
    Vessels = 10,
    Contrast = 11,
    Bias = 12,
    Texture = 13,
    Receiver = 14,
}

/// The draws of one case.
#[derive(Debug, Clone, Copy)]
pub(super) struct PhantomRng(SampleKey);

impl PhantomRng {
    /// Random streams of case `index` under `seed`.
    pub(super) const fn new(seed: u64, index: u64) -> Self {
        Self(SampleKey { seed, epoch: 0, index })
    }

    /// Generator of one purpose, from its start.
    pub(super) fn stream(self, stream: Stream) -> KeyedRng {
        KeyedRng::new(self.0, Domain::Phantom).with_stream(stream as u64)
    }
}
