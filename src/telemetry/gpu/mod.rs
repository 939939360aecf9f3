//! The `gpu_*` metrics: readings of the GPUs of this machine, once a second, where there are any.
//!
//! A machine without a GPU, a driver or its library shows nothing and warns of nothing. A figure
//! that a GPU does not report is absent; the others are there.

use std::sync::Arc;
use std::time::Duration;

use super::catalog;

mod history;
mod nvml;
pub use history::GpuHistory;
pub use nvml::Nvml;

/// Interval between readings: the driver's own window for the utilisation is up to a second.
const PERIOD: Duration = Duration::from_secs(1);

/// State of one GPU at one moment; figures that it does not report are absent.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct GpuReading {
    /// GPU index, as `nvidia-smi` counts.
    pub gpu: String,
    /// Share of the driver's last window in which a kernel ran, 0 to 1.
    pub utilization: Option<f64>,
    /// Share of the time since the last reading in which tensor cores were at work, 0 to 1.
    pub tensor_utilization: Option<f64>,
    /// Device memory in use by all processes, and all of it, in bytes.
    pub memory: Option<[u64; 2]>,
    /// Power draw in watts.
    pub watts: Option<f64>,
    /// Core temperature in degrees Celsius.
    pub celsius: Option<f64>,
    /// Clock of the streaming multiprocessors in hertz.
    pub hertz: Option<f64>,
    /// Bytes a second that the GPU sends over PCIe.
    pub pcie_sent: Option<f64>,
    /// Bytes a second that the GPU receives over PCIe.
    pub pcie_received: Option<f64>,
}

/// GPUs of a machine.
pub trait GpuDevices: Send + Sync + 'static {
    /// Reads each GPU that answers.
    fn read_gpus(&self) -> Vec<GpuReading>;
}

/// Sets the `gpu_*` metrics.
pub fn publish_readings(readings: &[GpuReading]) {
    for reading in readings {
        let gpu = reading.gpu.as_str();
        let [used, total] =
            reading.memory.map_or([None; 2], |bytes| bytes.map(|count| Some(count as f64)));
        let gauges = [
            (&catalog::GPU_UTILIZATION, reading.utilization),
            (&catalog::GPU_TENSOR_UTILIZATION, reading.tensor_utilization),
            (&catalog::GPU_MEMORY_USED, used),
            (&catalog::GPU_MEMORY_TOTAL, total),
            (&catalog::GPU_POWER, reading.watts),
            (&catalog::GPU_TEMPERATURE, reading.celsius),
            (&catalog::GPU_CLOCK, reading.hertz),
        ];
        for (gauge, value) in gauges {
            if let Some(value) = value {
                gauge.with_labels([gpu]).set(value);
            }
        }
        for (direction, value) in
            catalog::PCIE_DIRECTIONS.iter().zip([reading.pcie_sent, reading.pcie_received])
        {
            if let Some(value) = value {
                catalog::GPU_PCIE.with_labels([gpu, direction]).set(value);
            }
        }
    }
}

/// Reads the GPUs every second, for the metrics and for `history`, for as long as the runtime lives, on a blocking thread: a driver may
/// take its time. Where `open` finds no GPU, it ends.
pub fn publish_regularly<C: GpuDevices>(
    runtime: &tokio::runtime::Handle,
    history: GpuHistory,
    open: impl FnOnce() -> Option<C> + Send + 'static,
) {
    runtime.spawn(async move {
        let Ok(Some(gpus)) = tokio::task::spawn_blocking(open).await else { return };
        let gpus = Arc::new(gpus);
        let mut ticks = tokio::time::interval(PERIOD);
        // A driver that was late is asked again a second later, not at once for all that was missed.
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let asked = Arc::clone(&gpus);
            let history = history.clone();
            let publish = move || {
                let readings = asked.read_gpus();
                publish_readings(&readings);
                history.add_readings(&readings);
            };
            let read = tokio::task::spawn_blocking(publish).await;
            if read.is_err() {
                return;
            }
        }
    });
}

#[cfg(test)]
mod tests {
    use super::super::exposition::Scrape;
    use super::super::recorder::Recorder;
    use super::*;

    const RECORDED: &str = include_str!("../../../tests/fixtures/dashboards/gpu.prom");

    /// The reading behind the recorded scrape that the dashboards are shown to work on.
    fn loaded() -> GpuReading {
        GpuReading {
            gpu: "0".into(),
            utilization: Some(0.94),
            tensor_utilization: Some(0.41),
            memory: Some([38_654_705_664, 85_520_809_984]),
            watts: Some(412.7),
            celsius: Some(58.0),
            hertz: Some(1.755e9),
            pcie_sent: Some(2.1e7),
            pcie_received: Some(1.342e9),
        }
    }

    /// The lines of `gpu_*` samples.
    fn shown(text: &str) -> Vec<&str> {
        text.lines().filter(|line| line.starts_with("gpu_")).collect()
    }

    #[test]
    fn a_reading_shows_as_the_scrape_that_the_dashboards_are_tested_with() {
        let recorder = Recorder::new("recorded");
        recorder.within(|| publish_readings(&[loaded()]));
        assert_eq!(shown(&recorder.render()), shown(RECORDED));
    }

    #[test]
    fn what_a_card_does_not_know_is_absent_and_cards_are_told_apart() {
        let recorder = Recorder::new("two");
        let cool = GpuReading { gpu: "1".into(), celsius: Some(31.0), ..GpuReading::default() };
        recorder.within(|| publish_readings(&[loaded(), cool]));
        let scrape = Scrape::parse(&recorder.render()).unwrap();
        let temperature = scrape.values_by_label("gpu_temperature_celsius", "gpu");
        assert_eq!(temperature, [("0", 58.0), ("1", 31.0)]);
        assert_eq!(scrape.values_by_label("gpu_power_watts", "gpu"), [("0", 412.7)]);
    }

    #[test]
    fn a_machine_without_cards_registers_nothing() {
        let recorder = Recorder::new("none");
        recorder.within(|| publish_readings(&[]));
        assert!(shown(&recorder.render()).is_empty());
    }

    #[test]
    fn cards_are_asked_for_once_if_there_are_none_and_again_and_again_if_there_are() {
        struct Counted(std::sync::mpsc::SyncSender<()>);
        impl GpuDevices for Counted {
            fn read_gpus(&self) -> Vec<GpuReading> {
                // The test hears the first few.
                let _ = self.0.try_send(());
                Vec::new()
            }
        }
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let (told, heard) = std::sync::mpsc::sync_channel(4);
        let none = told.clone();
        publish_regularly(runtime.handle(), GpuHistory::default(), move || {
            none.send(()).unwrap();
            None::<Counted>
        });
        publish_regularly(runtime.handle(), GpuHistory::default(), move || Some(Counted(told)));
        let waiting = runtime.spawn_blocking(move || {
            let patience = Duration::from_secs(20);
            // Once for cards that are not there, twice for those that are.
            (0..3).all(|_| heard.recv_timeout(patience).is_ok())
        });
        assert!(runtime.block_on(waiting).unwrap());
    }
}
