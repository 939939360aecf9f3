//! Several runs that predict together: the mean of their probabilities, whatever asks for it.

use std::ops::ControlFlow;
use std::path::PathBuf;

use gliaflow::internals::eval::Predictor;
use gliaflow::internals::pipeline::whole_case::WholeCase;
use gliaflow::internals::run::{CheckpointChoice, Ensemble, Member};
use gliaflow::internals::volume::{Affine, Box3, CaseId, Dims, LabelScheme, SourceGrid};

use crate::cli::harness::{Desk, TINY};

/// Three parts, none of which is empty, the same for every seed.
const PARTS: &str = "--set data.split_seed=7 \
     --set data.shares={validation=0.3,test=0.4,unlabelled_of_validation=0.5,unlabelled_of_test=0.3}";

/// A cohort, and two runs on one division of it that see different windows.
fn two_runs() -> Desk {
    let desk = Desk::with_cohort(9);
    train(&desk, "a", "--set seed=1");
    train(&desk, "b", "--set seed=2 --set crop.patch=[16,32,16]");
    desk
}

fn train(desk: &Desk, run: &str, settings: &str) {
    let fast = "--set train.learning_rate=1e-2";
    desk.run(&format!("train {TINY} {PARTS} {fast} {settings} --data data --run {run}")).ok();
}

fn case() -> WholeCase {
    let dims = Dims([20, 23, 17]);
    let values = (0..4 * dims.voxel_count()).map(|place| ((place * 31 % 97) as f32 - 48.0) / 20.0);
    WholeCase {
        id: CaseId::new("case"),
        images: values.collect(),
        tissue: vec![true; dims.voxel_count()],
        labels: None,
        outside: Vec::new(),
        brain: Box3 { start: [0; 3], dims },
        source: SourceGrid::canonical(dims, Affine([[0.0; 4]; 4])),
        resampled_from: None,
        scheme: LabelScheme::Brats2018,
    }
}

fn member(desk: &Desk, run: &str, weight: f64) -> Member {
    Member { run: desk.path(run), weight }
}

fn probabilities(ensemble: &Ensemble) -> Vec<f32> {
    let mut predictor: Box<dyn Predictor> =
        ensemble.resolve(&[]).unwrap().build_predictor().unwrap();
    let go_on = &mut |_, _| ControlFlow::Continue(());
    predictor.probabilities(&case(), go_on).unwrap().unwrap()
}

#[test]
fn the_mean_of_two_runs_is_the_mean_of_their_probabilities() {
    let desk = two_runs();
    let [a, b] = ["a", "b"].map(|run| probabilities(&Ensemble::of_run(&desk.path(run))));
    assert!(a.iter().zip(&b).any(|(a, b)| (a - b).abs() > 1e-3), "the runs agree on everything");
    let both = Ensemble::of_runs(&["a", "b"].map(|run| desk.path(run)));
    let weighted = Ensemble {
        members: vec![member(&desk, "a", 3.0), member(&desk, "b", 1.0)],
        ..both.clone()
    };
    for (ensemble, share) in [(&both, 0.5), (&weighted, 0.75)] {
        let expected = a.iter().zip(&b).map(|(a, b)| share * a + (1.0 - share) * b);
        let found = probabilities(ensemble);
        assert!(found.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-6), "{share}");
        assert_eq!(found, probabilities(ensemble), "the same every time");
    }
    let alone = Ensemble { members: vec![member(&desk, "a", 1.0)], ..both };
    assert_eq!(probabilities(&alone), a);

    let mirrored = Ensemble { mirrored: true, ..alone };
    assert_ne!(probabilities(&mirrored), a);
}

#[test]
fn a_fingerprint_is_of_what_decides_the_probabilities() {
    let desk = two_runs();
    std::fs::create_dir(desk.path("moved")).unwrap();
    let both = Ensemble::of_runs(&["a", "b"].map(|run| desk.path(run)));
    let print = |ensemble: &Ensemble, set: &[&str]| {
        let set: Vec<String> = set.iter().map(ToString::to_string).collect();
        ensemble.resolve(&set).unwrap().fingerprint().unwrap()
    };
    let own = print(&both, &[]);
    let mut doubled = both.clone();
    doubled.members.iter_mut().for_each(|member| member.weight = 2.0);
    assert_eq!(print(&doubled, &[]), own, "only ratios matter");
    assert_eq!(print(&both, &["evaluation.batch=4", "device=cpu"]), own);
    doubled.members[1].weight = 1.0;
    let others = [
        print(&doubled, &[]),
        print(&Ensemble { mirrored: true, ..both.clone() }, &[]),
        print(&both, &["evaluation.overlap=0.25"]),
        print(&Ensemble::of_run(&desk.path("a")), &[]),
        print(&Ensemble::of_run(&desk.path("b")), &[]),
    ];
    for (place, other) in others.iter().enumerate() {
        assert!(*other != own && !others[..place].contains(other), "{place}");
    }
    std::fs::rename(desk.path("a"), desk.path("moved/a")).unwrap();
    let moved = Ensemble::of_runs(&[desk.path("moved/a"), desk.path("b")]);
    assert_eq!(print(&moved, &[]), own, "wherever the runs lie");
}

#[test]
fn an_ensemble_is_evaluated_and_predicts_like_a_run() {
    let desk = two_runs();
    let both = "--run a --run b --weight 2 --weight 1 --mirror";
    // As `predict` does unless it is told otherwise.
    let masked = "--set evaluation.within_tissue=true";
    let line = format!("evaluate {both} {masked} --split test --lesion-wise --out scores --json");
    let scored = desk.run(&line).ok().json();
    let lock = desk.json("a/dataset.lock.json");
    let tested = lock["cases"].as_array().unwrap().iter();
    let tested = tested.filter(|case| case["split"] == "test").count();
    assert_eq!(scored["network"]["cases"].as_array().unwrap().len(), tested);
    assert_eq!(scored["lesionwise"]["cases"].as_array().unwrap().len(), tested);
    assert_eq!(scored["members"][0]["weight"], 2.0);
    assert_eq!(scored["members"][1]["run"], "b");
    assert_eq!(desk.json("scores/summary.json")["network"], scored["network"]);
    assert!(!desk.path("a/test").exists(), "not one run's own figures");
    let text = desk.run(&format!("evaluate {both} --split unlabelled")).ok().stdout;
    for words in ["mean of unet, unet, mirrored", "specificity", "after 4, 4 steps"] {
        assert!(text.contains(words), "{words}: {text}");
    }

    desk.run(&format!("predict {both} --data data --out out")).ok();
    let files = desk.run("score --truth data --prediction out --json").ok().json();
    for case in scored["network"]["cases"].as_array().unwrap() {
        let mut found = files["cases"].as_array().unwrap().iter();
        let other = found.find(|other| other["case"] == case["case"]).unwrap();
        assert_eq!(other["regions"], case["regions"]);
    }
}

#[test]
fn thresholds_are_chosen_on_validation_and_applied_elsewhere() {
    let desk = Desk::with_cohort(9);
    // Long enough for tumours, too short for no crumbs; scored within tissue, as `predict` predicts.
    let length = "--set seed=3 --set train.steps_per_epoch=30";
    train(&desk, "a", &format!("{length} --set evaluation.within_tissue=true"));
    let tuned = desk.run("evaluate --run a --split test --postprocess tuned --json").ok().json();
    let chosen = &tuned["tuned"]["chosen"];
    let [et, tc, wt] =
        ["ET", "TC", "WT"].map(|region| chosen["smallest_component"][region].as_u64().unwrap());
    let smallest = chosen["smallest_et"].as_u64().unwrap();
    assert!(et + tc + wt + smallest > 0, "no crumbs? {tuned}");
    assert!(tuned["tuned"]["after"].as_f64() > tuned["tuned"]["before"].as_f64());
    let options = format!("--drop-below ET={et},TC={tc},WT={wt} --smallest-et {smallest}");
    let line = format!("evaluate --run a --split test {options} --json");
    assert_eq!(desk.run(&line).ok().json()["network"], tuned["network"]);
    assert!(!desk.path("a/test").exists());
    let plain = desk.run("evaluate --run a --split test --json").ok().json();
    assert_ne!(plain["network"], tuned["network"]);
    assert_eq!(desk.names("a/test"), ["cases.csv", "overlays", "summary.json"]);

    let given = desk.run(&format!("predict --run a --data data --out given {options}"));
    given.ok();
    desk.run("predict --run a --data data --out tuned --postprocess tuned").ok();
    for name in desk.names("given") {
        let bytes = |folder: &str| std::fs::read(desk.path(&format!("{folder}/{name}"))).unwrap();
        assert!(bytes("given") == bytes("tuned"), "{name}");
    }
    let flattered = desk.run("evaluate --run a --postprocess tuned").exits(2);
    flattered.complains_of(&["validation", "--split test"]);
    let twice = desk.run(&format!("evaluate --run a --split test {options} --postprocess tuned"));
    twice.exits(2).complains_of(&["--drop-below", "leave one out"]);
}

#[test]
fn runs_that_do_not_belong_together_are_refused_by_name() {
    let desk = two_runs();
    train(&desk, "other", "--set data.split_seed=8");
    let line = "evaluate --run a --run other --split test";
    desk.run(line).exits(2).complains_of(&["other: its test cases are not those of a", "--data"]);
    desk.run("evaluate --run a --run other --data data").ok();
    train(&desk, "prepared", "--set data.preprocess.foreground_cap=64");
    let line = "predict --run a --run prepared --data data --out out";
    desk.run(line).exits(2).complains_of(&["prepared: its cases were prepared otherwise"]);
    let line = "evaluate --run a --run b --weight 1";
    desk.run(line).exits(2).complains_of(&["--weight is given 1 times and --run 2 times"]);
    let line = "evaluate --run a --run b --weight 1 --weight 0";
    desk.run(line).exits(2).complains_of(&["b: weight 0 is not above 0"]);
    desk.run("evaluate --run a --checkpoint last").exits(2);
}

#[test]
fn the_best_checkpoint_is_used_where_asked_for() {
    let desk = Desk::with_cohort(5);
    let often = "--set train.validation.every_epochs=1 --set train.learning_rate=3e-2";
    desk.run(&format!("train {TINY} {often} --data data --run run")).ok();
    let best = desk.text("run/checkpoints/best");
    let step: u64 = best.trim().trim_start_matches("step-").parse().unwrap();
    let run: PathBuf = desk.path("run");
    assert_eq!(CheckpointChoice::Best.find_in_run(&run).unwrap().1, step);
    let scored = desk.run("evaluate --run run --checkpoint best --json").ok().json();
    assert_eq!(scored["step"], step);
    for other in [2, 4] {
        let line = format!("evaluate --run run --checkpoint {other} --json --out scores-{other}");
        assert_eq!(desk.run(&line).ok().json()["step"], other);
        let exported = format!("export --run run --checkpoint {other} --out {other} --json");
        assert_eq!(desk.run(&exported).ok().json()["step"], other);
    }
    let none = desk.run("evaluate --run run --checkpoint 3").exits(1);
    none.complains_of(&["no checkpoint after step 3, but after 2, 4", "name one of these"]);
    // A damaged one is named, and no other one takes its place.
    let weights = desk.path("run/checkpoints/step-0000002/weights.bpk");
    let whole = std::fs::read(&weights).unwrap();
    std::fs::write(&weights, &whole[1..]).unwrap();
    let damaged = desk.run("evaluate --run run --checkpoint 2").exits(1);
    damaged.complains_of(&[
        "step-0000002/weights.bpk: does not match its fingerprint",
        "the checkpoint after step 2 is damaged; name another one, after 4, or the latest",
    ]);
    assert!(!damaged.stderr.contains("older"), "{}", damaged.stderr);
    std::fs::write(&weights, whole).unwrap();
    let exported = "export --run run --checkpoint best --out w.safetensors --json";
    assert_eq!(desk.run(exported).ok().json()["step"], step);
    // The file is a copy of what the checkpoints say.
    std::fs::remove_file(desk.path("run/checkpoints/best")).unwrap();
    let scored = desk.run("evaluate --run run --checkpoint best --json").ok().json();
    assert_eq!(scored["step"], step);
    let never = "--set train.validation.every_epochs=0";
    desk.run(&format!("train {TINY} {never} --data data --run unvalidated")).ok();
    let none = desk.run("evaluate --run unvalidated --checkpoint best").exits(1);
    none.complains_of(&["no validation has named", "latest"]);
}
