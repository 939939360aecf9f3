//! Floor 1: metric names and clocks. Knows what a metric is called, not what it means for a run.

pub mod meter;
