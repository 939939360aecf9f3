//! Preprocessing of a decoded case: brain box, encoding, crop, interleaving, statistics, foreground
//! index. The hot path of ingest, also for a case that is used once and never stored.

use std::mem;

use crate::base::{CaseError, Fingerprint, OutOfMemory, Reason};
use crate::buffers::CaseBuffers;
use crate::cache::brain_box::{SplitLabels, interleave_modalities};
use crate::cache::foreground::{Foreground, index_foreground};
use crate::cache::treatment::{
    check_information, choose_treatment, locate_tumour, measure_counted,
};
use crate::cache::volumes::{EncodedVolumes, wanted_map};
use crate::cache::{
    CaseDescription, CaseMeaning, IntensityScale, IntensityStats, PreprocessConfig,
    ResamplingRecord, SourceFile, SourceFiles, SourceLabels, TissueHistogram,
};
use crate::volume::{Box3, Case, CaseId, Dims, LabelScheme, Modality, RunChannels, SourceGrid};

/// Raw values of one voxel in the order of [`Modality::ALL`].
pub type RawVoxel = [i16; Modality::COUNT];

/// Label of a voxel outside the brain box. No network sees the place; scores count it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OutsideLabel {
    /// Memory offset of the voxel in the canonical grid.
    pub voxel: u32,
    /// Canonical label, not the background's.
    pub label: u8,
}

/// Content of a case file.
#[derive(Debug, Clone, PartialEq)]
pub struct CaseContents {
    /// Case id; names the file.
    pub id: CaseId,
    /// Grid of the voxels: that of the source files, or the one that they were resampled to.
    pub source: SourceGrid,
    /// The smallest box around tissue beyond doubt, in the canonical grid.
    pub brain: Box3,
    /// Raw voxels `[d, h, w]` of the box, modalities interleaved.
    pub images: Vec<RawVoxel>,
    /// Intensity scale per modality.
    pub scales: [IntensityScale; Modality::COUNT],
    /// Statistics over the tissue, per modality.
    pub stats: [IntensityStats; Modality::COUNT],
    /// Histogram of the tissue, per modality.
    pub histograms: [TissueHistogram; Modality::COUNT],
    /// Canonical labels `[d, h, w]` of the box.
    pub labels: Option<Vec<u8>>,
    /// Labels of the voxels outside the box, ascending.
    pub outside: Vec<OutsideLabel>,
    /// Labels on the source's own grid, where the case was resampled.
    pub source_labels: Option<SourceLabels>,
    /// Foreground index per region; empty for unlabelled cases.
    pub foreground: Vec<Foreground>,
    /// Meaning of the source's label values.
    pub scheme: LabelScheme,
    /// Meaning of the content, and what preprocessing did to it.
    pub description: CaseDescription,
    /// Fingerprint of the source's compressed bytes.
    pub fingerprint: Fingerprint,
    /// Fingerprint of the preprocessing.
    pub preprocess: Fingerprint,
    /// Findings about the images that the user is told; not stored.
    pub findings: Vec<String>,
    /// State of the source files before they were read; empty when not known.
    pub files: Vec<SourceFile>,
}

impl CaseContents {
    /// Adds the source files as they were, so that a later run sees without reading if they changed.
    #[must_use]
    pub fn with_sources(mut self, sources: SourceFiles) -> Self {
        self.files = sources.files;
        self.description.source = Some(sources.state);
        self
    }

    /// Returns the voxels and labels to `buffers`.
    pub fn give_back(self, buffers: &CaseBuffers) {
        buffers.interleaved.give_back(self.images);
        if let Some(labels) = self.labels {
            buffers.bytes.give_back(labels);
        }
    }
}

/// Preprocesses a case into `buffers`, which [`CaseContents::give_back`] refills.
///
/// # Errors
/// When the case is empty, its volumes do not fill its grid, intensities cannot be encoded, or there is
/// no room for it in the voxel size that was asked for.
pub fn prepare_in_buffers(
    buffers: &CaseBuffers,
    case: &Case,
    config: &PreprocessConfig,
) -> Result<CaseContents, CaseError> {
    check_lengths(case, case.dims())?;
    let map = wanted_map(case, config)?;
    let treatment = choose_treatment(case, config, map.is_some())?;
    let volumes = match (&map, &config.resampling) {
        (Some(map), Some(wanted)) => {
            EncodedVolumes::of_resampled(case, &treatment, map, wanted.interpolation)?
        }
        _ => EncodedVolumes::of_case(case, &treatment)?,
    };
    let dims = volumes.grid.canonical_dims();
    let planes = volumes.planes();
    let scales = volumes.scales;
    let no_memory = |error: OutOfMemory| error.to_case_error("brain box").of_case(&case.id);
    let brain = volumes.tissue_box(&treatment.certain).map_err(no_memory)?;
    let mut brain = brain.ok_or_else(|| {
        let remedy = "check that the files are images of this case, or take the case out";
        CaseError::new(Reason::Format, "all modalities", "every voxel is 0 or not finite", remedy)
            .of_case(&case.id)
    })?;
    let (mut images, mut counts) =
        interleave_modalities(planes, dims, &brain, buffers.interleaved.take())
            .map_err(no_memory)?;
    let split = |brain: &Box3| {
        let all = volumes.labels.as_deref();
        all.map(|all| SplitLabels::at_box(all, dims, brain, buffers.bytes.take())).transpose()
    };
    let mut labels = split(&brain).map_err(no_memory)?;
    let mut findings = treatment.findings;
    if treatment.is_plain {
        let tumour = labels.as_ref().map(|labels| locate_tumour(labels, &images));
        let (certain, told) = measure_counted(case, &counts, tumour);
        findings = told;
        if certain.iter().any(Option::is_some)
            && let Some(smaller) = volumes.tissue_box(&certain).map_err(no_memory)?
        {
            brain = smaller;
            (images, counts) =
                interleave_modalities(planes, dims, &brain, images).map_err(no_memory)?;
            labels.into_iter().for_each(|labels| buffers.bytes.give_back(labels.inside));
            labels = split(&brain).map_err(no_memory)?;
        }
    }
    let measured = counts.measure(&scales);
    let stats = measured.each_ref().map(|(stats, _)| *stats);
    check_information(case, &stats, config)?;
    let histograms = measured.map(|(_, histogram)| histogram);
    let source_labels = map.and(case.labels.as_deref());
    let source_labels = source_labels.map(|labels| SourceLabels::of_grid(labels, &case.source));
    let RunChannels { modalities, regions } = case.channels;
    Ok(CaseContents {
        id: case.id.clone(),
        source: volumes.grid,
        source_labels: source_labels.transpose().map_err(no_memory)?,
        brain,
        stats,
        images,
        scales,
        histograms,
        foreground: match &labels {
            Some(labels) => {
                index_foreground(regions, labels, case.fingerprint, config.foreground_cap)
            }
            None => vec![Foreground::default(); regions.len()],
        },
        outside: labels.as_mut().map(|labels| mem::take(&mut labels.outside)).unwrap_or_default(),
        labels: labels.map(|labels| labels.inside),
        description: CaseDescription {
            foreground: config.foreground.to_string(),
            meaning: CaseMeaning::new(case.scheme, case.channels),
            source: None,
            resampling: config.resampling.map(|wanted| ResamplingRecord {
                spacing_mm: wanted.spacing_mm,
                interpolation: wanted.interpolation,
                source: map.map(|_| case.source),
            }),
            records: modalities
                .iter()
                .map(|modality| treatment.images[modality.index()].to_record())
                .collect(),
        },
        findings,
        scheme: case.scheme,
        fingerprint: case.fingerprint,
        preprocess: config.fingerprint(),
        files: Vec::new(),
    })
}

fn check_lengths(case: &Case, dims: Dims) -> Result<(), CaseError> {
    let voxels = dims.voxel_count();
    let images =
        Modality::ALL.map(|modality| (modality.name(), case.images[modality.index()].len()));
    let labels = case.labels.as_ref().map(|labels| ("seg", labels.len()));
    for (name, found) in images.into_iter().chain(labels) {
        if found != voxels {
            let problem = format!("has {found} voxels, the grid {dims} has {voxels}");
            return Err(CaseError::new(Reason::Geometry, name, problem, "convert the file again")
                .of_case(&case.id));
        }
    }
    if u32::try_from(voxels).is_err() {
        let problem = format!("{dims} is {voxels} voxels, a case file numbers up to {}", u32::MAX);
        return Err(
            CaseError::new(Reason::Format, "grid", problem, "resample the case").of_case(&case.id)
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::quality::QualityPolicy;
    use crate::volume::{Affine, Voxels};

    fn case_of(dims: Dims, images: [Voxels; 4], labels: Option<Vec<u8>>) -> Case {
        Case {
            id: CaseId::new("c"),
            source: SourceGrid::canonical(dims, Affine([[0.0; 4]; 4])),
            images,
            labels,
            mask: None,
            scheme: LabelScheme::Brats2018,
            channels: RunChannels::default(),
            fingerprint: Fingerprint([1; 16]),
            bytes_read: 0,
        }
    }

    /// Settings that take the images of these tests, most of which hold nothing.
    fn as_it_is() -> PreprocessConfig {
        PreprocessConfig { quality: QualityPolicy::Warn, ..PreprocessConfig::default() }
    }

    fn quiet(dims: Dims) -> Voxels {
        Voxels::from_whole(vec![0; dims.voxel_count()])
    }

    #[test]
    fn labels_outside_all_tissue_are_kept_and_change_nothing_else() {
        let dims = Dims([2, 3, 4]);
        let (mut t1, mut labels) = (vec![0; 24], vec![0; 24]);
        t1[dims.offset_from_zyx([0, 1, 1])] = -7;
        t1[dims.offset_from_zyx([1, 1, 2])] = 4;
        labels[dims.offset_from_zyx([1, 1, 1])] = 2;
        let prepare = |labels: &[u8]| {
            let images = [Voxels::from_whole(t1.clone()), quiet(dims), quiet(dims), quiet(dims)];
            let case = case_of(dims, images, Some(labels.to_vec()));
            prepare_in_buffers(&CaseBuffers::default(), &case, &as_it_is()).unwrap()
        };
        let wanted = prepare(&labels);
        assert_eq!(wanted.brain, Box3 { start: [0, 1, 1], dims: Dims([2, 1, 2]) });
        let stray = [([0, 0, 0], 3), ([0, 1, 0], 1), ([1, 1, 3], 4), ([1, 2, 3], 3)];
        for (at, label) in stray {
            labels[dims.offset_from_zyx(at)] = label;
        }
        let found = prepare(&labels);
        let outside =
            stray.map(|(at, label)| OutsideLabel { voxel: dims.offset_from_zyx(at) as u32, label });
        assert_eq!(found.outside, outside);
        let findings = wanted.findings.clone();
        assert_eq!(CaseContents { outside: Vec::new(), findings, ..found }, wanted);
        assert_eq!(
            (wanted.images[0], wanted.foreground[2].voxels.as_slice()),
            ([-7, 0, 0, 0], [2].as_slice())
        );
        assert_eq!(wanted.stats[0].count, 2);
    }

    #[test]
    fn float_and_integer_modalities_stay_in_their_channels() {
        let dims = Dims([1, 1, 2]);
        let images = [
            Voxels::from_whole(vec![1, 2]),
            Voxels::F32(vec![0.5, 0.0]),
            Voxels::F64(vec![300.0, 0.0]),
            quiet(dims),
        ];
        let contents =
            prepare_in_buffers(&CaseBuffers::default(), &case_of(dims, images, None), &as_it_is())
                .unwrap();
        assert_eq!(contents.images, [[1, 1, 300, 0], [2, 0, 0, 0]]);
        assert_eq!(contents.scales[1].decode(1), 0.5);
        assert_eq!(contents.labels, None);
    }

    #[test]
    fn an_empty_case_and_a_short_volume_are_refused() {
        let dims = Dims([1, 2, 2]);
        let empty = case_of(dims, std::array::from_fn(|_| quiet(dims)), None);
        let error = prepare_in_buffers(&CaseBuffers::default(), &empty, &as_it_is()).unwrap_err();
        assert_eq!(error.reason, Reason::Format);
        assert!(error.to_string().starts_with("case c: all modalities"), "{error}");
        let mut short = empty;
        short.images[3] = Voxels::from_whole(vec![1; 3]);
        let error = prepare_in_buffers(&CaseBuffers::default(), &short, &as_it_is()).unwrap_err();
        assert_eq!(error.reason, Reason::Geometry);
        assert!(error.to_string().contains("flair: has 3 voxels"), "{error}");
    }
}
