//! Floor 1: metric names and clocks, and what libraries log. Knows what a metric is called, not what it
//! means for a run.

mod announcement;
pub mod backend_log;
pub mod catalog;
mod connections;
mod endpoint;
mod exporter;
mod exposition;
pub mod gpu;
pub mod health;
mod host_names;
mod memory;
mod meter;
mod metric;
pub mod process;
mod recorder;
mod routes;
mod scrapes;
mod shown_run;
mod target_file;

pub use announcement::Announcement;
pub use connections::MAX_CONNECTIONS;
pub use endpoint::{Endpoint, INSTANCE_HEADER};
pub use exporter::{Exporter, MetricsAddress};
pub use exposition::Scrape;
pub use memory::PeakMemoryMonitor;
pub use meter::{Activity, Meter, MeterReader, record_starved};
pub use metric::{Family, Metric, MetricHandle, MetricKind, Unit};
pub use recorder::Recorder;
pub use shown_run::{DescribeHistory, ShownRun};
