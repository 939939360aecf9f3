//! Weights as a file of PyTorch's: what `torch.save` makes of a dictionary of tensors, in the ZIP form
//! that it has had since PyTorch 1.6.
//!
//! `data.pkl` is a pickle of protocol 2 that builds each tensor over a storage, and `data/0`, `data/1` and so
//! on are the storages, f32 and little-endian. `torch.load(…, weights_only=True)` reads it. Written only:
//! a pickle is a program, and this crate runs none.

use flate2::Crc;

use crate::base::Fault;
use crate::nets::exchange::Weight;

/// Folder of all entries.
const ROOT: &str = "model";

/// Dates in the archive: the first that it can have, so that the same weights are the same bytes.
const FIRST_DATE: u16 = 1 << 5 | 1;

/// Serialises weights by name; the same weights give the same bytes.
///
/// # Errors
/// If they take more than the format's 4 GiB.
pub fn to_torch_bytes(weights: &[Weight]) -> Result<Vec<u8>, Fault> {
    let mut archive = Archive::default();
    archive.add_entry("data.pkl", &pickle_of(weights))?;
    archive.add_entry("byteorder", b"little")?;
    for (place, weight) in weights.iter().enumerate() {
        let bytes: Vec<u8> = weight.values.iter().flat_map(|value| value.to_le_bytes()).collect();
        archive.add_entry(&format!("data/{place}"), &bytes)?;
    }
    archive.add_entry("version", b"3\n")?;
    archive.finish()
}

/// Pickle of the dictionary from names to tensors.
fn pickle_of(weights: &[Weight]) -> Vec<u8> {
    let mut pickle = Pickle(b"\x80\x02}(".to_vec());
    for (place, Weight { parameter, values }) in weights.iter().enumerate() {
        pickle.push_text(&parameter.name);
        pickle.push_global("torch._utils", "_rebuild_tensor_v2");
        // Arguments: the storage by its name, the first value in it, shape, strides, no gradient, no hooks.
        pickle.0.extend_from_slice(b"((");
        pickle.push_text("storage");
        pickle.push_global("torch", "FloatStorage");
        pickle.push_text(&place.to_string());
        pickle.push_text("cpu");
        pickle.push_int(values.len());
        pickle.0.extend_from_slice(b"tQ");
        pickle.push_int(0);
        pickle.push_tuple(&parameter.shape);
        let inner = |axis: usize| parameter.shape[axis + 1..].iter().product();
        pickle.push_tuple(&(0..parameter.shape.len()).map(inner).collect::<Vec<usize>>());
        pickle.0.push(0x89); // False
        pickle.push_global("collections", "OrderedDict");
        pickle.0.extend_from_slice(b")RtR");
    }
    pickle.0.extend_from_slice(b"u.");
    pickle.0
}

/// Pickle of protocol 2 under construction; opcodes are those of Python's `pickletools`.
struct Pickle(Vec<u8>);

impl Pickle {
    fn push_text(&mut self, text: &str) {
        self.0.push(b'X');
        self.0.extend_from_slice(&(text.len() as u32).to_le_bytes());
        self.0.extend_from_slice(text.as_bytes());
    }

    fn push_global(&mut self, module: &str, name: &str) {
        self.0.extend_from_slice(format!("c{module}\n{name}\n").as_bytes());
    }

    /// Whole number: below 4 GiB of values there are fewer than 2^30 of them.
    fn push_int(&mut self, value: usize) {
        self.0.push(b'J');
        self.0.extend_from_slice(&(value as i32).to_le_bytes());
    }

    fn push_tuple(&mut self, values: &[usize]) {
        self.0.push(b'(');
        values.iter().for_each(|value| self.push_int(*value));
        self.0.push(b't');
    }
}

/// ZIP archive of uncompressed entries.
#[derive(Default)]
struct Archive {
    content: Vec<u8>,
    directory: Vec<u8>,
    entries: u16,
}

impl Archive {
    fn add_entry(&mut self, name: &str, bytes: &[u8]) -> Result<(), Fault> {
        let name = format!("{ROOT}/{name}");
        let mut crc = Crc::new();
        crc.update(bytes);
        let (offset, size) = (self.offset()?, u32::try_from(bytes.len()).map_err(|_| too_large())?);
        let mut description = Vec::new();
        // Version 2.0, no flags, stored, time and date.
        for field in [20, 0, 0, 0, FIRST_DATE] {
            description.extend_from_slice(&u16::to_le_bytes(field));
        }
        for field in [crc.sum(), size, size] {
            description.extend_from_slice(&field.to_le_bytes());
        }
        for field in [name.len() as u16, 0] {
            description.extend_from_slice(&field.to_le_bytes());
        }
        self.content.extend_from_slice(b"PK\x03\x04");
        self.content.extend_from_slice(&description);
        self.content.extend_from_slice(name.as_bytes());
        self.content.extend_from_slice(bytes);
        self.directory.extend_from_slice(b"PK\x01\x02\x14\x00");
        self.directory.extend_from_slice(&description);
        // No comment, one disk, no attributes.
        self.directory.extend_from_slice(&[0; 10]);
        self.directory.extend_from_slice(&offset.to_le_bytes());
        self.directory.extend_from_slice(name.as_bytes());
        self.entries = self.entries.checked_add(1).ok_or_else(too_large)?;
        Ok(())
    }

    fn offset(&self) -> Result<u32, Fault> {
        u32::try_from(self.content.len()).map_err(|_| too_large())
    }

    fn finish(mut self) -> Result<Vec<u8>, Fault> {
        let (start, size) = (self.offset()?, self.directory.len() as u32);
        self.content.append(&mut self.directory);
        self.content.extend_from_slice(b"PK\x05\x06\0\0\0\0");
        for count in [self.entries; 2] {
            self.content.extend_from_slice(&count.to_le_bytes());
        }
        for field in [size, start] {
            self.content.extend_from_slice(&field.to_le_bytes());
        }
        self.content.extend_from_slice(&[0; 2]);
        Ok(self.content)
    }
}

fn too_large() -> Fault {
    Fault::Environment {
        subject: "weights".into(),
        problem: "take more than the 4 GiB of a file for PyTorch".into(),
        remedy: "export them as safetensors with `--out`".into(),
    }
}
