//! The table of `docs/hardware.md`: what `gliaflow train --dry-run` says of the shipped networks.

use std::path::Path;

use serde_json::Value;

use crate::cli::harness::Desk;

/// Networks with the batch of their configuration.
const NETWORKS: [(&str, u32); 3] = [("unet", 2), ("resunet_vae", 2), ("cascaded", 4)];
const SIDES: [u32; 5] = [64, 96, 128, 160, 192];
const BEGIN: &str = "<!-- begin: BLESS=1 cargo test hardware -->\n";
const END: &str = "<!-- end -->";

/// Device memory that a dry run tells of: bytes, and the smallest card in GB.
fn device_memory(desk: &Desk, network: &str, batch: u32, precision: &str, side: u32) -> Value {
    let patch = format!("[{side},{side},{side}]");
    // The autoencoder is as large as the patch.
    let settings =
        if network == "resunet_vae" { format!("{{patch={patch}}}") } else { "{}".into() };
    let line = format!(
        "train --device cuda --data data --dry-run --json --set model.name={network} --set \
         model.settings={settings} --set precision={precision} --set loader.batch={batch} --set \
         crop.patch={patch} --set loader.memory_mib=16384"
    );
    desk.run(&line).ok().json()["device_memory"].take()
}

fn table(desk: &Desk) -> String {
    let mut text = String::from("| network | batch | precision |");
    for side in SIDES {
        text += &format!(" {side}^3 |");
    }
    text += "\n|---|---|---|---|---|---|---|---|\n";
    for (network, batch) in NETWORKS {
        for precision in ["f32", "bf16"] {
            text += &format!("| `{network}` | {batch} | {precision} |");
            for side in SIDES {
                let told = device_memory(desk, network, batch, precision, side);
                let gibibytes = told["bytes"].as_f64().unwrap() / f64::from(1 << 30);
                let card = told["smallest_card"].as_u64();
                let card = card.map_or("none".to_owned(), |card| card.to_string());
                text += &format!(" {gibibytes:.1} ({card}) |");
            }
            text += "\n";
        }
    }
    text
}

#[test]
fn the_page_of_hardware_has_what_a_dry_run_says() {
    let desk = Desk::with_cohort(2);
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/hardware.md");
    let page = std::fs::read_to_string(&path).unwrap();
    let (head, rest) = page.split_once(BEGIN).unwrap();
    let (written, tail) = rest.split_once(END).unwrap();
    let generated = table(&desk);
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(&path, format!("{head}{BEGIN}{generated}{END}{tail}")).unwrap();
        return;
    }
    assert_eq!(written, generated, "docs/hardware.md is old; run `BLESS=1 cargo test hardware`");
}
