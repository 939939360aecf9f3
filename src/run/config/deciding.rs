//! Settings that decide a run's result, and their fingerprint.

use serde_json::Value;

use crate::base::{Fingerprint, replace_neutral_settings};
use crate::run::config::splitting::HELD_OUT;
use crate::run::config::{CheckedConfig, RunConfig, run_schema};

impl CheckedConfig {
    /// Fingerprint of all settings that decide the result; a resumed run must have the same.
    ///
    /// # Panics
    /// If the settings do not survive JSON, which the schema's ranges exclude.
    pub fn fingerprint(&self) -> Fingerprint {
        self.fingerprint_for_epochs(0)
    }

    /// Fingerprint of the same settings with another number of epochs; 0 for their own.
    pub(in crate::run) fn fingerprint_for_epochs(&self, epochs: u64) -> Fingerprint {
        // Fields are hashed in the order of their declaration, which the map does not keep.
        let settings = serde_json::from_value(self.deciding_settings());
        let mut deciding: RunConfig = settings.expect("settings are their own");
        if epochs > 0 {
            deciding.train.epochs = epochs;
        }
        // Earlier versions wrote the default beside whatever divided the cases.
        deciding.data.held_out.get_or_insert(HELD_OUT);
        Fingerprint::of_config(&deciding)
    }

    /// Fingerprint of the settings that decide which cases there are, how they are prepared and divided:
    /// those of the data, without a teacher's labels. The text of a file that divides the cases is the
    /// caller's to add: its path decides nothing.
    ///
    /// # Panics
    /// As [`CheckedConfig::fingerprint`].
    pub fn data_fingerprint(&self) -> Fingerprint {
        let mut data = self.deciding_settings()["data"].take();
        let settings = data.as_object_mut().expect("settings of the data are a table");
        for other in ["pseudo", "split"] {
            settings.remove(other);
        }
        let seed = self.run.data.seed_of_split(self.run.seed);
        Fingerprint::of_config(&(seed, data))
    }

    /// The settings as JSON; those that do not decide the result have their neutral value.
    pub(in crate::run) fn deciding_settings(&self) -> Value {
        let mut settings = serde_json::to_value(&self.run).expect("settings are plain data");
        replace_neutral_settings(&run_schema(), &mut settings);
        settings
    }
}
