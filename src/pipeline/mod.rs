//! Floor 5: the stages and their topologies. They connect files ([`crate::brats`]), case files
//! ([`crate::cache`]) and actors ([`crate::actor`]), which do not know one another.

pub mod annotations;
pub mod arrivals;
pub mod augment;
pub mod bottleneck;
pub mod budget;
pub mod case_handle;
pub mod cold;
pub mod collate;
pub mod crop;
pub mod decode;
pub mod drill;
pub mod fetch;
pub mod files;
pub mod ingest;
mod label_mixture;
pub mod loader;
pub mod normalize;
pub mod observe;
pub mod plan;
pub mod prefetch_ingest;
pub mod progress_watch;
pub mod publish;
pub mod recovery;
pub mod replay;
pub mod sample;
pub mod whole_case;
pub mod workers;
