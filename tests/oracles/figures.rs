//! Where the oracles' numbers come from: fixtures and whole tensors.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;
use serde::de::DeserializeOwned;

/// A tensor written out in a fixture.
#[derive(Deserialize)]
pub(super) struct Array {
    pub(super) shape: Vec<usize>,
    pub(super) values: Vec<f32>,
}

/// The fixture `fixtures/oracles/NAME.json`.
pub(super) fn fixture<T: DeserializeOwned>(name: &str) -> T {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let path = root.join("tests/fixtures/oracles").join(name).with_extension("json");
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

/// The f32 tensors of `../shared/oracles/NAME.safetensors`; `None`, said aloud, where it is absent.
pub(super) fn tensors(name: &str) -> Option<BTreeMap<String, Array>> {
    #[derive(Deserialize)]
    struct Field {
        dtype: String,
        shape: Vec<usize>,
        data_offsets: [usize; 2],
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/oracles");
    let Ok(bytes) = std::fs::read(root.join(name).with_extension("safetensors")) else {
        println!("skipped: ../shared is absent");
        return None;
    };
    let (length, rest) = bytes.split_first_chunk().unwrap();
    let (header, data) = rest.split_at(u64::from_le_bytes(*length) as usize);
    let fields: BTreeMap<String, serde_json::Value> = serde_json::from_slice(header).unwrap();
    let read = |(name, field)| {
        let field: Field = serde_json::from_value(field).ok()?;
        let [from, to] = field.data_offsets;
        let value = |four: &[u8]| f32::from_le_bytes(four.try_into().unwrap());
        let values = data[from..to].chunks_exact(4).map(value).collect();
        (field.dtype == "F32").then_some((name, Array { shape: field.shape, values }))
    };
    Some(fields.into_iter().filter_map(read).collect())
}

/// The largest absolute difference.
pub(super) fn worst(ours: &[f32], theirs: &[f32]) -> f32 {
    assert_eq!(ours.len(), theirs.len());
    ours.iter().zip(theirs).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}
