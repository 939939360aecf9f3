//! NVIDIA's GPUs, through the management library of their driver. It is loaded at run time, so the
//! program is built and started without one.

use nvml_wrapper::Device;
use nvml_wrapper::enum_wrappers::device::{Clock, TemperatureSensor};

use super::{GpuDevices, GpuReading};

/// NVIDIA's management library (NVML).
pub struct Nvml(nvml_wrapper::Nvml);

impl Nvml {
    /// Opens the library; `None` without a driver or a GPU that it knows.
    pub fn open() -> Option<Self> {
        let library = nvml_wrapper::Nvml::init()
            .inspect_err(|reason| tracing::debug!(%reason, "no metrics of a GPU"))
            .ok()?;
        let count = library.device_count().unwrap_or(0);
        (count > 0).then_some(Self(library))
    }

    /// Product names of the GPUs.
    pub fn device_names(&self) -> Vec<String> {
        self.devices().filter_map(|(_, device)| device.name().ok()).collect()
    }

    /// GPUs that answer, with their indices.
    fn devices(&self) -> impl Iterator<Item = (u32, Device<'_>)> {
        let count = self.0.device_count().unwrap_or(0);
        (0..count).filter_map(|index| Some((index, self.0.device_by_index(index).ok()?)))
    }
}

impl GpuDevices for Nvml {
    fn read_gpus(&self) -> Vec<GpuReading> {
        self.devices().map(|(index, device)| read_device(index, &device)).collect()
    }
}

/// Reads one GPU. The library counts in percent, milliwatts and megahertz.
fn read_device(index: u32, device: &Device<'_>) -> GpuReading {
    let percent = device.utilization_rates().ok().map(|rates| rates.gpu);
    let milliwatts = device.power_usage().ok();
    let megahertz = device.clock_info(Clock::SM).ok();
    GpuReading {
        gpu: index.to_string(),
        utilization: percent.map(|percent| f64::from(percent) / 100.0),
        memory: device.memory_info().ok().map(|memory| [memory.used, memory.total]),
        watts: milliwatts.map(|milliwatts| f64::from(milliwatts) / 1000.0),
        celsius: device.temperature(TemperatureSensor::Gpu).ok().map(f64::from),
        hertz: megahertz.map(|megahertz| f64::from(megahertz) * 1e6),
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
        for GpuReading { utilization, memory, celsius, .. } in readings {
            assert!(utilization.is_none_or(|share| (0.0..=1.0).contains(&share)));
            assert!(memory.is_none_or(|[used, total]| used <= total));
            assert!(celsius.is_none_or(|degrees| (0.0..120.0).contains(&degrees)));
        }
    }
}
