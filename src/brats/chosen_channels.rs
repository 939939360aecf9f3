//! Choice of the modalities that are read of a dataset's cases, and what becomes of a case without one.

use crate::base::{CaseError, Reason};
use crate::brats::{CaseFiles, Dataset};
use crate::volume::{
    LabelScheme, MissingModality, Modality, ModalitySet, Region, RegionSet, RunChannels,
};

impl Dataset {
    /// Sets the modalities that are read of each case, and the regions that it is indexed by. Cases that
    /// lack one of the modalities are problems, unless they may.
    #[must_use]
    pub fn with_channels(mut self, channels: RunChannels, missing: MissingModality) -> Self {
        let wanted = channels.modalities;
        let mut cases = Vec::with_capacity(self.cases.len());
        let mut incomplete = Vec::new();
        let found = self.cases.into_iter().map(|files| (files, None));
        let lacking = self.incomplete.into_iter().map(|(files, error)| (files, Some(error)));
        for (files, known) in found.chain(lacking) {
            let there = files.channels.modalities;
            let read = there
                .common_with(wanted)
                .filter(|read| *read == wanted || missing == MissingModality::Zero);
            let Some(modalities) = read else {
                let error = known.unwrap_or_else(|| lacking_error(&files, wanted));
                if !self.problems.contains(&error) {
                    self.problems.push(error.clone());
                }
                incomplete.push((files, error));
                continue;
            };
            self.problems.retain(|problem| Some(problem) != known.as_ref());
            cases.push(CaseFiles { channels: RunChannels { modalities, ..channels }, ..files });
        }
        cases.sort_by(|one, other| one.id.cmp(&other.id));
        Self { cases, incomplete, ..self }
    }
}

impl Dataset {
    /// Gives the tissues of described labels the canonical labels that a run's scheme `own` has for them,
    /// whose regions are `regions`.
    ///
    /// # Errors
    /// If a tissue of one has no name in the other, or a region could not be written.
    pub fn with_tissues_of(
        mut self,
        own: LabelScheme,
        regions: RegionSet,
    ) -> Result<Self, CaseError> {
        let refused = |files: &CaseFiles, problem: String| {
            let labels = serde_json::to_string(&own).unwrap_or_default();
            CaseError::new(
                Reason::Label,
                format!("case {}", files.id),
                format!("by its labels, {problem}"),
                format!(
                    "name tissues as the run does, whose labels are {labels}, under [labels] in dataset.toml"
                ),
            )
        };
        let incomplete = self.incomplete.iter_mut().map(|(files, _)| files);
        for files in self.cases.iter_mut().chain(incomplete) {
            files.scheme = match files.scheme.align_with(own) {
                // Where there are no labels to read, predictions are written as the run's are.
                Err(_) if files.labels.is_none() && own.described_tissues().is_some() => own,
                aligned => aligned.map_err(|problem| refused(files, problem))?,
            };
            let Some(tissues) = files.scheme.described_tissues() else { continue };
            let painted =
                |region: &Region| tissues.values().any(|one| *one == region.label_painted());
            if let Some(region) = regions.iter().find(|region| !painted(region)) {
                let known = files.scheme.tissue_names().join(", ");
                let problem =
                    format!("no value can be written for region {region}, but for {known}");
                return Err(refused(files, problem));
            }
        }
        Ok(self)
    }
}

/// Error of a case of a dataset that does not have all modalities that are wanted.
fn lacking_error(files: &CaseFiles, wanted: ModalitySet) -> CaseError {
    let there = files.channels.modalities;
    let lacking = wanted.iter().filter(|modality| !there.contains(*modality));
    let lacking: Vec<&str> = lacking.map(Modality::name).collect();
    let named: Vec<String> =
        there.iter().map(|modality| format!("{:?}", modality.name())).collect();
    CaseError::new(
        Reason::Missing,
        format!("case {}", files.id),
        format!("has {there}, and no {}", lacking.join(" and no ")),
        format!(
            "set data.modalities = [{}] for a network of these, or data.missing = \"zero\"",
            named.join(", ")
        ),
    )
}
