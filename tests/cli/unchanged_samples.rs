//! Samples of the releases before case format v2, which later ones make again to the bit: of integral
//! images around 0, with labels inside the brain and one scan a patient.
//!
//! One thing was changed on purpose: gamma keeps the mean and standard deviation of tissue
//! (`augment.gamma.retain_stats`), as nnU-Net's does, because without it half of all real volumes
//! moved by more than 1.3 standard deviations. Without it the samples are the old ones.

use gliaflow::internals::base::Fingerprinter;

use crate::cli::harness::{Desk, TINY};
use crate::cli::nifti_file::NiftiFile;

/// Epoch, place in it, and the fingerprint of the voxels that commit 082f791 wrote for the sample.
const RECORDED: [(u64, u64, &str); 4] = [
    (0, 0, "54464b209cf6d2150ea338d337b016bf"),
    (0, 1, "97b74a267d3a206629d49bd7d7415d03"),
    (1, 0, "efb1fe8ac0045872d55137f0f53df960"),
    (1, 1, "f9e6ab563e91616255eb96a24df284e6"),
];

/// Fingerprints of the recorded samples, made again by a run.
fn replayed(desk: &Desk, run: &str) -> Vec<String> {
    let print = |(epoch, index, _): (u64, u64, &str)| {
        let out = format!("{run}-{epoch}-{index}");
        desk.run(&format!("replay --run {run} --key {epoch}/{index} --out {out}")).ok();
        let mut all = Fingerprinter::default();
        for ending in ["-t1.", "-t1ce.", "-t2.", "-flair.", "-seg."] {
            let names = desk.names(&out);
            let name = names.iter().find(|name| name.contains(ending)).unwrap();
            all.update(NiftiFile::open(&desk.path(&format!("{out}/{name}"))).voxel_bytes());
        }
        all.finish().to_string()
    };
    RECORDED.into_iter().map(print).collect()
}

#[test]
fn samples_are_those_of_earlier_releases_but_for_what_gamma_keeps() {
    let desk = Desk::with_cohort(3);
    let earlier = "--set augment.gamma.retain_stats=false";
    desk.run(&format!("train {TINY} {earlier} --data data --run earlier")).ok();
    desk.run(&format!("train {TINY} --data data --run now")).ok();
    let recorded = RECORDED.map(|(_, _, print)| print.to_owned());
    assert_eq!(replayed(&desk, "earlier"), recorded);
    // For the last sample no gamma is drawn.
    let changed: Vec<bool> =
        replayed(&desk, "now").iter().zip(&recorded).map(|(a, b)| a != b).collect();
    assert_eq!(changed, [true, true, true, false]);
}
