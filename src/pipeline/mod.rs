//! Floor 5: the stages and their topologies. They connect files ([`crate::brats`]), case files
//! ([`crate::cache`]) and actors ([`crate::actor`]), which do not know one another.

mod annotations;
mod arrivals;
pub mod augment;
mod bottleneck;
mod budget;
mod case_handle;
pub mod cold;
pub mod collate;
mod crop;
mod current_case;
mod decode;
mod donor_order;
mod drill;
mod fetch;
pub mod files;
pub mod ingest;
mod label_mixture;
pub mod loader;
mod normalize;
pub mod observe;
mod plan;
mod prefetch_ingest;
pub mod progress_watch;
pub mod publish;
mod recovery;
mod replay;
mod sample;
mod stage_order;
pub mod whole_case;
mod workers;

pub use annotations::Annotations;
pub use arrivals::Arrivals;
pub use bottleneck::{
    Bottleneck, BottleneckVerdict, CpuUsage, diagnose_beside_ingest, diagnose_run, diagnose_span,
};
pub use budget::{Footprint, LoaderConfig, LoaderMemory, LoaderWorkers};
pub use case_handle::{CaseHandle, OwnedCase};
pub use crop::{Crop, CropConfig};
pub use current_case::find_current_case;
pub use decode::{Decode, DecodedCase, decode_case, stat_files};
pub use drill::DrillConfig;
pub use fetch::{Fetch, FetchedSample};
pub use normalize::Normalize;
pub use plan::{Plan, PlannedSample, SamplePlanner};
pub use prefetch_ingest::{OnArrival, PrefetchIngest, PrefetchIngestParts};
pub use recovery::CaseRecovery;
pub use replay::{ReplayedSample, replay_sample, write_sample_arrays};
pub use sample::{Batch, DrawnSample, Provenance, Sample};
pub use workers::WorkerPlan;
