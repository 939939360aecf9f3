//! The floors hold: a module imports only from lower floors.

use std::fs;
use std::path::{Path, PathBuf};

/// Rooms and their floors; siblings on one floor do not see each other.
const FLOORS: &[(&str, u8)] = &[
    ("base", 0),
    ("storage", 1),
    ("telemetry", 1),
    ("volume", 1),
    ("actor", 2),
    ("buffers", 2),
    ("quality", 2),
    ("resampling", 2),
    ("brats", 3),
    ("cache", 3),
    ("augment", 4),
    ("pipeline", 5),
    ("nets", 6),
    ("eval", 7),
    ("run_folder", 8),
    ("report", 9),
    ("train", 9),
    ("run", 10),
    ("embed", 11),
    ("experiment", 11),
    ("cli", 12),
];

/// Crates that only the named places may mention: each is one decision to change.
const FENCED: &[(&str, &[&str])] = &[
    ("kanal", &["src/actor/mailbox.rs"]),
    ("memmap2", &["src/cache/map.rs"]),
    ("libdeflate_sys", &["src/brats/libdeflate.rs"]),
    ("libc", &["src/base/allocator.rs", "src/cache/mapping_faults.rs"]),
    ("nifti", &["src/brats/"]),
    ("object_store", &["src/storage/client/"]),
    ("rustls", &["src/storage/client/"]),
    ("nvml_wrapper", &["src/telemetry/gpu/nvml.rs"]),
    (
        "axum",
        &["src/telemetry/connections.rs", "src/telemetry/exporter.rs", "src/telemetry/routes.rs"],
    ),
    ("ratatui", &["src/cli/top/draw.rs", "src/cli/top/draw_tests.rs", "src/cli/top/screen.rs"]),
    ("burn", &["src/nets/", "src/eval/", "src/train/", "src/run/", "src/cli/"]),
    ("maud", &["src/report/"]),
    ("png", &["src/report/"]),
    ("resvg", &["src/report/"]),
    ("prost", &["src/nets/onnx/"]),
    ("pulp", &["src/nets/convolution/", "src/nets/cpu/"]),
    ("rayon", &["src/nets/convolution/", "src/nets/cpu/"]),
    ("regex", &["src/run/config/patients.rs"]),
    ("anyhow", &["src/cli/"]),
    ("clap", &["src/cli/"]),
    ("indicatif", &["src/cli/"]),
    ("jiff", &["src/base/text.rs"]),
    ("toml_edit", &["src/run/tools/loader_settings.rs"]),
];

const MAX_LINES: usize = 350;

fn floor_of(room: &str) -> Option<u8> {
    FLOORS.iter().find(|(name, _)| *name == room).map(|(_, floor)| *floor)
}

/// What is wrong with one source file, given its path inside the repository and its text.
fn violations(path: &str, text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let room = path.trim_start_matches("src/").split('/').next().unwrap_or_default();
    let own = floor_of(room);
    for (number, line) in text.lines().enumerate() {
        let code = line.split("//").next().unwrap_or_default();
        let at = format!("{path}:{}", number + 1);
        for after in code.split("crate::").skip(1) {
            let names = after.trim_start_matches('{');
            let imported: String =
                names.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
            let (Some(own), Some(other)) = (own, floor_of(&imported)) else { continue };
            if imported != room && other >= own {
                found.push(format!("{at}: `{room}` (floor {own}) imports `{imported}` ({other})"));
            }
        }
        for (krate, allowed) in FENCED {
            let named =
                code.contains(&format!("{krate}::")) && !code.contains(&format!("_{krate}::"));
            if named && !allowed.iter().any(|place| path.starts_with(place)) {
                found.push(format!("{at}: `{krate}` may be named only in {allowed:?}"));
            }
        }
    }
    let lines = text.lines().count();
    if lines > MAX_LINES {
        found.push(format!("{path}: {lines} lines; split it, {MAX_LINES} is the limit"));
    }
    found
}

fn sources(folder: &Path, into: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("the folder is part of the repository") {
        let path = entry.expect("readable").path();
        if path.is_dir() {
            sources(&path, into);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            into.push(path);
        }
    }
}

#[test]
fn no_import_points_up_a_floor() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    sources(&root.join("src"), &mut files);
    assert!(files.len() > 20, "only {} sources found: the walk is broken", files.len());
    let found: Vec<String> = files
        .iter()
        .flat_map(|file| {
            let text = fs::read_to_string(file).expect("readable");
            let path = file.strip_prefix(root).expect("under the root").display().to_string();
            violations(&path, &text)
        })
        .collect();
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn the_check_itself_can_fail() {
    let upward = "use crate::pipeline::Crop;\n";
    assert_eq!(violations("src/actor/worker.rs", upward).len(), 1);
    let sibling = "fn f() { crate::cache::map::open(); }\n";
    assert_eq!(violations("src/brats/read.rs", sibling).len(), 1);
    let grouped = "use crate::{cli::main, base::seed};\n";
    assert_eq!(violations("src/volume/grid.rs", grouped).len(), 1);
    let fenced = "use kanal::Sender;\n";
    assert_eq!(violations("src/pipeline/plan.rs", fenced).len(), 1);
    assert_eq!(violations("src/base/error.rs", &"\n".repeat(MAX_LINES + 1)).len(), 1);
    let fine = "use crate::base::SampleKey; // not crate::cli::main\n";
    assert!(violations("src/pipeline/plan.rs", fine).is_empty());
}
