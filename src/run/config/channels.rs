//! Channels of a run as its settings name them: modalities, and regions as sets of tissues.

use crate::base::{CaseError, ConfigError};
use crate::brats::find_description;
use crate::run::config::data::DataConfig;
use crate::storage;
use crate::volume::{MAX_REGIONS, RegionNames, RegionSet, RunChannels};

impl DataConfig {
    /// Channels that the settings name.
    ///
    /// # Errors
    /// If the regions cannot be a set of tissues of the label scheme.
    fn named_channels(&self) -> Result<RunChannels, ConfigError> {
        let regions = match &self.regions {
            Some(named) => {
                let set = named.to_set(self.labels, self.painting.as_deref());
                set.map_err(|problem| regions_error(named, problem))?
            }
            // A run of before regions were data has those of BraTS whatever its labels.
            None => RegionSet::BRATS,
        };
        if self.regions.is_none() && self.painting.is_some() {
            let way_out = "set data.regions, too";
            return Err(ConfigError::new("painting", "set", "an order of no regions", way_out));
        }
        Ok(RunChannels { modalities: self.modalities.unwrap_or_default(), regions })
    }

    /// Fills in the channels of the settings.
    ///
    /// # Errors
    /// As [`RegionSet::new`].
    pub(super) fn complete_channels(&mut self) -> Result<(), ConfigError> {
        self.channels = self.named_channels()?;
        Ok(())
    }

    /// Takes up what the description beside the data says of labels, regions and modalities, where the
    /// settings say nothing: a run keeps it, wherever its data lies later.
    ///
    /// # Errors
    /// If there is a description that cannot be used.
    pub(super) fn adopt_description(&mut self) -> Result<(), CaseError> {
        if !storage::is_folder(&self.folder) {
            return Ok(());
        }
        let Some(found) = find_description(&self.folder, self.description.as_deref())? else {
            return Ok(());
        };
        if self.labels.is_none() {
            let named = match found.label_scheme.as_slice() {
                [only] if !only.default_regions().is_brats() => Some(*only),
                _ => None,
            };
            self.labels = found.labels.or(named);
        }
        if self.regions.is_none() {
            self.regions = found.regions.clone();
            self.painting = self.painting.take().or_else(|| found.painting.clone());
        }
        if self.modalities.is_none() && !found.modality_set().is_all() {
            self.modalities = Some(found.modality_set());
        }
        Ok(())
    }

    /// Names the regions of a new run where the label scheme has others than those of BraTS.
    ///
    /// # Errors
    /// If the scheme has too many tissues to have a region each.
    pub(super) fn name_default_regions(&mut self) -> Result<(), ConfigError> {
        let (None, Some(scheme)) = (&self.regions, self.labels) else { return Ok(()) };
        let regions = scheme.default_regions();
        let tissues = scheme.tissue_names();
        if tissues.len() > MAX_REGIONS {
            let problem = "missing, and the labels have too many tissues for a region each";
            let way_out = format!("define up to {MAX_REGIONS} regions of {}", tissues.join(", "));
            return Err(ConfigError::new("regions", "none", problem, way_out));
        }
        if !regions.is_brats() {
            self.regions =
                Some(RegionNames::Known(regions.region_names().map(str::to_owned).collect()));
        }
        Ok(())
    }
}

fn regions_error(named: &RegionNames, problem: String) -> ConfigError {
    let shown = serde_json::to_string(named).unwrap_or_default();
    ConfigError::new("regions", shown, "no set of regions", problem)
}
