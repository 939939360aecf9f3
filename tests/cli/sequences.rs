//! `sequence`: command lines of one process, each with a report and an answer of its own.

use std::fs::File;
use std::process::{Command, Output, Stdio};

use serde_json::{Value, json};

use crate::cli::harness::Desk;

/// A sequence with these lines as its input.
fn sequence(desk: &Desk, lines: &[String]) -> Output {
    let input = desk.path("lines");
    std::fs::write(&input, lines.join("\n")).unwrap();
    Command::new(env!("CARGO_BIN_EXE_gliaflow"))
        .arg("sequence")
        .current_dir(desk.path("."))
        .stdin(Stdio::from(File::open(&input).unwrap()))
        .output()
        .unwrap()
}

fn command(words: &str, report: &str) -> String {
    let words: Vec<&str> = words.split_whitespace().collect();
    json!({ "words": words, "report": report }).to_string()
}

fn answers(output: &Output) -> Vec<Value> {
    let text = String::from_utf8(output.stdout.clone()).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn document(desk: &Desk, name: &str) -> Value {
    serde_json::from_str(&desk.text(name)).unwrap()
}

#[test]
fn every_line_is_answered_and_one_that_fails_leaves_the_others_as_they_are() {
    let desk = Desk::new();
    let phantom = "phantom --cases 1 --shape 24x28x26 --metrics-addr off";
    let output = sequence(
        &desk,
        &[
            command(&format!("{phantom} --out one"), "one.json"),
            command("inspect nowhere", "nowhere.json"),
            command("trian", "trian.json"),
            command("sequence", "nested.json"),
            String::new(),
            command(&format!("{phantom} --out two"), "two.json"),
        ],
    );
    assert!(output.status.success(), "{output:?}");
    let codes: Vec<Value> =
        answers(&output).into_iter().map(|answer| answer["exit_code"].clone()).collect();
    let failed = document(&desk, "nowhere.json")["exit_code"].clone();
    assert_ne!(failed, 0);
    assert_eq!(codes, [json!(0), failed, json!(2), json!(2), json!(0)]);
    assert!(document(&desk, "trian.json")["error"].as_str().unwrap().contains("trian"));
    assert!(document(&desk, "nested.json")["error"].as_str().unwrap().contains("in a sequence"));
    for name in ["one", "two"] {
        assert!(document(&desk, &format!("{name}.json")).is_object());
        assert!(desk.path(name).is_dir());
    }
}

#[test]
fn a_line_that_is_no_command_ends_the_sequence_with_the_form_of_one() {
    let desk = Desk::new();
    let output = sequence(&desk, &["inspect data".into(), command("inspect data", "x.json")]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("`inspect data` is no command"), "{said}");
    assert!(said.contains("\"report\": \"FILE\""), "{said}");
    assert!(output.stdout.is_empty());
}

#[cfg(feature = "train")]
#[test]
fn networks_and_convolutions_are_timed_in_one_process() {
    let desk = Desk::new();
    let network = "bench-step --model unet --device cpu --patch 8 --steps 1 --warmup 0 \
                   --set model.settings={base_width=2,levels=2}";
    let output = sequence(
        &desk,
        &[
            command(network, "step.json"),
            command("bench-convolution --device cpu --repeats 1 2:4:8 4:4:8:3:2:2", "conv.json"),
        ],
    );
    assert!(output.status.success(), "{output:?}");
    assert_eq!(document(&desk, "step.json")["products"], "f32");
    let measured = document(&desk, "conv.json");
    assert_eq!(measured["products"], "f32");
    let strided = &measured["convolutions"][1];
    assert_eq!((&strided["stride"], &strided["groups"]), (&json!(2), &json!(2)));
    for pass in ["forward_seconds", "data_gradient_seconds", "weight_gradient_seconds"] {
        assert!(strided[pass].as_f64().unwrap() > 0.0, "{pass} in {strided}");
    }
}
