//! Floor 3: the stages, and the topologies made of them. This floor introduces the siblings below
//! to one another: files ([`crate::brats`]), case files ([`crate::cache`]) and threads
//! ([`crate::actor`]).

pub mod ahead;
pub mod annotations;
pub mod arrivals;
pub mod augment;
pub mod budget;
pub mod cold;
pub mod collate;
pub mod crop;
pub mod decode;
pub mod drill;
pub mod fetch;
pub mod files;
pub mod handle;
pub mod ingest;
pub mod lent;
pub mod loader;
mod mix;
pub mod normalize;
pub mod observe;
pub mod plan;
pub mod publish;
pub mod recycle;
pub mod replay;
pub mod sample;
pub mod verdict;
pub mod whole;
pub mod workers;
