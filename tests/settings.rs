//! Schema of settings: complete, enforced, and what its page and the fingerprints are made from.

mod complete;
mod list;
mod page;

use std::collections::BTreeMap;
use std::path::Path;
use std::thread::available_parallelism;

use gliaflow::internals::base::{Fingerprint, range_text};
use gliaflow::internals::run::config::{load, run_schema};
use proptest::prelude::*;
use serde_json::Value;

use list::{Setting, list_settings};
use page::settings_markdown;

/// Assignments that between them show every setting.
const SHOWN: [&str; 29] = [
    "augment.noise.even_in_deviation=true",
    "augment.scaling.even_in_coordinates=true",
    "augment.filters.blur.probability=0.2",
    "augment.mixing.share=0.2",
    "data.synthetic={ folder = \"generated\", share = 0.1 }",
    "train.pause_after=1",
    "data={ shares = {}, pseudo = { targets = \"soft\", temperature = 2, teacher = \"0123456789abcdef0123456789abcdef\" } }",
    "train.tensorboard=true",
    "train.validation.loss_patches=1",
    "augment.modality_dropout.probability=0.1",
    "data.modalities=[\"t1ce\", \"flair\"]",
    "data.regions=[\"ET\", \"RC\"]",
    "data.missing=zero",
    "seed=1",
    "kernels=cubecl",
    "train.checkpoint.patience=1",
    "train.freeze=[\"enc\"]",
    "evaluation.within_tissue=true",
    "model.name=resunet_vae",
    "model.name=cascaded",
    "train.schedule={ kind = \"smooth\", factor = 0.5, every_epochs = 2 }",
    "train.schedule={ kind = \"plateau\", factor = 0.5, patience = 2 }",
    "train.schedule={ kind = \"poly\", power = 0.9 }",
    "train.schedule={ kind = \"cosine\" }",
    "optimiser={ kind = \"sgd\", nesterov = true, clip_norm = 1, average = 0.9 }",
    "optimiser={ kind = \"adamw\" }",
    "optimiser={ kind = \"adam\", decay_kernels_only = true }",
    "data={ labels = \"msd\", shares = {}, split_seed = 3, max_voxels = 9, spacing = [1, 1, 1], interpolation = \"cubic\", pseudo = { share = 0.5, teacher = \"0123456789abcdef0123456789abcdef\" } }",
    "drill={ slow_stage = \"crop\", slow_stage_ms = 1, slow_step_ms = 1, unhealthy_after_ms = 9 }",
];

/// Dotted paths of the settings in a configuration, with their values.
fn leaves(table: &toml::Table, section: &str, found: &mut BTreeMap<String, toml::Value>) {
    for (key, value) in table {
        let path = [section, key].join(".").trim_start_matches('.').to_string();
        match value {
            toml::Value::Table(inner) => leaves(inner, &path, found),
            value => _ = found.insert(path, value.clone()),
        }
    }
}

#[test]
fn every_setting_is_described_and_every_number_has_a_range() {
    let schema = run_schema();
    let settings = list_settings(&schema);
    assert!(settings.len() > 90, "only {} settings: the walk is broken", settings.len());
    for setting in &settings {
        let description = setting.schema["description"].as_str().unwrap_or_default();
        assert!(!description.is_empty(), "{}: no description", setting.path);
        if let Some(number) = setting.number() {
            let range = range_text(number);
            assert!(
                range.contains(" to ") || setting.path == "schema",
                "{}: {range}",
                setting.path
            );
        }
    }
    let mut shown = BTreeMap::new();
    for assignment in SHOWN {
        let config = load(None, &[assignment.to_string()]).unwrap();
        leaves(&toml::from_str(&config.to_toml().unwrap()).unwrap(), "", &mut shown);
    }
    for (path, value) in &shown {
        let known: Vec<_> = settings.iter().filter(|setting| setting.path == *path).collect();
        assert!(!known.is_empty(), "{path} is not in the schema");
        let first = value.as_array().map_or(value, |items| &items[0]);
        if first.is_integer() || first.is_float() {
            assert!(known.iter().all(|setting| setting.number().is_some()), "{path} = {value}");
        }
    }
    let missing: Vec<_> = settings.iter().filter(|own| !shown.contains_key(&own.path)).collect();
    let sections = ["loader.workers", "model.settings"];
    let optional = [
        "augment.own",     // filters and losses that no program registers here
        "augment.profile", // resolved: its values are shown
        "data.described",
        "data.description",
        "data.fold",
        "data.painting",
        "data.patients",
        "data.split",
        "loss.name",
        "loss.settings",
        "model.init",
    ];
    for setting in missing {
        let path = setting.path.as_str();
        assert!(sections.contains(&path) || optional.contains(&path), "{path} is never shown");
    }
}

/// Assignments that give a setting the value `text`.
fn assignments(setting: &Setting<'_>, text: &str) -> Vec<String> {
    let Setting { path, choice, .. } = setting;
    let (section, key) = setting.section_and_key();
    match choice.strip_prefix("name = ") {
        Some(network) => vec![format!("model.name={network}"), format!("{path}={text}")],
        None if choice.is_empty() => vec![format!("{path}={text}")],
        None => vec![format!("{section}={{ {choice}, {key} = {text} }}")],
    }
}

#[test]
fn a_number_out_of_its_range_is_refused_with_exit_code_2_by_its_path() {
    let schema = run_schema();
    let mut refused = 0;
    for setting in list_settings(&schema) {
        let Some(number) = setting.number() else { continue };
        let bound = |keys: [&str; 2]| keys.iter().find_map(|key| number[*key].as_f64()).unwrap();
        let below = bound(["minimum", "exclusiveMinimum"]);
        let above = bound(["maximum", "exclusiveMaximum"]);
        let mut values: Vec<String> = ["nan", "inf", "-inf", "\"many\""].map(String::from).into();
        if number["type"] == "integer" {
            values.push(format!("{}", below as i64 - 1));
            values.extend((above as i64).checked_add(1).map(|past| past.to_string()));
            values.push("1.5".into());
        } else {
            values.extend(
                [below - 1e-9 * below.abs().max(1.0), above * 1.001].map(|v| format!("{v:?}")),
            );
            for (key, edge) in [("exclusiveMinimum", below), ("exclusiveMaximum", above)] {
                values.extend(number[key].as_f64().map(|_| format!("{edge:?}")));
            }
        }
        let length = setting.schema["minItems"].as_u64();
        for value in values {
            let text = match length {
                Some(count) => format!("[{}]", vec![value.as_str(); count as usize].join(", ")),
                None => value,
            };
            let failure = load(None, &assignments(&setting, &text)).err();
            let failure = failure.unwrap_or_else(|| panic!("{} = {text} passes", setting.path));
            assert_eq!(failure.exit_code(), 2);
            let told = failure.to_string();
            assert!(told.contains(&setting.path), "{} = {text}: {told}", setting.path);
            assert!(told.contains("write "), "{} = {text}: {told}", setting.path);
            refused += 1;
        }
    }
    assert!(refused > 400, "only {refused} values were tried");
}

/// True of a number in the setting's range that is in it in single precision, too.
fn is_usable(number: &Value, value: f64) -> bool {
    let holds = |key: &str, fits: fn(f64, f64) -> bool| {
        number[key].as_f64().is_none_or(|end| {
            fits(value, end) && fits(f64::from(value as f32), f64::from(end as f32))
        })
    };
    number["type"] == "number"
        && ((value as f32).is_normal() || value == 0.0)
        && holds("minimum", |value, end| value >= end)
        && holds("maximum", |value, end| value <= end)
        && holds("exclusiveMinimum", |value, end| value > end)
        && holds("exclusiveMaximum", |value, end| value < end)
}

/// Checks that `value` of a setting is refused by field, value and way out, if it is not usable.
fn judge(setting: &Setting<'_>, value: f64) -> Result<(), String> {
    let text = toml::Value::Float(value).to_string();
    let given = match setting.schema["minItems"].as_u64() {
        Some(count) => format!("[{}]", vec![text.as_str(); count as usize].join(", ")),
        None => text,
    };
    if is_usable(setting.number().unwrap(), value) {
        return Ok(());
    }
    let told = match load(None, &assignments(setting, &given)) {
        Err(failure) if failure.exit_code() == 2 => failure.to_string(),
        Err(failure) => return Err(format!("{given}: exit code {}", failure.exit_code())),
        Ok(_) => return Err(format!("{} = {given} passes", setting.path)),
    };
    let words = told.split([' ', ',', ';', '[', ']']);
    let mut numbers = words.filter_map(|word| word.parse::<f64>().ok());
    let names_value = numbers.any(|own| own == value || (own.is_nan() && value.is_nan()));
    let is_clear = told.contains(&setting.path) && names_value && told.contains("; write ");
    is_clear.then_some(()).ok_or(format!("{} = {given}: {told}", setting.path))
}

#[test]
fn absurd_numbers_are_refused_by_field_value_and_way_out() {
    let schema = run_schema();
    let absurd = [
        f64::NAN,
        f64::INFINITY,
        f64::NEG_INFINITY,
        -1e300,
        -1e-300,
        1e300,
        1e39,
        1e-46,
        1e-39,
        1.0 - 1e-12,
    ];
    for setting in list_settings(&schema).iter().filter(|own| own.number().is_some()) {
        for value in absurd {
            judge(setting, value).unwrap_or_else(|problem| panic!("{problem}"));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn any_number_of_any_setting_is_refused_or_usable(
        place in any::<prop::sample::Index>(), value in prop::num::f64::ANY,
    ) {
        let schema = run_schema();
        let settings = list_settings(&schema);
        let numbers: Vec<_> = settings.iter().filter(|own| own.number().is_some()).collect();
        let judged = judge(numbers[place.index(numbers.len())], value);
        prop_assert!(judged.is_ok(), "{judged:?}");
    }
}

#[test]
fn what_divides_is_not_zero() {
    for setting in [
        "optimiser={ kind = \"adam\", epsilon = 0.0 }",
        "optimiser={ kind = \"adamw\", epsilon = 0.0 }",
        "optimiser={ kind = \"adam\", epsilon = 1e-60 }",
        "loss.denominator_epsilon=0.0",
        "model={ name = \"cascaded\", settings = { norm_epsilon = 0.0 } }",
        "train.schedule={ kind = \"step\", factor = 0.5, every_epochs = 0.0 }",
        "train.schedule={ kind = \"smooth\", factor = 0.5, every_epochs = 0.0 }",
        "augment.scaling.factor=[0.0, 1.0]",
        "augment.contrast.factor=[0.0, 1.0]",
        "optimiser={ kind = \"sgd\", clip_norm = 0.0 }",
        "optimiser={ kind = \"sgd\", clip_norm = 1e-60 }",
        "loader.batch=0",
        "train.accumulate=0",
    ] {
        let refused = load(None, &[setting.to_string()]).err();
        let refused = refused.unwrap_or_else(|| panic!("{setting} passes"));
        assert_eq!(refused.exit_code(), 2);
        assert!(refused.to_string().contains("write "), "{refused}");
    }
}

#[test]
fn lists_are_as_long_as_they_may_be_and_intervals_ascend() {
    for (assignment, words) in [
        ("model={ name = \"cascaded\", settings = { loss_weights = [] } }", "1 to 4"),
        ("model={ name = \"resunet_vae\", settings = { encoder_units = [1] } }", "2 to 7"),
        ("augment.gamma.exponent=[1.5, 0.7]", "write the lower end first"),
        ("loader.batch=\"2\"", "loader.batch = \"2\" is no number; write 1 to 1024"),
        ("optimiser.clip_norm=0", "clip_norm = 0 is out of range; write above 0 to 1000000000"),
    ] {
        let told = load(None, &[assignment.to_string()]).err().unwrap().to_string();
        assert!(told.contains(words), "{told}");
    }
}

/// Fingerprints of the release before the schema, on two cores, and what they were made from:
/// `CORES` and `HALF` stand for the number of cores and half of it, which defaults depend on.
/// Gamma's `retain_stats`, `data.foreground` and `data.quality` have come since: they make other
/// samples, so other runs.
const RECORDED: &str = include_str!("fixtures/settings/fingerprints.json");

#[test]
fn fingerprints_are_those_of_the_runs_before_the_schema() {
    let recorded: Vec<Value> = serde_json::from_str(RECORDED).unwrap();
    assert_eq!(recorded.len(), 4);
    for run in recorded {
        let deciding = run["deciding"].as_str().unwrap();
        let on = |cores: usize| {
            let half = cores.div_ceil(2).to_string();
            let text = deciding.replace("CORES", &cores.to_string()).replace("HALF", &half);
            Fingerprint::of_bytes(text.as_bytes())
        };
        assert_eq!(on(2).to_string(), run["on_two_cores"].as_str().unwrap());
        let set: Vec<String> = serde_json::from_value(run["set"].clone()).unwrap();
        let cores = available_parallelism().map_or(1, usize::from);
        assert_eq!(load(None, &set).unwrap().fingerprint(), on(cores), "{set:?}");
    }
}

#[test]
fn settings_that_do_not_decide_leave_the_fingerprint_alone_and_all_others_change_it() {
    let print = |set: &[String]| load(None, set).unwrap().fingerprint();
    // What a filter or mixing does decides nothing where none is ever drawn.
    let filtered = ["augment.filters.blur.probability=0.2".to_string()];
    let mixed = ["augment.mixing.share=0.2".to_string()];
    let schema = run_schema();
    let mut tried = 0;
    for setting in list_settings(&schema) {
        let default = &setting.schema["default"];
        let other = match (setting.schema["type"].as_str(), default) {
            (Some("boolean"), Value::Bool(value)) => (!value).to_string(),
            (Some("integer"), Value::Number(value)) => (value.as_u64().unwrap() + 1).to_string(),
            (Some("number"), Value::Number(value)) => {
                format!("{:?}", value.as_f64().unwrap() * 0.5)
            }
            _ => continue,
        };
        let other = if other == "0.0" { "0.25".into() } else { other };
        // A temperature is a teacher's, which no default run has.
        let other_tests = ["schema", "loader.cached", "data.pseudo.temperature"];
        if !setting.choice.is_empty() || other_tests.contains(&setting.path.as_str()) {
            continue;
        }
        let is_below = |section: &str| setting.path.starts_with(section);
        let around: &[String] = match () {
            () if is_below("augment.filters.") => &filtered,
            () if is_below("augment.mixing.") => &mixed,
            () => &[],
        };
        let changed = [around, &assignments(&setting, &other)].concat();
        let same = print(&changed) == print(around);
        assert_eq!(same, !setting.decides, "{} = {other}", setting.path);
        tried += 1;
    }
    assert!(tried > 40, "only {tried} settings were tried");
}

#[test]
fn the_documentation_is_the_schema() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/settings.md");
    let generated = settings_markdown(&run_schema());
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(&path, &generated).unwrap();
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(written, generated, "docs/settings.md is old; run `BLESS=1 cargo test settings`");
}
