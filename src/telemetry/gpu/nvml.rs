//! NVIDIA's GPUs, through the management library of their driver. It is loaded at run time, so the
//! program is built and started without one.

use std::collections::HashMap;
use std::sync::OnceLock;

use nvml_wrapper::enum_wrappers::device::{Clock, PcieUtilCounter, TemperatureSensor};
use nvml_wrapper::enums::gpm::GpmMetricId;
use nvml_wrapper::gpm::gpm_metrics_get;
use nvml_wrapper::{Device, GpmSample};
use parking_lot::Mutex;

use super::{GpuDevices, GpuReading};

/// Library of the driver, loaded once a process: samples of a GPU's activity refer to it.
static LIBRARY: OnceLock<Option<nvml_wrapper::Nvml>> = OnceLock::new();

/// NVIDIA's management library (NVML).
pub struct Nvml {
    library: &'static nvml_wrapper::Nvml,
    /// Activity of each GPU's units up to its last reading, by the GPU's index; Hopper and newer.
    samples: Mutex<HashMap<u32, GpmSample<'static>>>,
}

impl Nvml {
    /// Opens the library; `None` without a driver or a GPU that it knows.
    pub fn open() -> Option<Self> {
        let load = || {
            nvml_wrapper::Nvml::init()
                .inspect_err(|reason| tracing::debug!(%reason, "no metrics of a GPU"))
                .ok()
        };
        let library = LIBRARY.get_or_init(load).as_ref()?;
        let count = library.device_count().unwrap_or(0);
        (count > 0).then(|| Self { library, samples: Mutex::default() })
    }

    /// Product names of the GPUs.
    pub fn device_names(&self) -> Vec<String> {
        self.devices().filter_map(|(_, device)| device.name().ok()).collect()
    }

    /// GPUs that answer, with their indices.
    fn devices(&self) -> impl Iterator<Item = (u32, Device<'static>)> {
        let library = self.library;
        let count = library.device_count().unwrap_or(0);
        (0..count).filter_map(move |index| Some((index, library.device_by_index(index).ok()?)))
    }

    /// Share of the time since the last call in which tensor cores were at work, 0 to 1; absent at the first call, and
    /// for a GPU that does not count it.
    fn read_tensor_utilization(&self, index: u32, device: &Device<'static>) -> Option<f64> {
        let now = device.gpm_sample().ok()?;
        let mut samples = self.samples.lock();
        let percent = samples.get(&index).and_then(|then| {
            let figures = gpm_metrics_get(self.library, then, &now, &[GpmMetricId::AnyTensorUtil]);
            figures.ok()?.into_iter().next()?.ok().map(|figure| figure.value)
        });
        samples.insert(index, now);
        percent.filter(|percent| percent.is_finite()).map(|percent| percent / 100.0)
    }
}

impl GpuDevices for Nvml {
    fn read_gpus(&self) -> Vec<GpuReading> {
        let read = |(index, device): (u32, Device<'static>)| {
            let tensor_utilization = self.read_tensor_utilization(index, &device);
            GpuReading { tensor_utilization, ..read_device(index, &device) }
        };
        self.devices().map(read).collect()
    }
}

/// Reads one GPU. The library counts in percent, milliwatts, megahertz and kilobytes a second.
fn read_device(index: u32, device: &Device<'_>) -> GpuReading {
    let percent = device.utilization_rates().ok().map(|rates| rates.gpu);
    let milliwatts = device.power_usage().ok();
    let megahertz = device.clock_info(Clock::SM).ok();
    let pcie = |direction| {
        device.pcie_throughput(direction).ok().map(|kilobytes| 1000.0 * f64::from(kilobytes))
    };
    GpuReading {
        gpu: index.to_string(),
        utilization: percent.map(|percent| f64::from(percent) / 100.0),
        tensor_utilization: None,
        memory: device.memory_info().ok().map(|memory| [memory.used, memory.total]),
        watts: milliwatts.map(|milliwatts| f64::from(milliwatts) / 1000.0),
        celsius: device.temperature(TemperatureSensor::Gpu).ok().map(f64::from),
        hertz: megahertz.map(|megahertz| f64::from(megahertz) * 1e6),
        pcie_sent: pcie(PcieUtilCounter::Send),
        pcie_received: pcie(PcieUtilCounter::Receive),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_driver_is_no_error_and_a_present_one_reads_what_can_be() {
        let Some(nvml) = Nvml::open() else { return };
        let readings = nvml.read_gpus();
        assert!(!readings.is_empty(), "a driver with cards that do not answer");
        for GpuReading { utilization, tensor_utilization, memory, celsius, .. } in readings {
            assert!(utilization.is_none_or(|share| (0.0..=1.0).contains(&share)));
            assert_eq!(tensor_utilization, None, "a share of the time since no reading");
            assert!(memory.is_none_or(|[used, total]| used <= total));
            assert!(celsius.is_none_or(|degrees| (0.0..120.0).contains(&degrees)));
        }
        for GpuReading { tensor_utilization, .. } in nvml.read_gpus() {
            assert!(tensor_utilization.is_none_or(|share| (0.0..=1.0).contains(&share)));
        }
    }
}
