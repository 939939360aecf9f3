//! Two real patients, read with their labels, and clean. No part of `cargo test`, since their images are not in
//! the repository: `just real-cases FOLDER` (scripts/oracles/README.md says where they come from).
#![allow(missing_docs, clippy::unwrap_used)] // a test binary; a helper may fail like the test itself

use std::path::PathBuf;

use gliaflow::internals::brats::{CaseReader, discover_cases, examine_cases};
use gliaflow::internals::volume::{Voxels, label};

/// Names the folder that holds `TCGA-DU-7294` and `TCGA-FG-6692`.
const FOLDER: &str = "GLIAFLOW_REAL_CASES";

#[test]
fn two_real_patients_read_with_their_labels() {
    let folder = std::env::var_os(FOLDER);
    let folder =
        PathBuf::from(folder.expect("no folder of real cases; run `just real-cases FOLDER`"));
    let single = discover_cases(&folder.join("TCGA-DU-7294"), None).unwrap();
    let dataset = discover_cases(&folder, None).unwrap();
    assert_eq!((dataset.cases.len(), dataset.problems.len()), (2, 0));
    assert_eq!(single.cases[0].id, dataset.cases[0].id);
    for examined in examine_cases(&dataset.cases) {
        let examination = examined.unwrap();
        assert_eq!(examination.findings, []);
        assert!(examination.images.iter().all(|image| image.coverage > 0.99));
    }
    for (files, enhancing) in dataset.cases.iter().zip([false, true]) {
        let case = CaseReader::default().read(files).unwrap();
        assert_eq!(case.dims().to_string(), "240x240x155");
        assert!(case.images.iter().all(|image| matches!(image, Voxels::I16(_))));
        let labels = case.labels.unwrap();
        assert_eq!(labels.contains(&label::ET), enhancing);
        assert!(labels.contains(&label::ED) && labels.contains(&label::NCR));
        assert!(case.bytes_read > 7_000_000);
    }
}
