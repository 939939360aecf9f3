//! Seconds of each kernel that a piece of work launches on a CUDA device.
//!
//! CubeCL puts two events around each launch and reads them when the work is done, so kernels run one
//! after the other as they do otherwise; the events' cost on the host is why the work's own seconds are
//! measured elsewhere. A device without CubeCL has no kernels to tell of.

use serde::{Deserialize, Serialize};

use crate::run::Failure;

/// Launches of one kernel, and their time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct KernelTime {
    /// Name that CubeCL gives it, without the paths of its types.
    pub name: String,
    /// Launches.
    pub launches: u64,
    /// Seconds on the device, summed over the launches; of those that the device could time.
    pub seconds: f64,
}

/// Times the kernels of `work`, the longest first; `work` has to wait for the device before it
/// returns.
///
/// # Errors
/// Those of `work`.
pub fn time_kernels(
    work: impl FnOnce() -> Result<(), Failure>,
) -> Result<Vec<KernelTime>, Failure> {
    let launches = observed::launches(work)?;
    Ok(sum_by_kernel(launches))
}

/// Sums the launches by kernel, the longest first.
fn sum_by_kernel(launches: Vec<(String, f64)>) -> Vec<KernelTime> {
    let mut kernels: std::collections::BTreeMap<String, (u64, f64)> = Default::default();
    for (name, seconds) in launches {
        let (count, sum) = kernels.entry(name).or_default();
        *count += 1;
        *sum += seconds;
    }
    let of_entry = |(name, (launches, seconds))| KernelTime { name, launches, seconds };
    let mut kernels: Vec<KernelTime> = kernels.into_iter().map(of_entry).collect();
    kernels.sort_by(|a, b| b.seconds.total_cmp(&a.seconds));
    kernels
}

#[cfg(not(feature = "cuda"))]
mod observed {
    use super::Failure;

    /// Runs the work without timing its kernels.
    pub(super) fn launches(
        work: impl FnOnce() -> Result<(), Failure>,
    ) -> Result<Vec<(String, f64)>, Failure> {
        work()?;
        Ok(Vec::new())
    }
}

#[cfg(feature = "cuda")]
mod observed {
    use std::sync::Arc;

    use cubecl::config::{TypeNameFormatLevel, type_name_format};
    use cubecl::logging::{LaunchObservation, LaunchObserver, ProfileDuration, TimingRequest};
    use parking_lot::Mutex;

    use super::Failure;

    /// Profiles of launches, not resolved yet: that waits for the kernel.
    #[derive(Default)]
    struct LaunchProfiles(Mutex<Vec<(&'static str, ProfileDuration)>>);

    impl LaunchObserver for LaunchProfiles {
        fn launched(&self, _kernel: &'static str) {}

        fn timing(&self) -> TimingRequest {
            TimingRequest::Deferred
        }

        fn profiled(&self, kernel: &'static str, profile: ProfileDuration) {
            self.0.lock().push((kernel, profile));
        }
    }

    /// Name and seconds of each launch.
    pub(super) fn launches(
        work: impl FnOnce() -> Result<(), Failure>,
    ) -> Result<Vec<(String, f64)>, Failure> {
        let profiles_of_launches = Arc::new(LaunchProfiles::default());
        let observation =
            LaunchObservation::new(Arc::clone(&profiles_of_launches) as Arc<dyn LaunchObserver>);
        let outcome = work();
        drop(observation);
        outcome?;
        let profiles = std::mem::take(&mut *profiles_of_launches.0.lock());
        let read = |(name, profile): (&'static str, ProfileDuration)| {
            let ticks = cubecl::future::block_on(profile.resolve());
            let seconds = ticks.map_or(0.0, |ticks| ticks.duration().as_secs_f64());
            (type_name_format(name, TypeNameFormatLevel::Balanced), seconds)
        };
        Ok(profiles.into_iter().map(read).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn launches_are_summed_by_name_and_the_longest_kernel_is_first() {
        let launch = |name: &str, seconds| (name.to_string(), seconds);
        let kernels =
            sum_by_kernel(vec![launch("add", 0.5), launch("conv", 2.0), launch("add", 0.25)]);
        let names: Vec<&str> = kernels.iter().map(|kernel| kernel.name.as_str()).collect();
        assert_eq!(names, ["conv", "add"]);
        assert_eq!((kernels[1].launches, kernels[1].seconds), (2, 0.75));
    }

    #[test]
    fn work_that_fails_has_no_kernels() {
        let failed = time_kernels(|| Err(Failure::Aborted));
        assert!(matches!(failed, Err(Failure::Aborted)));
        assert_eq!(time_kernels(|| Ok(())).unwrap(), []);
    }
}
