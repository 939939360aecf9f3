//! `export` and `train --init`: a run's weights as a file, and a run from a file of weights.

use std::collections::BTreeMap;

use gliaflow::internals::nets::onnx::proto::ModelProto;
use prost::Message;
use serde_json::Value;

use crate::cli::harness::{Desk, TINY};

#[test]
fn exported_weights_start_another_run_where_the_first_one_ended() {
    let desk = Desk::with_cohort(4);
    desk.run(&format!("train {TINY} --data data --run first")).ok();
    let exported = desk.run("export --run first --out w.safetensors --json").ok().json();
    assert_eq!((&exported["model"], &exported["step"]), (&"unet".into(), &4.into()));
    let bytes = std::fs::read(desk.path("w.safetensors")).unwrap();
    assert_eq!(exported["bytes"], bytes.len());
    desk.run("export --run first --out again.safetensors").ok();
    assert_eq!(bytes, std::fs::read(desk.path("again.safetensors")).unwrap());

    // A step that moves nothing: what it leaves is what it was given.
    let still =
        "--set train.learning_rate=1e-30 --set train.epochs=1 --set train.steps_per_epoch=1";
    let line = format!("train {TINY} {still} --data data --init w.safetensors --run second");
    desk.run(&line).ok();
    desk.run("export --run second --out second.safetensors").ok();
    assert!(bytes == std::fs::read(desk.path("second.safetensors")).unwrap());
    assert!(desk.text("second/config.toml").contains("init = \"w.safetensors\""));

    // A run's folder stands for its latest weights.
    desk.run(&format!("train {TINY} {still} --data data --init first --run third")).ok();
    desk.run("export --run third --out third.safetensors").ok();
    assert!(bytes == std::fs::read(desk.path("third.safetensors")).unwrap());

    // So do the folder of a checkpoint, and the file in it, for theirs.
    let last = desk.text("first/checkpoints/latest");
    for (run, file) in [("fourth", ""), ("fifth", "/weights.bpk")] {
        let init = format!("first/checkpoints/{last}{file}");
        desk.run(&format!("train {TINY} {still} --data data --init {init} --run {run}")).ok();
        desk.run(&format!("export --run {run} --out {run}.safetensors")).ok();
        let own = std::fs::read(desk.path(&format!("{run}.safetensors"))).unwrap();
        assert!(bytes == own, "{init}");
    }
    for (name, words) in [
        ("optimiser.bpk", "is not what this checkpoint's network predicts with; name weights.bpk"),
        ("../../../data/x.bpk", "holds no run; name a run's folder, one of its checkpoints"),
    ] {
        let init = format!("first/checkpoints/{last}/{name}");
        let refused = desk.run(&format!("train {TINY} --data data --init {init} --run other"));
        refused.exits(2).complains_of(&[words]);
        assert!(!desk.path("other").exists());
    }
}

#[test]
fn a_network_that_differs_in_part_starts_from_what_fits_and_trains_what_is_not_frozen() {
    let desk = Desk::with_cohort(4);
    desk.run(&format!("train {TINY} --data data --run first")).ok();
    let changed = "--set model.settings={base_width=2,levels=2,conv_bias=false}";
    let frozen = "--set train.freeze=[\"enc\",\"bottom.0\"]";
    let line = format!("train {TINY} {changed} {frozen} --data data --init first --run second");
    let done = desk.run(&line).ok();
    for words in ["what does not fit", "enc.0.0.conv.bias is not in the network"] {
        assert!(done.stderr.contains(words), "{}", done.stderr);
    }
    let started = &desk.json_lines("second/events.jsonl")[0];
    assert_eq!(started["initial_weights"]["source"], "first");
    let misfits = started["initial_weights"]["misfits"].as_array().unwrap();
    assert!(misfits.contains(&"dec.0.1.conv.bias is not in the network".into()), "{misfits:?}");
    assert_eq!(started["frozen"], serde_json::json!(["enc", "bottom.0"]));

    // What was frozen is what it was in the first run, and nothing else is.
    desk.run("export --run first --out first.safetensors").ok();
    desk.run("export --run second --out second.safetensors").ok();
    let [first, second] = ["first", "second"].map(|name| tensors(&desk, name));
    for (name, values) in &second {
        let is_frozen = name.starts_with("enc.") || name.starts_with("bottom.0.");
        assert_eq!(*values == first[name], is_frozen, "{name}");
    }
    // A run that is resumed keeps them frozen, and a run like the first has nothing to name.
    desk.run("train --resume second --set train.epochs=3").ok();
    desk.run("export --run second --out second.safetensors").ok();
    let later = tensors(&desk, "second");
    assert_eq!(later["enc.0.0.conv.weight"], first["enc.0.0.conv.weight"]);
    assert_ne!(later["head.weight"], second["head.weight"]);
    let same = desk.run(&format!("train {TINY} --data data --init first --run third")).ok();
    assert!(!same.stderr.contains("what does not fit"), "{}", same.stderr);
    assert_eq!(desk.json_lines("third/events.jsonl")[0]["initial_weights"]["misfits"], Value::Null);

    let line = format!("train {TINY} --data data --run other --set train.freeze=[\"encoder\"]");
    let words = ["train.freeze = \"encoder\"", "enc, enc.0, bottom", "head"];
    desk.run(&line).exits(2).complains_of(&words);
}

/// Values of an exported run's tensors by name.
fn tensors(desk: &Desk, run: &str) -> BTreeMap<String, Vec<u8>> {
    let bytes = std::fs::read(desk.path(&format!("{run}.safetensors"))).unwrap();
    let (length, rest) = bytes.split_first_chunk().unwrap();
    let (header, data) = rest.split_at(u64::from_le_bytes(*length) as usize);
    let header: BTreeMap<String, Value> = serde_json::from_slice(header).unwrap();
    let tensors = header.into_iter().filter(|(name, _)| name != "__metadata__");
    let at = |field: &Value, end: usize| field["data_offsets"][end].as_u64().unwrap() as usize;
    tensors.map(|(name, field)| (name, data[at(&field, 0)..at(&field, 1)].to_vec())).collect()
}

/// Two modalities of the same number are not the same modalities, nor are regions.
#[test]
fn weights_of_other_modalities_and_regions_are_left_aside_by_name() {
    let desk = Desk::with_cohort(4);
    let of = |modalities: &str, regions: &str| {
        format!(
            "--set data.modalities=[{modalities}] --set data.regions=[{regions}] --data data \
             --set train.learning_rate=1e-30 --set train.epochs=1 --set train.steps_per_epoch=1"
        )
    };
    let first = of(r#""t1ce","flair""#, r#""ET","TC""#);
    desk.run(&format!("train {TINY} {first} --run first")).ok();
    // Another seed: what is drawn is not what was drawn for the first run.
    let second = of(r#""t2","flair""#, r#""ET","WT""#) + " --set seed=5";
    let names = [
        "modality t2 is not in the file (enc.0.0.conv.weight)",
        "modality t1ce is not in the network (enc.0.0.conv.weight)",
        "region WT is not in the file (head.weight, head.bias)",
        "region TC is not in the network (head.weight, head.bias)",
    ];
    desk.run("export --run first --out first.safetensors").ok();
    let first = tensors(&desk, "first");
    for (run, init) in [("second", "first"), ("third", "first.safetensors")] {
        let done = desk.run(&format!("train {TINY} {second} --init {init} --run {run}")).ok();
        let started = &desk.json_lines(&format!("{run}/events.jsonl"))[0];
        assert_eq!(started["initial_weights"]["misfits"], serde_json::json!(names));
        assert!(names.iter().all(|name| done.stderr.contains(name)), "{}", done.stderr);
        desk.run(&format!("export --run {run} --out {run}.safetensors")).ok();
        for (name, values) in tensors(&desk, run) {
            let [own, loaded] = [&values, &first[&name]].map(|bytes| floats(bytes));
            let same: Vec<bool> =
                own.iter().zip(&loaded).map(|(a, b)| (a - b).abs() < 1e-20).collect();
            match name.as_str() {
                // Taps of each output's modalities: FLAIR is the second of both.
                "enc.0.0.conv.weight" => {
                    for own in same.chunks(54) {
                        assert!(
                            !own[..27].contains(&true) && !own[27..].contains(&false),
                            "{name}"
                        );
                    }
                }
                "head.weight" => assert_eq!(same, [true, true, false, false]),
                "head.bias" => assert!(same[0]),
                _ => assert!(!same.contains(&false), "{name}"),
            }
        }
    }
}

/// Values of a tensor in single precision.
fn floats(bytes: &[u8]) -> Vec<f32> {
    bytes.as_chunks().0.iter().map(|chunk| f32::from_le_bytes(*chunk)).collect()
}

#[test]
fn a_folder_that_is_missing_is_named_and_the_advice_makes_it() {
    let desk = Desk::with_cohort(4);
    desk.run(&format!("train {TINY} --data data --run run")).ok();
    let line = "export --run run --out no/such/w.safetensors";
    let words = ["no/such/w.safetensors", "its folder is not there", "`mkdir -p`"];
    desk.run(line).exits(1).complains_of(&words);
    std::fs::create_dir_all(desk.path("no/such")).unwrap();
    desk.run(line).ok();
}

#[test]
fn weights_that_do_not_fit_and_runs_that_are_none_are_refused() {
    let desk = Desk::with_cohort(4);
    desk.run(&format!("train {TINY} --data data --run run")).ok();
    desk.run("export --run run --out w.safetensors").ok();
    let wider = "--set model.settings={base_width=3,levels=2}";
    let line = format!("train {TINY} {wider} --data data --init w.safetensors --run other");
    desk.run(&line)
        .exits(1)
        .complains_of(&["w.safetensors", "enc.0.0.conv.weight is [2, 4, 3, 3, 3]"]);
    let line = format!("train {TINY} {wider} --data data --init run --run another");
    desk.run(&line)
        .exits(1)
        .complains_of(&["run (unet)", "enc.0.0.conv.weight is [2, 4, 3, 3, 3]"]);
    let cascaded = "--set model.name=cascaded --set model.settings={base_width=1,levels=2}";
    let line = format!("train {TINY} {cascaded} --data data --init run --run foreign");
    desk.run(&line).exits(1).complains_of(&["run (unet)", "has no stages.", "has besides"]);
    let line = format!("train {TINY} --data data --init data --run none");
    desk.run(&line).exits(2).complains_of(&["data: holds no run"]);
    assert!(!desk.path("other/checkpoints/latest").exists());
    desk.run("export --run data --out x.safetensors").exits(2).complains_of(&["holds no run"]);
}

#[test]
fn a_network_as_onnx_says_what_it_takes_and_its_reference_is_of_the_extent_that_was_asked_for() {
    let desk = Desk::with_cohort(4);
    let channels = r#"--set data.modalities=["t1ce","flair"] --set data.regions=["ET","WT"]"#;
    desk.run(&format!("train {TINY} {channels} --data data --run run")).ok();
    let exported = desk.run("export --run run --onnx run.onnx --json").ok().json();
    let weights = desk.run("export --run run --out w.safetensors --json").ok().json();
    for same in ["model", "step", "tensors", "parameters"] {
        assert_eq!(exported[same], weights[same], "{same}");
    }
    let bytes = std::fs::read(desk.path("run.onnx")).unwrap();
    assert_eq!(exported["bytes"], bytes.len());
    let model = ModelProto::decode(bytes.as_slice()).unwrap();
    let metadata: BTreeMap<String, String> = model
        .metadata_props
        .into_iter()
        .map(|entry| (entry.key.unwrap(), entry.value.unwrap()))
        .collect();
    for (key, value) in [
        ("modalities", "t1ce,flair"),
        ("regions", "ET,WT"),
        ("axes", "zyx"),
        ("patch", "16,16,16"),
        ("patch_divisor", "2"),
        ("network", "unet"),
        ("step", "4"),
        ("version", env!("CARGO_PKG_VERSION")),
    ] {
        assert_eq!(metadata[key], value, "{key}");
    }
    assert!(metadata["normalisation"].contains("foreground rule: nonzero"));

    desk.run("export --run run --reference reference.safetensors --extent 6,8,4").ok();
    let reference = tensors(&desk, "reference");
    let logits = floats(&reference["logits"]);
    assert_eq!((floats(&reference["images"]).len(), logits.len()), (2 * 192, 2 * 192));
    assert!(logits.iter().all(|logit| logit.is_finite()));
    assert!(logits.iter().any(|logit| *logit != logits[0]));
    let line = "export --run run --reference x.safetensors --extent 5,8,4";
    desk.run(line).exits(2).complains_of(&["--extent 5,8,4", "multiples of 2"]);
    let refused = desk.run("export --run run").exits(2);
    assert!(refused.stderr.contains("--onnx <FILE>"), "{}", refused.stderr);
    let refused = desk.run("export --run run --onnx a --out b").exits(2);
    assert!(refused.stderr.contains("cannot be used with"), "{}", refused.stderr);
}

#[test]
fn a_residual_network_becomes_a_bundle_of_monai_and_others_are_refused() {
    let desk = Desk::with_cohort(4);
    let settings = "base_width=4,groups=2,encoder_units=[1,1],patch=[16,16,16],latent=2";
    let residual = TINY.replace("base_width=2,levels=2", settings);
    let line = format!("train {residual} --set model.name=resunet_vae --data data --run run");
    desk.run(&line).ok();
    let exported = desk.run("export --run run --monai-bundle bundle --json").ok().json();
    assert_eq!(exported["model"], "resunet_vae");
    assert_eq!(desk.names("bundle"), ["LICENSE", "configs", "docs", "models"]);
    let bytes = std::fs::read(desk.path("bundle/models/model.pt")).unwrap();
    assert_eq!(exported["bytes"], bytes.len());
    let inference = desk.json("bundle/configs/inference.json");
    assert_eq!(inference["network_def"]["_target_"], "SegResNet");
    assert_eq!(inference["network_def"]["init_filters"], 4);
    assert_eq!(inference["inferer"]["roi_size"], serde_json::json!([16, 16, 16]));
    // WT is oedema but for what is painted over it; values of BraTS to 2021.
    assert_eq!(inference["painting"], serde_json::json!([[2, 2], [1, 1], [0, 4]]));
    let metadata = desk.json("bundle/configs/metadata.json");
    let inputs = &metadata["network_data_format"]["inputs"]["image"];
    assert_eq!((&inputs["channel_def"]["1"], &inputs["num_channels"]), (&"t1ce".into(), &4.into()));
    assert_eq!(metadata["gliaflow"]["step"], 4);
    assert!(desk.text("bundle/docs/README.md").contains("t1, t1ce, t2, flair"));

    desk.run("export --run run --monai-bundle bundle")
        .exits(2)
        .complains_of(&["bundle: is there", "name a folder that is not"]);
    desk.run(&format!("train {TINY} --data data --run other")).ok();
    desk.run("export --run other --monai-bundle b2").exits(2).complains_of(&[
        "unet",
        "no network that MONAI has",
        "`--onnx`",
    ]);
    let names = desk.names(".");
    assert!(!names.iter().any(|name| name.contains("draft") || name == "b2"), "{names:?}");
}
