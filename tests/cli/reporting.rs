//! The report of a run, which its end writes and `report` writes again; and `metrics`.

use serde_json::Value;

use crate::cli::harness::{Desk, TINY};

/// A run of three held-out cases.
fn trained() -> Desk {
    let desk = Desk::with_cohort(7);
    desk.run(&format!("train {TINY} --set data.held_out=0.43 --data data --run run")).ok();
    desk
}

/// Width and height of a PNG file.
fn size(desk: &Desk, name: &str) -> [u32; 2] {
    let bytes = std::fs::read(desk.path(name)).unwrap();
    assert!(bytes.starts_with(b"\x89PNG\r\n\x1a\n"), "{name}");
    [16, 20].map(|at| u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap()))
}

#[test]
fn the_end_of_a_run_leaves_curves_a_page_and_overlays() {
    let desk = trained();
    let [width, height] = size(&desk, "run/progress.png");
    assert!(width > 1000 && height > 1000, "{width} x {height}");
    let page = desk.text("run/report.html");
    let scores = desk.json("run/validation/summary.json");
    for region in ["ET", "TC", "WT"] {
        let summary = &scores["network"]["summary"][region]["dice"];
        for figure in ["mean", "sd", "median", "min"] {
            let text = format!("<td>{:.4}</td>", summary[figure].as_f64().unwrap());
            assert!(page.contains(&text), "{region} {figure} {text}");
        }
    }
    for case in scores["network"]["cases"].as_array().unwrap() {
        let row = format!("<th scope=\"row\">{}</th>", case["case"].as_str().unwrap());
        assert!(page.contains(&row), "{row}");
    }
    let sentence = desk.json("run/summary.json")["loader"]["sentence"].as_str().unwrap().to_owned();
    assert!(page.contains(&sentence), "{sentence}");
    assert!(page.contains("base_width = 2") && page.contains("bit-exact"));

    let overlays = desk.json("run/validation/overlays/index.json");
    let overlays = overlays.as_array().unwrap();
    assert_eq!(overlays.len(), 9, "worst, median and best of three regions");
    assert_eq!(page.matches("data:image/png;base64,").count(), 9);
    for overlay in overlays {
        size(&desk, &format!("run/validation/overlays/{}", overlay["file"].as_str().unwrap()));
    }
    let dice = |rank: &str| -> f64 {
        let is_it = |one: &&Value| one["region"] == "WT" && one["rank"] == rank;
        overlays.iter().find(is_it).unwrap()["dice"].as_f64().unwrap()
    };
    let wt = &scores["network"]["summary"]["WT"]["dice"];
    assert_eq!(dice("worst"), wt["min"].as_f64().unwrap());
    assert_eq!(dice("best"), wt["max"].as_f64().unwrap());
    assert_eq!(dice("median"), wt["median"].as_f64().unwrap());
}

#[test]
fn the_soft_dice_of_training_is_in_the_journal_the_curves_and_the_metrics() {
    let desk = Desk::with_cohort(5);
    desk.run(&format!("train {TINY} --set train.accumulate=2 --data data --run run")).ok();
    let mut events = desk.json_lines("run/events.jsonl");
    let steps: Vec<Value> =
        events.iter().filter(|event| event["event"] == "step").cloned().collect();
    assert_eq!(steps.len(), 4);
    for step in &steps {
        let dice = ["ET", "TC", "WT"].map(|region| step["soft_dice"][region].as_f64().unwrap());
        let loss = 1.0 - dice.iter().sum::<f64>() / 3.0;
        assert!((loss - step["dice_loss"].as_f64().unwrap()).abs() < 1e-6, "{step}");
        assert!(dice.iter().all(|dice| (0.0..=1.0).contains(dice)) && dice[2] > 0.0, "{step}");
    }
    let title = "Dice: validation, and soft in training (dashed)";
    let page = desk.text("run/report.html");
    assert!(page.contains(title), "{page}");
    for line in ["et train", "tc train", "wt train"] {
        assert!(page.contains(&format!("<path class=\"line {line}\" d=\"M")), "{line}");
    }
    let text = desk.run("metrics run --openmetrics").ok().stdout;
    let last = text.lines().rfind(|line| line.starts_with("train_soft_dice_ratio{")).unwrap();
    let exported: f64 = last.rsplit(' ').nth(1).unwrap().parse().unwrap();
    assert!(last.contains("region=\"WT\"") && exported == steps[3]["soft_dice"]["WT"], "{last}");

    // A journal of an earlier version has none.
    events.iter_mut().for_each(|event| drop(event.as_object_mut().unwrap().remove("soft_dice")));
    let lines: Vec<String> = events.iter().map(Value::to_string).collect();
    std::fs::write(desk.path("run/events.jsonl"), lines.join("\n") + "\n").unwrap();
    desk.run("report run").ok();
    let page = desk.text("run/report.html");
    assert!(page.contains("Validation Dice") && !page.contains("soft in training"));
}

#[test]
fn the_page_needs_nothing_from_anywhere_and_lists_the_worst_case_first() {
    let desk = trained();
    let page = desk.text("run/report.html");
    // The name space of SVG is a name, not a place.
    let without = page.replace("http://www.w3.org/2000/svg", "");
    for place in ["http:", "https:", "<script", "<link", "@import", "url("] {
        assert!(!without.contains(place), "{place}");
    }
    assert!(page.contains("prefers-color-scheme: dark") && page.contains("width=device-width"));
    let cases = page.split("id=\"cases\"").nth(1).unwrap();
    let rows = cases.split("<th scope=\"row\">").skip(1);
    let mean = |row: &str| -> f64 {
        row.split("<td>").nth(1).unwrap().split('<').next().unwrap().parse().unwrap()
    };
    let means: Vec<f64> = rows.map(mean).collect();
    assert_eq!(means.len(), 3);
    assert!(means.is_sorted(), "{means:?}");
}

#[test]
fn a_report_can_be_made_again_and_says_what_an_old_run_lacks() {
    let desk = trained();
    std::fs::remove_dir_all(desk.path("run/validation/overlays")).unwrap();
    let written = desk.run("report run --json").ok().json();
    assert_eq!(written["page"], "run/report.html");
    let page = desk.text("run/report.html");
    assert!(page.contains("There are no overlays") && page.contains("gliaflow evaluate --run"));
    desk.run("evaluate --run run").ok();
    desk.run("report run").ok();
    assert_eq!(desk.text("run/report.html").matches("data:image/png;base64,").count(), 9);
}

#[test]
fn a_run_that_was_killed_or_never_scored_has_a_report_too() {
    let desk = Desk::with_cohort(4);
    let endless = "--set train.epochs=1000000 --set train.validation.every_epochs=0";
    let mut process = desk.start(&format!("train {TINY} {endless} --data data --run run"));
    let journal = desk.path("run/events.jsonl");
    process.wait_for("three epochs", || {
        let told = std::fs::read_to_string(&journal).unwrap_or_default();
        (told.matches("\"event\":\"epoch\"").count() >= 3).then_some(())
    });
    process.signal("KILL");
    process.wait().was_killed();
    desk.run("report run").ok();
    size(&desk, "run/progress.png");
    let page = desk.text("run/report.html");
    assert!(page.contains("Not ended when this was written"));
    assert!(page.contains("nothing has been validated yet"));
    assert!(page.contains("The held-out cases have not been scored"));
    desk.run("report data").exits(2).complains_of(&["data", "holds no run"]);
}

#[test]
fn a_report_that_fails_fails_no_run() {
    let desk = Desk::with_cohort(4);
    std::fs::create_dir_all(desk.path("run/report.html/in the way")).unwrap();
    let outcome = desk.run(&format!("train {TINY} --data data --run run")).ok();
    assert!(outcome.stderr.contains("no report: "), "{}", outcome.stderr);
    assert!(outcome.stderr.contains("try `gliaflow report run`"), "{}", outcome.stderr);
    assert_eq!(desk.json("run/summary.json")["steps"], 4);
}

#[test]
fn a_runs_figures_come_out_as_prometheus_takes_them() {
    let desk = trained();
    let text = desk.run("metrics run --openmetrics --interval 0.01").ok().stdout;
    assert!(text.ends_with("# EOF\n"), "{text}");
    let last = |start: &str| -> f64 {
        let line = text.lines().rfind(|line| line.starts_with(start)).expect(start);
        line.rsplit(' ').nth(1).unwrap().parse().unwrap()
    };
    assert_eq!((last("train_step{"), last("train_samples_total{")), (4.0, 8.0));
    assert_eq!((last("train_epoch{"), last("train_checkpoints_total{")), (2.0, 2.0));
    let dice = last(
        r#"train_dice_ratio{job="gliaflow",instance="run",run="run",split="validation",region="WT"}"#,
    );
    let scores = desk.json("run/validation/summary.json");
    assert_eq!(dice, scores["network"]["regions"]["WT"]["dice"].as_f64().unwrap());
    let written = desk.run("metrics run --openmetrics --interval 0.01 --out run.om --json").ok();
    assert_eq!(desk.text("run.om"), text);
    assert!(written.json()["series"].as_u64().unwrap() > 15);
    desk.run("metrics run --openmetrics --json").exits(2).complains_of(&["--out"]);
    desk.run("metrics run --openmetrics --interval 0").exits(2).complains_of(&["--interval 0"]);
    desk.run("metrics data --openmetrics").exits(1).complains_of(&["holds no journal"]);
}

#[test]
fn runs_are_listed_compared_and_laid_over_each_other_and_a_log_has_a_line_an_epoch() {
    let desk = Desk::with_cohort(4);
    let often = "--set train.validation.every_epochs=1 --set train.tensorboard=true";
    let first = desk.run(&format!("train {TINY} {often} --data data")).ok();
    for line in [
        "epoch 1/2: loss ",
        "epoch 2/2: loss ",
        "validation after epoch 1: Dice ET ",
        ", learning rate ",
        " samples/s, waited ",
    ] {
        assert!(first.stderr.contains(line), "{line}: {}", first.stderr);
    }
    assert!(!first.stderr.contains("found no GPU"), "the CPU was asked for: {}", first.stderr);
    desk.run(&format!("train {TINY} --data data --epochs 1 --lr 0.001 --batch 1")).ok();
    let listed = desk.run("runs --json").ok().json();
    let names: Vec<&str> =
        listed.as_array().unwrap().iter().map(|run| run["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["unet-001", "unet-002"]);
    assert_eq!((&listed[0]["state"], &listed[0]["steps"]), (&"finished".into(), &4.into()));
    assert_eq!((&listed[1]["steps"], &listed[1]["planned_steps"]), (&2.into(), &2.into()));
    let text = desk.run("runs").ok().stdout;
    assert!(text.contains("unet-001") && text.contains("4 of 4"), "{text}");
    let compared = desk.run("runs --compare unet-001 unet-002 --json").ok().json();
    let rates = &compared["settings"]["train.learning_rate"];
    assert_eq!(rates, &serde_json::json!(["0.0002", "0.001"]));
    assert!(compared["settings"]["seed"].is_null(), "the same in both");
    desk.run("report runs/unet-001 runs/unet-002 --out both.html").ok();
    let page = desk.text("both.html");
    assert!(page.contains("unet-001") && page.contains("train.learning_rate"), "{page}");
    for line in ["report runs/nowhere", "runs --compare unet-001 nowhere", "runs --in nowhere"] {
        desk.run(line).exits(2).complains_of(&["nowhere"]);
    }
    // The loss on the same patches at every validation, and the event file beside the journal.
    let journal = desk.json_lines("runs/unet-001/events.jsonl");
    let validations = journal.iter().filter(|event| event["event"] == "validation");
    let losses: Vec<f64> = validations.map(|event| event["loss"].as_f64().unwrap()).collect();
    assert!(losses.len() == 2 && losses.iter().all(|loss| loss.is_finite()), "{losses:?}");
    assert_eq!(desk.names("runs/unet-001/tensorboard").len(), 1);
    assert!(!desk.path("runs/unet-002/tensorboard").exists());
    let summary = desk.json("runs/unet-001/summary.json");
    assert!(summary["checkpoint_seconds"].as_f64().unwrap() > 0.0, "{summary}");
}

#[test]
fn the_cpu_in_place_of_a_gpu_is_said_once_at_any_log_level() {
    let desk = Desk::with_cohort(3);
    let line = format!("train {TINY} --data data --run run --set device=auto --log error");
    let said = desk.run(&line).ok().stderr;
    assert_eq!(said.matches("because device = \"auto\" found no GPU").count(), 1, "{said}");
    assert!(said.contains("--set device=cpu") && said.contains("a step takes "), "{said}");
    let refused = desk.run(&format!("train {TINY} --data data --set device=gpu")).exits(4);
    refused.complains_of(&["device gpu: through CUDA", "--set device=cpu"]);
    for line in ["train --dry-run", "config show"] {
        desk.run(&format!("{line} --set data.folder=data --set device=gpu")).ok();
    }
}
