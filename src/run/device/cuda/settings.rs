//! CubeCL's settings, so far as this program decides them.

use std::path::Path;

use cubecl::config::cache::CacheConfig;
use cubecl::config::compilation::CompilationLogLevel;
use cubecl::config::{CubeClRuntimeConfig, RuntimeConfig};

use crate::base::user_cache_folder;

/// Machine that kernels are compiled and tuned for.
pub(super) struct KernelMachine {
    /// Product name of the GPU.
    pub(super) card: String,
    /// CUDA version of the driver, as it counts.
    pub(super) driver: i32,
    /// Major and minor version of NVRTC; absent if it does not say.
    pub(super) nvrtc: Option<[i32; 2]>,
}

/// Makes CubeCL write a record of the `log` crate for each operation that it has tuned and each kernel
/// that it compiles (`telemetry::backend_log` reads them): the minutes before the first step are silent
/// otherwise. And makes it keep both under the user's cache folder: compiled kernels by NVRTC's version, the
/// architecture and their source, what it has tuned by card and driver (docs/adr/006). What a `cubecl.toml` or a
/// variable of CubeCL's says comes first. Called before the first tensor is made; later it changes nothing.
pub(super) fn prepare_cubecl(machine: &KernelMachine) {
    let mut config = CubeClRuntimeConfig::from_current_dir().override_from_env();
    // The level that comes by default is info; its type has no public name.
    config.autotune.logger.log.get_or_insert_default();
    if matches!(config.compilation.logger.level, CompilationLogLevel::Disabled) {
        config.compilation.logger.level = CompilationLogLevel::Basic;
        config.compilation.logger.log.get_or_insert_default();
    }
    if matches!(config.environment.path, CacheConfig::Target) {
        keep_kernels(&mut config, machine, user_cache_folder().as_deref());
    }
    // Only a program that has made a tensor already has settings, and keeps them.
    let _is_first = CubeClRuntimeConfig::try_set(config);
}

/// Keeps kernels in a folder of the user's; nothing is kept where there is none, or NVRTC does not say its version.
fn keep_kernels(config: &mut CubeClRuntimeConfig, machine: &KernelMachine, folder: Option<&Path>) {
    let Some((folder, [major, minor])) = folder.zip(machine.nvrtc) else {
        config.compilation.cache = false;
        config.autotune.disable_cache = true;
        config.throughput.disable_cache = true;
        return;
    };
    config.compilation.cache = true;
    let folder = folder.join("cuda").join(format!("nvrtc-{major}.{minor}"));
    config.environment.path = CacheConfig::Directory(folder);
    if config.environment.name == CubeClRuntimeConfig::default().environment.name {
        config.environment.name = format!("{} driver {}", machine.card, machine.driver);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine(card: &str, driver: i32, nvrtc: Option<[i32; 2]>) -> KernelMachine {
        KernelMachine { card: card.into(), driver, nvrtc }
    }

    fn kept(machine: &KernelMachine, folder: Option<&Path>) -> CubeClRuntimeConfig {
        let mut config = CubeClRuntimeConfig::default();
        keep_kernels(&mut config, machine, folder);
        config
    }

    #[test]
    fn kernels_are_kept_by_compiler_and_tuning_by_card_and_driver() {
        let folder = Some(Path::new("/home/user/.cache/gliaflow"));
        let place = |card, driver, nvrtc| {
            let config = kept(&machine(card, driver, Some(nvrtc)), folder);
            assert!(config.compilation.cache && !config.autotune.disable_cache);
            (config.environment.path.root(), config.environment.name)
        };
        let one = place("H200", 13_000, [13, 0]);
        assert_eq!(one.0, Path::new("/home/user/.cache/gliaflow/cuda/nvrtc-13.0"));
        let other_driver = place("H200", 13_010, [13, 0]);
        assert_eq!(other_driver.0, one.0);
        assert_ne!(other_driver.1, one.1);
        assert_ne!(place("A100", 13_000, [13, 0]).1, one.1);
        assert_ne!(place("H200", 13_000, [12, 8]).0, one.0);
    }

    #[test]
    fn nothing_is_kept_without_a_folder_or_a_version() {
        let folder = Path::new("/home/user/.cache/gliaflow");
        for config in [
            kept(&machine("H200", 13_000, Some([13, 0])), None),
            kept(&machine("H200", 13_000, None), Some(folder)),
        ] {
            assert!(!config.compilation.cache && config.autotune.disable_cache);
        }
    }
}
