//! Fingerprint of the settings that decide a run's result: a resumed run must have the same.

use std::path::PathBuf;

use crate::base::fingerprint::Fingerprint;
use crate::run::config::{CheckedConfig, RunConfig};

impl CheckedConfig {
    /// Fingerprint of all settings that decide the result: paths and thread counts do not.
    pub fn fingerprint(&self) -> Fingerprint {
        let mut deciding = self.run.clone();
        let neutral = RunConfig::default();
        deciding.data.folder = PathBuf::new();
        deciding.data.cache = PathBuf::new();
        deciding.ingest = neutral.ingest;
        deciding.data.ingest_first = neutral.data.ingest_first;
        deciding.loader.workers = neutral.loader.workers;
        deciding.loader.cached = neutral.loader.cached;
        deciding.loader.fused = neutral.loader.fused;
        deciding.loader.memory_mib = neutral.loader.memory_mib;
        deciding.loader.prefetch = neutral.loader.prefetch;
        deciding.device = neutral.device;
        // Steps that are not finite change nothing, whether they end the run or are skipped.
        deciding.train.non_finite = neutral.train.non_finite;
        deciding.train.non_finite_budget = neutral.train.non_finite_budget;
        deciding.drill = neutral.drill;
        deciding.train.checkpoint = neutral.train.checkpoint;
        Fingerprint::of_config(&deciding)
    }
}

#[cfg(test)]
mod tests {
    use crate::run::config::load;

    #[test]
    fn the_fingerprint_ignores_what_does_not_decide_the_result() {
        let print = |set: &str| load(None, &[set.to_string()]).unwrap().fingerprint();
        let base = load(None, &[]).unwrap().fingerprint();
        assert_eq!(print("loader.workers.crop=7"), base);
        assert_eq!(print("data.cache=elsewhere"), base);
        assert_ne!(print("seed=2"), base);
        assert_ne!(print("train.learning_rate=0.5"), base);
    }
}
