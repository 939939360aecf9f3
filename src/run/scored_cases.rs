//! Scored cases of a validation under way, a file each in the checkpoint that is validated: a
//! validation that was cut off scores the others only.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::base::{Fault, Fingerprint, fs, write_atomically};
use crate::eval::CandidateHistogram;
use crate::eval::assess::{self, CaseAssessment, ScoringConfig};
use crate::pipeline::whole_case::WholeCase;
use crate::report::Sketch;
use crate::run::Failure;
use crate::volume::{CaseId, Modality, Region, RunChannels};

/// Scores of one case, and what its cohort's evaluation needs besides.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct ScoredCase {
    /// Scores region by region.
    pub(super) assessment: CaseAssessment,
    /// Voxels for the search of the FLAIR threshold; absent of a run without FLAIR or WT.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) histogram: Option<CandidateHistogram>,
    /// Slices for the overlays.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) sketch: Option<Sketch>,
}

impl ScoredCase {
    /// Scores canonical labels of the whole grid, `[d, h, w]`, against the case's own.
    ///
    /// # Errors
    /// If the case has no labels.
    pub(super) fn of_segmentation(
        channels: RunChannels,
        case: &WholeCase,
        labels: Vec<u8>,
        rules: &ScoringConfig,
    ) -> Result<Self, Failure> {
        let RunChannels { modalities, regions } = channels;
        let sketch = Sketch::from_case(channels, case, &labels);
        let assessment = assess::score_segmentation(regions, case, labels, rules)?;
        // A tissue voxel at exactly the mean passes for background: below any sane threshold.
        let flair = case.modality_image(Modality::Flair).iter();
        let flair = flair.map(|&z| (z != 0.0).then_some(z));
        let outside = case.outside.iter().map(|outside| outside.label);
        let truth: Vec<u8> = case.labels.iter().flatten().copied().chain(outside).collect();
        let air = case.outside.iter().map(|_| None);
        let whole = regions.find_region(Region::WT.name());
        let whole = whole.filter(|_| modalities.contains(Modality::Flair));
        let histogram = whole.map(|whole| {
            CandidateHistogram::of_case(case.id.clone(), whole, flair.chain(air), &truth)
        });
        Ok(Self { assessment, histogram, sketch })
    }

    pub(super) const fn case(&self) -> &CaseId {
        &self.assessment.score.case
    }

    /// Text under its fingerprint. TOML keeps every bit of a number, which JSON does not promise.
    fn to_text(&self) -> String {
        let text = toml::to_string(self).expect("numbers by name have a form in TOML");
        format!("{}\n{text}", Fingerprint::of_bytes(text.as_bytes()))
    }

    /// Reads the text of [`to_text`](Self::to_text); `None` if it is anything else.
    fn from_text(text: &str) -> Option<Self> {
        let (fingerprint, scored) = text.split_once('\n')?;
        let is_whole = fingerprint == Fingerprint::of_bytes(scored.as_bytes()).to_string();
        is_whole.then(|| toml::from_str(scored).ok()).flatten()
    }
}

/// Folder of the cases that have been scored with one checkpoint.
pub(super) struct ScoredCaseFolder(pub(super) PathBuf);

impl ScoredCaseFolder {
    /// Reads the cases of `ids` that are there. One that is damaged counts as missing.
    ///
    /// # Errors
    /// If a file that is there cannot be read.
    pub(super) fn read_cases(&self, ids: &[CaseId]) -> Result<Vec<ScoredCase>, Fault> {
        let mut there = Vec::new();
        for id in ids {
            let file = self.file_of(id);
            let Some(bytes) = fs::if_present(fs::read(&file))? else { continue };
            match ScoredCase::from_text(&String::from_utf8_lossy(&bytes)) {
                Some(scored) if scored.case() == id => there.push(scored),
                _ => tracing::warn!("{}: is damaged; {id} is scored again", file.display()),
            }
        }
        Ok(there)
    }

    /// Keeps a case. Where the disk does not take it, it is scored again after an interruption: no
    /// reason to end a run.
    pub(super) fn keep_case(&self, scored: &ScoredCase) {
        let kept = fs::create_dir_all(self.path()).map_err(Fault::from).and_then(|()| {
            write_atomically(&self.file_of(scored.case()), scored.to_text().as_bytes())
        });
        if let Err(fault) = kept {
            tracing::warn!("the scores of {} are not kept: {fault}", scored.case());
        }
    }

    fn path(&self) -> &Path {
        &self.0
    }

    fn file_of(&self, id: &CaseId) -> PathBuf {
        self.path().join(format!("{id}.toml"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::volume::{Affine, Box3, Dims, LabelScheme, SourceGrid};

    fn scored(name: &str) -> ScoredCase {
        let dims = Dims([3, 4, 5]);
        let values = (0..Modality::COUNT * 60).map(|place| (place as f32 / 7.0).sin());
        let labels = |step: usize| (0..60).map(|place| (place * step % 11 % 4) as u8).collect();
        let case = WholeCase {
            id: CaseId::new(name),
            images: values.collect(),
            tissue: vec![true; 60],
            labels: Some(labels(7)),
            outside: Vec::new(),
            brain: Box3 { start: [0; 3], dims },
            source: SourceGrid::canonical(dims, Affine([[0.3, 0.0, 0.0, 0.0]; 4])),
            resampled_from: None,
            scheme: LabelScheme::Brats2018,
        };
        let channels = RunChannels::default();
        ScoredCase::of_segmentation(channels, &case, labels(5), &ScoringConfig::default()).unwrap()
    }

    #[test]
    fn scored_cases_come_back_to_the_bit_and_damaged_ones_do_not() {
        let folder = tempfile::tempdir().unwrap();
        let kept = ScoredCaseFolder(folder.path().join("cases"));
        let ids = ["a", "b", "c"].map(CaseId::new);
        assert!(kept.read_cases(&ids).unwrap().is_empty());
        let all = [scored("a"), scored("c")];
        assert!(all[0].sketch.is_some());
        all.iter().for_each(|one| kept.keep_case(one));
        assert_eq!(kept.read_cases(&ids).unwrap(), all);

        let file = kept.file_of(&ids[2]);
        let text = fs::read_to_string(&file).unwrap();
        let changed = text.replacen("truth_voxels = ", "truth_voxels = 1", 1);
        assert_ne!(changed, text);
        for damaged in [&text[..text.len() / 2], "", &changed] {
            fs::write(&file, damaged).unwrap();
            assert_eq!(kept.read_cases(&ids).unwrap(), all[..1]);
        }
    }

    #[test]
    fn a_folder_that_cannot_be_made_costs_the_scores_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let blocked = folder.path().join("file");
        fs::write(&blocked, "").unwrap();
        let kept = ScoredCaseFolder(blocked.join("cases"));
        kept.keep_case(&scored("a"));
    }
}
