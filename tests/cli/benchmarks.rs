//! `bench-step`: every network is timed on a real step.

use serde_json::Value;

use crate::cli::harness::Desk;

/// Settings that make each network as small as it can be, and its smallest patch.
const SMALL: [(&str, &str, usize); 3] = [
    ("unet", "model.settings={base_width=2,levels=2}", 8),
    (
        "resunet_vae",
        "model.settings={base_width=2,groups=1,encoder_units=[1,1],latent=2,patch=[8,8,8]}",
        8,
    ),
    ("cascaded", "model.settings={base_width=1,levels=2,loss_weights=[0.5,0.5]}", 8),
];

fn number(cost: &Value, field: &str) -> f64 {
    cost[field].as_f64().unwrap_or_else(|| panic!("{field} in {cost}"))
}

#[test]
fn every_network_is_timed_and_learns_on_its_batch() {
    let desk = Desk::new();
    for (model, settings, side) in SMALL {
        let line = format!(
            "bench-step --model {model} --device cpu --patch {side} --batch 2 --steps 4 \
             --set {settings} --set train.learning_rate=1e-2 --json"
        );
        let cost = desk.run(&line).ok().json();
        assert_eq!((&cost["model"], &cost["batch"]), (&model.into(), &2.into()));
        assert_eq!(cost["patch"], serde_json::json!([side, side, side]));
        assert_eq!(cost["steps"], 4);
        assert!(number(&cost, "parameters") > 10.0, "{cost}");
        let seconds = number(&cost, "seconds_per_step");
        assert!(seconds > 0.0, "{cost}");
        assert!((number(&cost, "samples_per_second") * seconds - 2.0).abs() < 1e-9, "{cost}");
        for field in ["forward_seconds", "backward_seconds", "inference_seconds"] {
            assert!(number(&cost, field) > 0.0, "{field} in {cost}");
        }
        assert!(number(&cost, "last_loss") < number(&cost, "first_loss"), "{cost}");
        assert!(cost["peak_device_bytes"].is_null(), "the CPU's memory is the process's");
        if cfg!(target_os = "linux") {
            assert!(number(&cost, "cpu_seconds_per_step") >= 0.0, "{cost}");
            assert!(number(&cost, "peak_rss_bytes") > 1e6, "{cost}");
        }
    }
}

#[test]
fn brain_floats_train_nearly_as_single_precision_does() {
    let desk = Desk::new();
    for (model, settings, side) in SMALL {
        let run = |precision: &str| {
            desk.run(&format!(
                "bench-step --model {model} --device cpu --patch {side} --steps 6 --precision \
                 {precision} --set {settings} --set train.learning_rate=1e-2 --json"
            ))
            .ok()
            .json()
        };
        let (rounded, exact) = (run("bf16"), run("f32"));
        assert_eq!((&rounded["precision"], &exact["precision"]), (&"bf16".into(), &"f32".into()));
        for field in ["first_loss", "last_loss"] {
            let (found, expected) = (number(&rounded, field), number(&exact, field));
            assert!((found / expected - 1.0).abs() < 0.05, "{model}: {found} for {expected}");
        }
        assert_ne!(rounded["first_loss"], exact["first_loss"], "{model} did not round");
        assert!(number(&rounded, "last_loss") < number(&rounded, "first_loss"), "{rounded}");
    }
}

#[test]
fn without_json_the_costs_are_a_short_text() {
    let (model, settings, side) = SMALL[0];
    let line = format!(
        "bench-step --model {model} --device cpu --patch {side} --steps 1 --set {settings}"
    );
    let outcome = Desk::new().run(&line).ok();
    for word in ["unet (", "products   f32", "step ", "samples ", "forward ", "memory ", "loss "] {
        assert!(outcome.stdout.contains(word), "{word} in {}", outcome.stdout);
    }
}

#[test]
fn what_cannot_be_timed_is_refused_with_the_way_out() {
    let desk = Desk::new();
    for (arguments, code, words) in [
        ("--model vnet", 2, ["vnet", "unet, resunet_vae, cascaded"]),
        ("--model unet --patch 20 --device cpu", 2, ["[20, 20, 20]", "multiple of 16"]),
        ("--model unet --device tpu", 2, ["tpu", "cpu"]),
        ("--model unet --precision f16", 2, ["f16", "bf16"]),
    ] {
        let outcome = desk.run(&format!("bench-step {arguments}")).exits(code);
        outcome.complains_of(&words);
    }
    let outcome = desk.run("bench-step --model unet --steps 0").exits(2);
    assert!(outcome.stderr.contains("--steps"), "{}", outcome.stderr);
}
