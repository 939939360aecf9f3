//! The z-score of a prepared case against PyTorch's and MONAI's, voxel by voxel.

use gliaflow::internals::base::Fingerprint;
use gliaflow::internals::buffers::CaseBuffers;
use gliaflow::internals::cache::{PreprocessConfig, prepare_in_buffers};
use gliaflow::internals::volume::{
    Affine, Case, CaseId, Dims, LabelScheme, Modality, RunChannels, SourceGrid, Voxels,
};
use serde::Deserialize;

use super::figures::{fixture, tensors};

/// Mean, standard deviation and number of the nonzero voxels of each modality.
#[derive(Deserialize)]
struct Figures {
    mean_std_n_nonzero: [[f64; 3]; 4],
}

#[test]
fn z_scores_over_nonzero_voxels_are_the_oracles() {
    let figures: Figures = fixture("zscore");
    let oracle = tensors("zscore");
    assert_eq!(oracle["input"].shape, [4, 12, 10, 8]);
    let dims = Dims([12, 10, 8]);
    let channel = |all: &[f32], modality: Modality| {
        all[modality.index() * dims.voxel_count()..][..dims.voxel_count()].to_vec()
    };
    let (input, wanted) = (&oracle["input"].values, &oracle["z_nonzero"].values);
    let case = Case {
        id: CaseId::new("oracle"),
        source: SourceGrid::canonical(dims, Affine([[1.0; 4]; 4])),
        images: Modality::ALL.map(|modality| Voxels::F32(channel(input, modality))),
        labels: None,
        mask: None,
        scheme: LabelScheme::Brats2018,
        channels: RunChannels::default(),
        fingerprint: Fingerprint([0; 16]),
        bytes_read: 0,
    };
    let contents =
        prepare_in_buffers(&CaseBuffers::default(), &case, &PreprocessConfig::default()).unwrap();
    for modality in Modality::ALL {
        let (scale, stats) =
            (&contents.scales[modality.index()], &contents.stats[modality.index()]);
        let figure = |place: usize| figures.mean_std_n_nonzero[modality.index()][place];
        // The input is quantised, and no voxel is off by more than this.
        let step = scale.max_error;
        assert!(step < 0.02, "{modality}: {step}");
        assert!((stats.mean - figure(0)).abs() <= step, "{modality}: mean {}", stats.mean);
        assert!((stats.sd - figure(1)).abs() <= step, "{modality}: sd {}", stats.sd);
        assert_eq!(stats.count as f64, figure(2), "{modality}");
        let (a, b) = stats.z_score_coefficients(scale);
        let raw: Vec<i16> = contents.images.iter().map(|voxel| voxel[modality.index()]).collect();
        let raw = contents.brain.paste_into(&raw, dims, 0);
        for (raw, wanted) in raw.into_iter().zip(channel(wanted, modality)) {
            let z = if raw == 0 { 0.0 } else { a * f64::from(raw) + b };
            assert!((z - f64::from(wanted)).abs() < 2e-4, "{modality}: {z} {wanted}");
        }
    }
}
