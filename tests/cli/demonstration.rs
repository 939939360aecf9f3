//! `demo`: the whole line in one command, made small.

use crate::cli::harness::Desk;
use crate::cli::nifti_file::NiftiFile;

#[test]
fn the_demo_goes_from_nothing_to_dice_and_says_where_everything_lies() {
    let desk = Desk::new();
    let tiny = "--set train.epochs=1 --set train.steps_per_epoch=2 --set crop.patch=[32,32,32] \
                --set model.settings={base_width=2,levels=2} --set evaluation.overlap=0";
    let outcome = desk.run(&format!("demo --out demo --json {tiny}")).ok();
    let demo = outcome.json();
    for region in ["ET", "TC", "WT"] {
        let dice = demo["dice"][region].as_f64().unwrap();
        assert!((0.0..=1.0).contains(&dice), "{region}: {dice}");
        assert_eq!(
            demo["dice"][region],
            demo["summary"]["evaluation"]["network"]["regions"][region]["dice"]
        );
    }
    assert!(demo["seconds"].as_f64().unwrap() > 0.0);
    assert_eq!(demo["run"], "demo/runs/unet-demo-001");
    assert_eq!(
        demo["cohort"], "phantom",
        "the figures are not of patients, and the document says so"
    );
    assert!(desk.path("demo/runs/unet-demo-001/summary.json").is_file());

    let predictions = desk.names("demo/predictions");
    assert_eq!(predictions.len(), 6, "a quarter of 24 cases is held out");
    let labels = NiftiFile::open(&desk.path("demo/predictions").join(&predictions[0]));
    assert_eq!(labels.shape(), [64, 64, 48]);
    let scored = desk.run("evaluate --run demo/runs/unet-demo-001 --json").ok().json();
    assert_eq!(scored["network"]["regions"]["WT"]["dice"], demo["dice"]["WT"]);
}
