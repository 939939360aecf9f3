//! The residual U-Net under MONAI's names, there and back.

use std::collections::HashMap;

use burn::tensor::Device;
use gliaflow::internals::nets::exchange::to_torch_bytes;
use gliaflow::internals::nets::{ArchitectureEntry, OptimiserConfig};
use safetensors::Dtype;
use safetensors::tensor::TensorView;
use serde_json::json;

#[test]
fn weights_under_monais_names_come_back_as_they_were() {
    let settings = json!({
        "base_width": 4, "groups": 2, "encoder_units": [1, 2, 1], "patch": [8, 8, 8], "latent": 3,
    });
    let entry = ArchitectureEntry::find_by_name("resunet_vae").unwrap();
    let blueprint = entry.parse_settings(&settings).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let learner = blueprint.new_learner(&OptimiserConfig::default(), 1, &Device::flex());
    learner.save(folder.path()).unwrap();
    let network = blueprint.load_for_export(folder.path()).unwrap();
    let definition = network.define_for_monai().unwrap();
    assert_eq!(definition["_target_"], "SegResNet");
    assert_eq!(definition["blocks_down"], json!([1, 2, 1]));
    assert_eq!(definition["blocks_up"], json!([1, 1]));

    let theirs = network.translate_weights();
    let bytes: Vec<Vec<u8>> = theirs
        .iter()
        .map(|weight| weight.values.iter().flat_map(|value| value.to_le_bytes()).collect())
        .collect();
    let views = theirs.iter().zip(&bytes).map(|(weight, bytes)| {
        let parameter = &weight.parameter;
        (&parameter.name, TensorView::new(Dtype::F32, parameter.shape.clone(), bytes).unwrap())
    });
    let orders = [("modalities", "t1,t1ce,t2,flair"), ("regions", "ET,TC,WT"), ("axes", "xyz")];
    let orders: HashMap<String, String> =
        orders.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
    let file = folder.path().join("theirs.safetensors");
    std::fs::write(&file, safetensors::serialize(views, Some(orders)).unwrap()).unwrap();
    let read = blueprint.import_weights(&file).unwrap();
    assert_eq!((read.program, read.misfits.len()), ("MONAI", 0));
    for weight in blueprint.load_weights(folder.path()).unwrap() {
        let name = &weight.parameter.name;
        assert_eq!(read.kept.contains(name), name.starts_with("vae."), "{name}");
        if !name.starts_with("vae.") {
            assert!(read.values[name] == weight.values, "{name}");
        }
    }

    // The file for PyTorch holds them in this order; scripts/check_monai_bundle.py reads it by PyTorch.
    let archive = to_torch_bytes(&theirs).unwrap();
    let entries = read_archive(&archive);
    assert_eq!(entries.len(), theirs.len() + 3);
    let mut pickle = entries["model/data.pkl"];
    for (place, (weight, bytes)) in theirs.iter().zip(&bytes).enumerate() {
        assert!(entries[format!("model/data/{place}").as_str()] == bytes);
        let name = weight.parameter.name.as_bytes();
        let at = pickle.windows(name.len()).position(|window| window == name);
        pickle = &pickle[at.unwrap_or_else(|| panic!("{} is not there", weight.parameter.name))..];
    }
    assert_eq!(
        (entries["model/version"], entries["model/byteorder"]),
        (&b"3\n"[..], &b"little"[..])
    );
}

/// Entries of a ZIP archive without compression, by its directory.
fn read_archive(bytes: &[u8]) -> HashMap<&str, &[u8]> {
    let number = |at: usize, width: usize| {
        bytes[at..at + width].iter().rev().fold(0, |number, byte| number << 8 | usize::from(*byte))
    };
    let end = bytes.len() - 22;
    assert_eq!(&bytes[end..end + 4], b"PK\x05\x06");
    let (count, mut at) = (number(end + 10, 2), number(end + 16, 4));
    let mut entries = HashMap::new();
    for _ in 0..count {
        assert_eq!(&bytes[at..at + 4], b"PK\x01\x02");
        let (sum, size, length) = (number(at + 16, 4), number(at + 24, 4), number(at + 28, 2));
        let local = number(at + 42, 4);
        assert_eq!(&bytes[local..local + 4], b"PK\x03\x04");
        assert_eq!(bytes[local + 4..local + 30], bytes[at + 6..at + 32], "both describe the entry");
        let name = &bytes[at + 46..at + 46 + length];
        assert_eq!(&bytes[local + 30..local + 30 + length], name);
        let content = &bytes[local + 30 + length..][..size];
        let mut crc = flate2::Crc::new();
        crc.update(content);
        assert_eq!(crc.sum() as usize, sum);
        assert!(entries.insert(std::str::from_utf8(name).unwrap(), content).is_none());
        at += 46 + length;
    }
    assert_eq!(at, end);
    entries
}
