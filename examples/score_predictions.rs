//! Scores of a predicted segmentation against the true one: Dice, 95 % Hausdorff distance, sensitivity
//! and specificity of each region.
//!
//! `cargo run --example score_predictions -- TRUTH.nii.gz PREDICTION.nii.gz`; without arguments two
//! phantoms are compared.
#![allow(clippy::print_stdout, reason = "an example shows what it has")]

use std::path::PathBuf;

use gliaflow::embed::dataset::{CaseId, LabelScheme, RegionSet, discover_cases};
use gliaflow::embed::scoring::{Hd95, PairOptions, SegmentationPair, read_label_pair, score_case};
use gliaflow::prelude::*;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let scratch = tempfile::tempdir()?;
    let mut arguments = std::env::args_os().skip(1).map(PathBuf::from);
    let (truth, prediction) = match arguments.next().zip(arguments.next()) {
        Some(files) => files,
        None => {
            write_phantom_cases(scratch.path(), 2, [48, 48, 48])?;
            let found = discover_cases(scratch.path(), None)?;
            let mut labels = found.cases.into_iter().filter_map(|case| case.labels);
            labels.next().zip(labels.next()).ok_or("phantoms have labels")?
        }
    };
    let scheme = LabelScheme::Brats2018;
    let pair = SegmentationPair { case: CaseId::new("case"), truth, prediction };
    let options = PairOptions { truth: scheme, prediction: scheme, ignore_affine: false };
    let read = read_label_pair(&pair, options)?;
    let regions = RegionSet::BRATS;
    let (truth, predicted) = (&read.truth, &read.prediction);
    let score =
        score_case(regions, Hd95::Medpy, pair.case, truth, predicted, read.dims, read.spacing_mm);
    for (region, score) in score.regions.iter() {
        println!(
            "{region}: Dice {:.4}, HD95 {:.2} mm",
            score.measures.dice, score.measures.hd95_mm
        );
    }
    Ok(())
}
