//! Utilisation of the GPUs over the life of a process, in a bounded number of points, for the live page:
//! a run's journal has no figures of the GPU.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use parking_lot::Mutex;
use serde_json::{Value, json};

use super::GpuReading;

/// Most points of a GPU. One more, and neighbours are averaged.
const POINTS: usize = 1024;

/// Utilisation over time of every GPU; clones share it.
#[derive(Debug, Clone, Default)]
pub struct GpuHistory(Arc<Mutex<BTreeMap<String, UtilizationLine>>>);

/// Means over spans of equally many readings; only the last span may have fewer.
#[derive(Debug)]
struct UtilizationLine {
    /// Readings of a whole span.
    span: u64,
    /// Time of the last reading in seconds since the Unix epoch, sum of the readings, their number.
    points: Vec<(f64, f64, u64)>,
}

impl GpuHistory {
    /// Adds the readings of this moment; those without a utilisation are left out.
    pub fn add_readings(&self, readings: &[GpuReading]) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
        let mut lines = self.0.lock();
        for reading in readings {
            let Some(value) = reading.utilization else { continue };
            let line = lines
                .entry(reading.gpu.clone())
                .or_insert_with(|| UtilizationLine { span: 1, points: Vec::new() });
            line.add_value(now, value);
        }
    }

    /// Times and mean utilisations by GPU.
    pub(in super::super) fn to_json(&self) -> Value {
        let lines = self.0.lock();
        let described = lines.iter().map(|(gpu, line)| {
            let times: Vec<f64> = line.points.iter().map(|(time, ..)| time.round()).collect();
            let mean =
                |(_, sum, count): &(f64, f64, u64)| (sum / *count as f64 * 1e4).round() / 1e4;
            let values: Vec<f64> = line.points.iter().map(mean).collect();
            json!({ "gpu": gpu, "time": times, "utilization": values })
        });
        described.collect()
    }
}

impl UtilizationLine {
    fn add_value(&mut self, time: f64, value: f64) {
        match self.points.last_mut() {
            Some((last, sum, count)) if *count < self.span => {
                (*last, *sum, *count) = (time, *sum + value, *count + 1);
            }
            _ => self.points.push((time, value, 1)),
        }
        if self.points.len() > POINTS {
            let pairs = self.points.chunks(2).map(|pair| {
                pair.iter()
                    .fold((0.0, 0.0, 0), |sum, point| (point.0, sum.1 + point.1, sum.2 + point.2))
            });
            self.points = pairs.collect();
            self.span *= 2;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_history_keeps_its_mean_in_few_points() {
        let history = GpuHistory::default();
        let reading =
            |utilization| GpuReading { gpu: "0".into(), utilization, ..Default::default() };
        for number in 0..5000 {
            history.add_readings(&[reading(Some(f64::from(u8::from(number % 4 == 0))))]);
        }
        history.add_readings(&[reading(None)]);
        let described = history.to_json();
        let values: Vec<f64> = serde_json::from_value(described[0]["utilization"].clone()).unwrap();
        assert!((POINTS / 2..=POINTS).contains(&values.len()), "{}", values.len());
        assert!(values.iter().all(|value| *value == 0.25), "{values:?}");
        assert_eq!(described[0]["time"].as_array().unwrap().len(), values.len());
    }
}
