//! Settings that a run takes up when it begins: those of a loss and of filters that are chosen by name.

use crate::base::ConfigError;
use crate::run::config::RunConfig;

impl RunConfig {
    /// Fills in the dataset's description, and the settings of the loss and of the embedding program's filters
    /// that have their default. A run that is read again keeps its own: `predict` needs neither loss nor filters.
    ///
    /// # Errors
    /// If one is not registered, or refuses its settings.
    pub(super) fn complete_new_run(&mut self) -> Result<(), ConfigError> {
        self.data.fill_in_described();
        self.loss.complete_settings()?;
        self.augment.complete_own_filters()
    }
}
