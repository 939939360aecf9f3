//! CubeCL's settings, so far as this program decides them.

use cubecl::config::compilation::CompilationLogLevel;
use cubecl::config::{CubeClRuntimeConfig, RuntimeConfig};

/// Makes CubeCL write a record of the `log` crate for each operation that it has tuned and each kernel
/// that it compiles (`telemetry::backend_log` reads them): the minutes before the first step are silent
/// otherwise. What a `cubecl.toml` or a variable of CubeCL's says comes first. Called before the first
/// tensor is made; later it changes nothing.
pub(super) fn report_tuning() {
    let mut config = CubeClRuntimeConfig::from_current_dir().override_from_env();
    // The level that comes by default is info; its type has no public name.
    config.autotune.logger.log.get_or_insert_default();
    if matches!(config.compilation.logger.level, CompilationLogLevel::Disabled) {
        config.compilation.logger.level = CompilationLogLevel::Basic;
        config.compilation.logger.log.get_or_insert_default();
    }
    // Only a program that has made a tensor already has settings, and keeps them.
    let _is_first = CubeClRuntimeConfig::try_set(config);
}
