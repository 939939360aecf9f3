//! Reads the oracles' numbers: figures from JSON, tensors from gzipped safetensors. The scripts of
//! `scripts/oracles` make both.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use flate2::read::GzDecoder;
use serde::Deserialize;
use serde::de::DeserializeOwned;

/// A tensor written out in a fixture.
#[derive(Deserialize)]
pub(super) struct Array {
    pub(super) shape: Vec<usize>,
    pub(super) values: Vec<f32>,
}

fn path(file: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/oracles").join(file)
}

/// The fixture `fixtures/oracles/NAME.json`.
pub(super) fn fixture<T: DeserializeOwned>(name: &str) -> T {
    let path = path(&format!("{name}.json"));
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

/// The f32 tensors of `fixtures/oracles/NAME.safetensors.gz`.
pub(super) fn tensors(name: &str) -> BTreeMap<String, Array> {
    #[derive(Deserialize)]
    struct Field {
        dtype: String,
        shape: Vec<usize>,
        data_offsets: [usize; 2],
    }
    let mut bytes = Vec::new();
    let file = File::open(path(&format!("{name}.safetensors.gz"))).unwrap();
    GzDecoder::new(file).read_to_end(&mut bytes).unwrap();
    let (length, rest) = bytes.split_first_chunk().unwrap();
    let (header, data) = rest.split_at(u64::from_le_bytes(*length) as usize);
    let fields: BTreeMap<String, Field> = serde_json::from_slice(header).unwrap();
    let read = |(name, field): (String, Field)| {
        assert_eq!(field.dtype, "F32", "{name}");
        let [from, to] = field.data_offsets;
        let value = |four: &[u8]| f32::from_le_bytes(four.try_into().unwrap());
        let values = data[from..to].chunks_exact(4).map(value).collect();
        (name, Array { shape: field.shape, values })
    };
    fields.into_iter().map(read).collect()
}

/// The largest absolute difference.
pub(super) fn worst(ours: &[f32], theirs: &[f32]) -> f32 {
    assert_eq!(ours.len(), theirs.len());
    ours.iter().zip(theirs).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}
