//! The z-score of a prepared case against PyTorch's and MONAI's, voxel by voxel.
#![allow(clippy::unwrap_used)]

use std::fs;
use std::path::Path;

use gliaflow::base::fingerprint::Fingerprint;
use gliaflow::cache::contents::prepare_case;
use gliaflow::cache::preprocess::PreprocessConfig;
use gliaflow::volume::case::{Case, CaseId, SourceGrid};
use gliaflow::volume::grid::{Affine, Dims};
use gliaflow::volume::modality::Modality;
use gliaflow::volume::region::LabelScheme;
use gliaflow::volume::voxels::Voxels;
use serde_json::Value;

/// The f32 values of a tensor in a safetensors file.
fn tensor(file: &[u8], name: &str) -> Vec<f32> {
    let header_bytes = u64::from_le_bytes(file[..8].try_into().unwrap()) as usize;
    let (header, data) = file[8..].split_at(header_bytes);
    let header: Value = serde_json::from_slice(header).unwrap();
    let place = |end: usize| header[name]["data_offsets"][end].as_u64().unwrap() as usize;
    let words = data[place(0)..place(1)].chunks_exact(4);
    words.map(|word| f32::from_le_bytes(word.try_into().unwrap())).collect()
}

#[test]
fn z_scores_over_nonzero_voxels_are_the_oracles() {
    let oracles = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/oracles");
    let Ok(file) = fs::read(oracles.join("zscore.safetensors")) else {
        println!("skipped: ../shared is absent");
        return;
    };
    let figures: Value =
        serde_json::from_slice(&fs::read(oracles.join("zscore.json")).unwrap()).unwrap();
    let dims = Dims([12, 10, 8]);
    let channel = |all: &[f32], modality: Modality| {
        all[modality.index() * dims.voxel_count()..][..dims.voxel_count()].to_vec()
    };
    let (input, wanted) = (tensor(&file, "input"), tensor(&file, "z_nonzero"));
    let case = Case {
        id: CaseId::new("oracle"),
        source: SourceGrid::canonical(dims, Affine([[1.0; 4]; 4])),
        images: Modality::ALL.map(|modality| Voxels::F32(channel(&input, modality))),
        labels: None,
        scheme: LabelScheme::Brats2018,
        fingerprint: Fingerprint([0; 16]),
        bytes_read: 0,
    };
    let contents = prepare_case(&case, &PreprocessConfig::default()).unwrap();
    for modality in Modality::ALL {
        let (scale, stats) =
            (&contents.scales[modality.index()], &contents.stats[modality.index()]);
        let figure =
            |place: usize| figures["mean_std_n_nonzero"][modality.index()][place].as_f64().unwrap();
        // The input is quantised, and no voxel is off by more than this.
        let step = scale.max_error;
        assert!(step < 0.02, "{modality}: {step}");
        assert!((stats.mean - figure(0)).abs() <= step, "{modality}: mean {}", stats.mean);
        assert!((stats.sd - figure(1)).abs() <= step, "{modality}: sd {}", stats.sd);
        assert_eq!(stats.count as f64, figure(2), "{modality}");
        let (a, b) = stats.z_score_coefficients(scale);
        let raw: Vec<i16> = contents.images.iter().map(|voxel| voxel[modality.index()]).collect();
        let raw = contents.brain.paste_into(&raw, dims, 0);
        for (raw, wanted) in raw.into_iter().zip(channel(&wanted, modality)) {
            let z = if raw == 0 { 0.0 } else { a * f64::from(raw) + b };
            assert!((z - f64::from(wanted)).abs() < 2e-4, "{modality}: {z} {wanted}");
        }
    }
}
