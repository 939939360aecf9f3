//! The content of the golden case files.

use gliaflow::internals::base::Fingerprint;
use gliaflow::internals::cache::{
    BackgroundBasis, CaseContents, CaseDescription, CaseMeaning, Clipping, Foreground,
    IntensityScale, IntensityStats, MappedCase, ModalityRecord, OutsideLabel, SourceFile,
    TissueHistogram,
};
use gliaflow::internals::volume::{
    Affine, Box3, CaseId, Dims, LabelScheme, Modality, Region, SourceGrid,
};

/// What the golden file of v1 holds.
pub(super) fn golden_v1() -> CaseContents {
    CaseContents {
        histograms: Default::default(),
        outside: Vec::new(),
        description: CaseDescription::of_scheme(LabelScheme::Brats2023),
        ..golden()
    }
}

/// Description that says something else in each field.
fn description() -> CaseDescription {
    let record = |background: f64, background_basis| ModalityRecord {
        background,
        background_margin: background.abs() / 8.0,
        background_zeros: false,
        background_basis,
        clipping: None,
    };
    let clipping = Some(Clipping { low: -0.1, high: 1e7, below: 3, above: 1 });
    CaseDescription {
        foreground: "brain_mask".into(),
        meaning: CaseMeaning::of_scheme(LabelScheme::Brats2023),
        source: None,
        resampling: None,
        records: vec![
            record(0.0, BackgroundBasis::Zero),
            record(-1024.0, BackgroundBasis::Found),
            record(-0.75, BackgroundBasis::Threshold),
            ModalityRecord { clipping, ..record(7.0, BackgroundBasis::Mask) },
        ],
    }
}

/// What the golden file holds: numbers that are told apart, not those of any brain.
pub(super) fn golden() -> CaseContents {
    let stats = |base: f64| IntensityStats {
        count: 12,
        mean: base,
        sd: base / 4.0,
        min: base - 8.0,
        max: base + 8.0,
        percentiles: [0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0].map(|step| base + step),
    };
    CaseContents {
        id: CaseId::new("Gölden_001"),
        source: SourceGrid {
            dims: Dims::from_nifti([5, 4, 3]),
            world_from_voxel: Affine([
                [0.0, -1.5, 0.0, 10.0],
                [1.0, 0.0, 0.0, -20.0],
                [0.0, 0.0, 2.0, 30.25],
                [0.0, 0.0, 0.0, 1.0],
            ]),
            axes: [1, 0, 2],
            flipped: [true, false, true],
        },
        brain: Box3 { start: [1, 2, 0], dims: Dims([2, 3, 2]) },
        images: (0..12i16).map(|i| [i - 6, 1000 + i, -32768 + i, 32767 - i]).collect(),
        scales: [
            IntensityScale::LOSSLESS,
            IntensityScale { slope: 0.5, inter: 10.0, max_error: 0.25 },
            IntensityScale { slope: 0.0, inter: 0.3, max_error: 0.0 },
            IntensityScale { slope: 1e-3, inter: -7.5, max_error: 1e-3 },
        ],
        stats: [100.0, 200.0, 300.0, 400.0].map(stats),
        histograms: [[-3, 5], [-32768, 32767], [1, 2], [1000, 2000]]
            .map(|[low, high]: [i16; 2]| TissueHistogram::from_code_counts(&[(low, 5), (high, 7)])),
        labels: Some(vec![0, 1, 2, 3, 4, 0, 3, 2, 2, 0, 0, 0]),
        outside: vec![OutsideLabel { voxel: 0, label: 3 }, OutsideLabel { voxel: 59, label: 4 }],
        description: description(),
        source_labels: None,
        foreground: vec![
            Foreground { count: 2, voxels: vec![3, 6] },
            Foreground { count: 3, voxels: vec![1, 3, 6] },
            Foreground { count: 7000, voxels: vec![1, 2, 3, 6, 7, 8] },
        ],
        scheme: LabelScheme::Brats2023,
        fingerprint: Fingerprint([0xA5; 16]),
        preprocess: Fingerprint([0x5A; 16]),
        findings: Vec::new(),
        files: vec![
            SourceFile { name: "a-t1n.nii.gz".into(), bytes: 123, modified_ns: 1_700_000_000 },
            SourceFile { name: "ä-seg.nii.gz".into(), bytes: 1 << 40, modified_ns: -1 },
        ],
    }
}

pub(crate) fn assert_holds(case: &MappedCase, wanted: &CaseContents) {
    assert_eq!(case.id(), &wanted.id);
    assert_eq!(case.source_grid(), &wanted.source);
    assert_eq!(case.brain_box(), wanted.brain);
    assert_eq!(case.images(), wanted.images);
    assert_eq!(case.labels(), wanted.labels.as_deref());
    for modality in Modality::ALL {
        assert_eq!(case.intensity_scale(modality), &wanted.scales[modality.index()]);
        assert_eq!(case.intensity_stats(modality), &wanted.stats[modality.index()]);
        let histogram = wanted.histograms[modality.index()].as_view();
        assert_eq!(case.tissue_histogram(modality), histogram);
    }
    for region in Region::BRATS {
        let (found, wanted) = (case.foreground(region), &wanted.foreground[region.index()]);
        assert_eq!((found.count, found.voxels), (wanted.count, &*wanted.voxels));
    }
    assert_eq!(case.label_scheme(), wanted.scheme);
    assert_eq!(case.outside_labels(), wanted.outside);
    assert_eq!(case.description(), &wanted.description);
    assert_eq!(case.fingerprint(), wanted.fingerprint);
    assert_eq!(case.preprocess_fingerprint(), wanted.preprocess);
    assert_eq!(case.source_files(), wanted.files);
}
