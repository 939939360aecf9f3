//! Plans of studies: the graph, its costs, and the cases that are there, before anything is written.

use std::process::{Command, Stdio};

use serde_json::Value;

use crate::cli::harness::Desk;

/// Two narrow networks on the cases of `data`.
const STUDY: &str = r#"
schema = 1
name = "small"

[base]
seed = 5
device = "cpu"
[base.data]
folder = "data"
[base.data.shares]
validation = 0.25
test = 0.4
unlabelled_of_validation = 0.5
unlabelled_of_test = 0.4
[base.crop]
patch = [16, 16, 16]
[base.loader]
memory_mib = 64
patches_per_case = 4
[base.train]
epochs = 3
validation = { every_epochs = 0 }

[[network]]
name = "narrow"
settings = { model = { name = "unet", settings = { base_width = 2, levels = 2 } } }

[[network]]
name = "wide"
settings = { model = { name = "unet", settings = { base_width = 3, levels = 2 } } }

[[student]]
"#;

const PLAN: &str = "experiment study.toml --plan";

fn desk_with_cases(cases: usize) -> Desk {
    let desk = Desk::with_cohort(cases);
    std::fs::write(desk.path("study.toml"), STUDY).unwrap();
    desk
}

#[test]
fn a_plan_counts_the_cases_and_shapes_that_are_there_and_says_what_nobody_measured() {
    let desk = desk_with_cases(16);
    let text = desk.run(PLAN).ok().stdout;
    assert!(text.contains("cases of data"), "{text}");
    assert!(
        text.contains("16 labelled cases: 6 training, 4 validation and 6 test cases"),
        "{text}"
    );
    assert!(text.contains("shapes: 16 of 24x28x26"), "{text}");
    assert!(text.contains("not measured") && text.contains("no step was measured"), "{text}");
    assert!(!text.contains(" 0 s"), "nothing was measured, so nothing takes no time: {text}");
    // One more case, of another shape.
    desk.run("phantom --out other --cases 1 --seed 9 --shape 32x28x26").ok();
    let from = desk.path("other/BraTS20_Training_001");
    let to = desk.path("data/BraTS20_Training_099");
    std::fs::create_dir(&to).unwrap();
    for file in std::fs::read_dir(from).unwrap() {
        let file = file.unwrap();
        let name = file.file_name().into_string().unwrap().replace("_001", "_099");
        std::fs::copy(file.path(), to.join(name)).unwrap();
    }
    let plan = desk.run(&format!("{PLAN} --json")).ok().json();
    assert_eq!(plan["source"]["state"], "found");
    assert_eq!(plan["parts"]["cases"], 17);
    let shapes = plan["shapes"]["shapes"].as_array().unwrap();
    assert_eq!(shapes.len(), 2);
    assert_eq!((&shapes[1]["cases"], &shapes[1]["shape"][0]), (&1.into(), &32.into()));
    assert!(!desk.path("runs").exists(), "a plan writes nothing");
}

#[test]
fn a_plan_without_its_folder_says_so() {
    let desk = Desk::new();
    std::fs::write(desk.path("study.toml"), STUDY).unwrap();
    desk.run(PLAN).exits(2).complains_of(&["data: the dataset is not there", "expected_cases"]);
    let text = desk.run(&format!("{PLAN} --set cohort.expected_cases=16")).ok().stdout;
    assert!(text.starts_with("data: is not there"), "{text}");
    assert!(text.contains("16 of 240x240x155, which is assumed"), "{text}");
    desk.run("experiment study.toml --status").exits(2).complains_of(&["data: is not there"]);
}

#[test]
fn a_plan_is_a_graph_whose_names_stay_and_change_with_what_decides_them() {
    let desk = desk_with_cases(16);
    let graph = |set: &str| -> Vec<Value> {
        let plan = desk.run(&format!("{PLAN} --json {set}")).ok().json();
        plan["graph"].as_array().unwrap().clone()
    };
    let name = |graph: &[Value], subject: &str| -> String {
        let found = graph.iter().find(|step| step["subject"] == subject);
        found.unwrap_or_else(|| panic!("{subject}"))["fingerprint"].as_str().unwrap().to_owned()
    };
    let plain = graph("");
    assert_eq!(plain, graph(""));
    for (place, step) in plain.iter().enumerate() {
        for input in step["inputs"].as_array().unwrap() {
            let at = plain.iter().position(|other| other["fingerprint"] == *input);
            assert!(at.is_some_and(|at| at < place), "{step}: an input comes first");
        }
    }
    let soft = graph("--set student=[{targets=\"soft\"}]");
    let elsewhere = graph("--set base.device=auto");
    for subject in ["cases", "narrow seed 0", "wide seed 0 test", "control of distilled seed 0"] {
        assert_eq!(name(&plain, subject), name(&soft, subject), "{subject}");
        assert_eq!(name(&plain, subject), name(&elsewhere, subject), "{subject}");
    }
    assert_ne!(name(&plain, "distilled seed 0"), name(&soft, "distilled seed 0"));
    let longer = graph("--set base.train.epochs=4");
    assert_eq!(name(&plain, "cases"), name(&longer, "cases"));
    assert_ne!(name(&plain, "distilled seed 0 test"), name(&longer, "distilled seed 0 test"));
    std::fs::remove_dir_all(desk.path("data/BraTS20_Training_016")).unwrap();
    let fewer = graph("");
    assert_ne!(name(&plain, "cases"), name(&fewer, "cases"), "other cases are another ingest");
}

#[test]
fn a_plan_can_be_drawn() {
    let desk = desk_with_cases(16);
    let steps = desk.run(&format!("{PLAN} --json")).ok().json()["graph"].as_array().unwrap().len();
    let text = desk.run(&format!("{PLAN} --dot -")).ok().stdout;
    assert!(text.starts_with("digraph \"small\" {"), "{text}");
    assert_eq!(text.matches("fillcolor").count(), steps);
    desk.run(&format!("{PLAN} --dot graph.dot")).ok();
    assert_eq!(desk.text("graph.dot").trim_end(), text.trim_end());
    // Where Graphviz is installed, it draws the file.
    let drawn = Command::new("dot")
        .args(["-Tsvg", "-o"])
        .args([desk.path("graph.svg"), desk.path("graph.dot")])
        .stderr(Stdio::null())
        .status();
    if let Ok(status) = drawn {
        assert!(status.success());
        assert!(desk.text("graph.svg").contains("<svg"));
    }
}

#[test]
fn the_demonstration_of_folds_is_planned() {
    let desk = Desk::new();
    let config = concat!(env!("CARGO_MANIFEST_DIR"), "/configs/folds-demo.toml");
    let text = desk.run(&format!("experiment --plan {config}")).ok().stdout;
    assert!(
        text.contains("40 labelled cases expected: 30 in 5 folds of 6, 10 test cases"),
        "{text}"
    );
    let plan = desk.run(&format!("experiment --plan {config} --json")).ok().json();
    let train = &plan["steps"][1];
    assert_eq!((&train["step"], &train["times"]), (&"train unet".into(), &5.into()));
    // 24 cases of 4 patches in batches of 2, 8 epochs.
    assert_eq!(train["steps"], 8 * 24 * 4 / 2);
}

#[test]
fn the_papers_own_protocol_can_be_planned_without_its_data() {
    let desk = Desk::new();
    let configs = concat!(env!("CARGO_MANIFEST_DIR"), "/configs/paper/table1.toml");
    let line = format!("experiment --plan {configs}");
    let text = desk.run(&line).ok().stdout;
    let told = "592 labelled cases expected: 335 training, 66 validation and 191 test cases";
    assert!(text.contains(told), "{text}");
    let measure = "gliaflow bench-step --model unet --patch 128x128x128 --batch 2 --config ";
    let unet = configs.replace("table1", "unet");
    assert!(text.contains(&format!("{measure}{unet} --json")), "{text}");
    let plan = desk.run(&format!("{line} --json")).ok().json();
    let parts = &plan["parts"];
    assert_eq!((&parts["validation_scored"], &parts["test_scored"]), (&33.into(), &153.into()));
    let train = &plan["steps"][1];
    assert_eq!(train["step"], "train unet");
    assert_eq!(train["steps"], 280 * 168);
    assert_eq!(train["seconds"], Value::Null);
    assert!(desk.names(".").is_empty(), "a plan writes nothing");
}

#[test]
fn every_study_in_configs_can_be_planned() {
    let desk = Desk::new();
    let configs = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("configs");
    let files = std::fs::read_dir(configs).unwrap().map(|entry| entry.unwrap().path());
    let is_study = |path: &std::path::PathBuf| {
        path.is_file() && std::fs::read_to_string(path).unwrap().contains("\n[[network]]\n")
    };
    let studies: Vec<_> = files.filter(is_study).collect();
    assert!(studies.len() >= 6, "{studies:?}");
    for study in studies {
        let plan = desk.run(&format!("experiment --plan {} --json", study.display())).ok().json();
        assert!(plan["steps"].as_array().unwrap().len() > 4, "{study:?}: {plan}");
    }
}

#[test]
fn the_papers_protocol_can_be_planned_within_one_year() {
    let desk = Desk::new();
    for (year, told) in [
        (2018, "285 labelled cases expected: 161 training, 32 validation and 92 test cases"),
        (2019, "335 labelled cases expected: 190 training, 37 validation and 108 test cases"),
    ] {
        let configs = format!("{}/configs/paper/{year}/table1.toml", env!("CARGO_MANIFEST_DIR"));
        let text = desk.run(&format!("experiment --plan {configs}")).ok().stdout;
        assert!(text.contains(told), "{text}");
    }
}

#[test]
fn a_plan_takes_measured_steps_into_account() {
    let desk = desk_with_cases(16);
    let measure = "bench-step --model unet --device cpu --patch 16 --batch 2 --steps 1 --warmup 0 \
        --set model.settings={base_width=2,levels=2} --json";
    let measured = desk.run(measure).ok().stdout;
    std::fs::write(desk.path("narrow.json"), &measured).unwrap();
    let plan = desk.run("experiment study.toml --plan --times narrow.json --json").ok().json();
    let seconds: f64 =
        serde_json::from_str::<Value>(&measured).unwrap()["seconds_per_step"].as_f64().unwrap();
    let train = &plan["steps"][1];
    let steps = train["steps"].as_u64().unwrap() as f64;
    assert!(train["seconds"].as_f64().unwrap() >= steps * seconds, "{train}");
    let named = plan["unmeasured"][0].as_str().unwrap();
    assert!(named.starts_with("wide: say --measure"), "{named}");
}
