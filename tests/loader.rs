//! The real loader on real files: phantoms written as NIfTI, case files mapped, actors running.
//! Exact back-pressure, the same batches whatever the machine does, voxels that an independent
//! reference computes too, and misfortune that neither hangs nor vanishes.

mod ahead;
mod annotated;
mod buffers;
mod drained;
mod ingested;
mod misfortune;
mod mixed;
mod patches;
mod reference;
mod repair;
mod replayed;
mod same;
mod setting;
mod share;
mod shrunk;
mod stalled;
mod whole;
