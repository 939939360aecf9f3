//! Pseudo-labelling: a teacher annotates cases, in files beside the case files.
//!
//! Lachinov et al. 2020 ("Knowledge Distillation for Brain Tumor Segmentation", section 4) store
//! one hard label per voxel, of the averaged probabilities; that is the default. Regions are
//! thresholded at 0.5 and merged as everywhere else. Soft targets keep the probabilities, in
//! 255ths, softened by a temperature first if one is asked for (Hinton et al. 2015).

use std::path::Path;
use std::sync::Arc;

use serde::Serialize;

use crate::base::{CaseError, Fault, Fingerprint, Reason, fs};
use crate::brats::CaseFiles;
use crate::cache::{
    Annotation, AnnotationVoxels, CacheError, CaseStore, ExpectedSource, MappedAnnotation,
    MappedCase,
};
use crate::eval::assess::{self, ScoringConfig};
use crate::eval::{CaseScore, CohortScore, Predictor, regions_to_labels};
use crate::pipeline::whole_case::{WholeCase, WholeCaseSource};
use crate::run::evaluate::{process_each_case, stop_failure};
use crate::run::predict::{check_segmentation_files, segmentation_file, write_segmentation};
use crate::run::{Failure, ResolvedEnsemble, Session, case_selection};
use crate::telemetry::catalog;
use crate::volume::{
    CaseId, Region, RegionProbabilities, Split, Targets, Temperature, quantise_probability,
};

/// Request for pseudo-labels.
#[derive(Debug, Clone, Copy)]
pub struct LabelRequest<'a> {
    /// Labels or probabilities.
    pub targets: Targets,
    /// Temperature that probabilities are softened with; 1 of labels.
    pub temperature: Temperature,
    /// Folder that gets the labels as NIfTI too, one file a case.
    pub nifti: Option<&'a Path>,
}

/// Result of pseudo-labelling.
#[derive(Debug, Serialize)]
pub struct LabelReport {
    /// Fingerprint of the teacher and the temperature, for `data.pseudo.teacher` of a run that trains on its
    /// labels.
    pub teacher: Fingerprint,
    /// Kind of targets.
    pub targets: Targets,
    /// Temperature that probabilities are softened with; 1 of labels.
    pub temperature: Temperature,
    /// True if the teacher labels nothing where all images are background.
    pub within_tissue: bool,
    /// Cases annotated now.
    pub labelled: usize,
    /// Cases that were annotated already.
    pub reused: usize,
    /// The teacher's labels against the true ones, of the cases that have true ones.
    pub quality: Option<CohortScore>,
}

/// Annotates `cases` with `teacher`, each of which is brought into the cache first. A case that it
/// has annotated already, as it is now, is not done again: labelling that was interrupted goes on.
/// A case's own labels measure the teacher's and are of no other use: where they cannot be read, the
/// case is labelled all the same.
///
/// # Errors
/// If a case cannot be read, or the session is stopped; what was annotated is kept.
pub fn annotate_cases(
    teacher: &ResolvedEnsemble,
    cases: &[CaseFiles],
    order: LabelRequest<'_>,
    session: &Session,
) -> Result<LabelReport, Failure> {
    if !teacher.first_run_config().loader.cached {
        return Err(Failure::Usage(
            "loader.cached = false is impossible with label, whose labels lie in the cache; say --set \
             loader.cached=true"
                .into(),
        ));
    }
    let regions = teacher.first_run_config().data.channels.regions;
    if order.targets == Targets::Soft && !regions.is_brats() {
        return Err(Failure::Usage(format!(
            "--soft: probabilities are kept of ET, TC and WT, not of {regions}; label without --soft"
        )));
    }
    let (fetch, cases) = case_selection::fetch_for_labelling(teacher, cases, session)?;
    if let Some(folder) = order.nifti {
        fs::create_dir_all(folder)?;
        let ids: Vec<CaseId> = cases.iter().map(|files| files.id.clone()).collect();
        check_segmentation_files(folder, &ids)?;
    }
    let mut labeller = PseudoLabeller {
        store: Arc::clone(fetch.store()),
        predictor: teacher.build_predictor_in(session)?,
        teacher: fingerprint_of_targets(teacher, order.temperature)?,
        cap: teacher.first_run_config().data.preprocess.foreground_cap,
        order,
        labelled: 0,
        scores: Vec::new(),
    };
    let source = WholeCaseSource::Cache(fetch);
    let total = cases.len();
    let feed = source.start_topology(cases, &session.stop, &session.runtime)?;
    let part = Split::Unlabelled.name();
    process_each_case("label", total, feed, session, |outcome| {
        let case = outcome.map_err(|skip| {
            catalog::skipped_samples(part, skip.error.reason).increment(1);
            skip.error
        })?;
        catalog::delivered_samples(part).increment(1);
        labeller.label_case(&case, session)?;
        Ok(case.id)
    })?;
    let PseudoLabeller { teacher, labelled, scores, predictor, .. } = labeller;
    let within_tissue = predictor.is_within_tissue();
    let ids: Vec<CaseId> = scores.iter().map(|score| score.case.clone()).collect();
    let quality = if ids.is_empty() { None } else { Some(CohortScore::new(&ids, scores)?) };
    let reused = total - labelled;
    let LabelRequest { targets, temperature, .. } = order;
    Ok(LabelReport { teacher, targets, temperature, within_tissue, labelled, reused, quality })
}

/// Fingerprint of what decides the stored targets. At temperature 1 it is the ensemble's own.
fn fingerprint_of_targets(
    teacher: &ResolvedEnsemble,
    temperature: Temperature,
) -> Result<Fingerprint, Fault> {
    let own = teacher.fingerprint()?;
    Ok(match temperature.is_one() {
        true => own,
        false => Fingerprint::of_config(&(own, temperature)),
    })
}

/// Teacher, its store and its results so far.
struct PseudoLabeller<'a> {
    store: Arc<CaseStore>,
    predictor: Box<dyn Predictor>,
    teacher: Fingerprint,
    cap: u32,
    order: LabelRequest<'a>,
    labelled: usize,
    scores: Vec<CaseScore>,
}

impl PseudoLabeller<'_> {
    fn label_case(&mut self, case: &WholeCase, session: &Session) -> Result<(), Failure> {
        let mapped = mapped_case(&self.store, &case.id)?;
        let annotation = match self.existing_annotation(&mapped) {
            Some(annotation) => annotation,
            None => self.annotate_anew(case, &mapped, session)?,
        };
        let labels = assess::labels_on_file_grid(case, &annotation.voxels().to_labels())?;
        if let Some(folder) = self.order.nifti {
            write_segmentation(&segmentation_file(folder, &case.id), case, &labels)?;
        }
        if case.labels.is_some() {
            let (regions, rules) =
                (self.predictor.run_channels().regions, ScoringConfig::default());
            self.scores.push(assess::score_segmentation(regions, case, labels, &rules)?.score);
        }
        Ok(())
    }

    /// Returns the teacher's annotation of the case as it is now. An unusable one is made again.
    fn existing_annotation(&self, case: &MappedCase) -> Option<MappedAnnotation> {
        match self.store.find_annotation(case, self.teacher, self.order.targets) {
            Ok(found) => found,
            Err(error) => {
                tracing::warn!("annotated again: {error}");
                None
            }
        }
    }

    fn annotate_anew(
        &mut self,
        case: &WholeCase,
        mapped: &MappedCase,
        session: &Session,
    ) -> Result<MappedAnnotation, Failure> {
        let predictor = self.predictor.as_mut();
        let probabilities = assess::predict_until_stopped(predictor, case, &session.stop)?;
        let probabilities = probabilities.ok_or_else(|| stop_failure(session))?;
        let voxels = match self.order.targets {
            Targets::Hard => {
                let regions = self.predictor.run_channels().regions;
                AnnotationVoxels::Hard(regions_to_labels::labels_from_probabilities(
                    regions,
                    &probabilities,
                ))
            }
            Targets::Soft => {
                AnnotationVoxels::Soft(region_shares(&probabilities, self.order.temperature))
            }
        };
        let annotation = Annotation::for_case(mapped, self.teacher, voxels, self.cap)
            .at_temperature(self.order.temperature);
        let published =
            self.store.publish_annotation(&annotation).map_err(|error| match error {
                CacheError::Case(error) => Failure::Data(error),
                CacheError::Fault(fault) => Failure::Run(fault),
            })?;
        self.labelled += 1;
        Ok(MappedAnnotation::open(&published.path)?)
    }
}

/// Maps a case that the feed has just read.
fn mapped_case(store: &CaseStore, id: &CaseId) -> Result<Arc<MappedCase>, CaseError> {
    store.find_case(id, ExpectedSource::Anything)?.ok_or_else(|| {
        let problem = "its case file has gone since it was read";
        CaseError::new(Reason::Missing, format!("case {id}"), problem, "label it again")
    })
}

/// Probabilities `[3, d, h, w]` as each voxel's, `[d, h, w]`, softened and in 255ths.
fn region_shares(probabilities: &[f32], temperature: Temperature) -> Vec<RegionProbabilities> {
    let voxels = probabilities.len() / Region::BRATS.len();
    let share = |voxel: usize, region: Region| {
        let probability = probabilities[region.index() * voxels + voxel];
        quantise_probability(temperature.soften_probability(probability))
    };
    (0..voxels).map(|voxel| Region::BRATS.map(|region| share(voxel, region))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::volume::{RegionSet, most_likely_label};

    #[test]
    fn shares_of_a_voxel_are_its_regions_and_paint_the_labels_that_probabilities_do() {
        let mut probabilities: Vec<f32> = (0..30).map(|place| place as f32 / 29.0).collect();
        probabilities[3] = 0.5;
        probabilities[14] = 0.5f32.next_up();
        let plain = region_shares(&probabilities, Temperature::ONE);
        assert_eq!(plain[0], [0, 10, 20].map(|place| quantise_probability(probabilities[place])));
        let expected =
            regions_to_labels::labels_from_probabilities(RegionSet::BRATS, &probabilities);
        let softened = region_shares(&probabilities, Temperature::new(3.0).unwrap());
        assert_ne!(plain, softened);
        for found in [plain, softened] {
            let painted: Vec<u8> = found.into_iter().map(most_likely_label).collect();
            assert_eq!(painted, expected);
        }
    }
}
