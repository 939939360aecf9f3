//! Fingerprints: BLAKE3 of bytes, or of a configuration's canonical JSON. They name cache folders,
//! lock datasets, and tell if two runs were the same.

use std::fmt;

use serde::{Deserialize, Serialize};

/// 128 bits of BLAKE3, written as 32 hex digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Fingerprint(pub [u8; 16]);

impl Fingerprint {
    /// Fingerprint of raw bytes.
    pub fn of_bytes(bytes: &[u8]) -> Self {
        let mut hasher = Fingerprinter::default();
        hasher.update(bytes);
        hasher.finish()
    }

    /// Fingerprint of a configuration: its JSON with the fields in declaration order.
    ///
    /// # Panics
    /// If the value cannot be written as JSON (a map with keys that are not strings).
    pub fn of_config<T: Serialize>(config: &T) -> Self {
        Self::of_bytes(&serde_json::to_vec(config).expect("config structs serialise to JSON"))
    }

    /// First `digits` hex digits: enough for a folder's name.
    pub fn short_hex(&self, digits: usize) -> String {
        let mut text = self.to_string();
        text.truncate(digits);
        text
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Fingerprint {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Fingerprint {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let digit = |at: usize| u8::from_str_radix(text.get(at..at + 2).unwrap_or("?"), 16).ok();
        let bytes: Option<Vec<u8>> = (0..16).map(|i| digit(2 * i)).collect();
        match bytes.and_then(|bytes| bytes.try_into().ok()) {
            Some(bytes) if text.len() == 32 => Ok(Self(bytes)),
            _ => Err(serde::de::Error::custom(format!("`{text}` is not 32 hex digits"))),
        }
    }
}

/// Hasher for bytes that come in pieces.
#[derive(Default)]
pub struct Fingerprinter(blake3::Hasher);

impl Fingerprinter {
    /// Adds the next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// Fingerprint of all bytes added.
    pub fn finish(&self) -> Fingerprint {
        let mut short = [0; 16];
        short.copy_from_slice(&self.0.finalize().as_bytes()[..16]);
        Fingerprint(short)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_round_trips_and_rubbish_is_refused() {
        let print = Fingerprint::of_bytes(b"gliaflow");
        let json = serde_json::to_string(&print).unwrap();
        assert_eq!(serde_json::from_str::<Fingerprint>(&json).unwrap(), print);
        assert!(serde_json::from_str::<Fingerprint>("\"zz\"").is_err());
        assert_eq!(print.short_hex(8).len(), 8);
    }

    #[test]
    fn pieces_add_up_to_the_whole() {
        let mut hasher = Fingerprinter::default();
        hasher.update(b"glia");
        hasher.update(b"flow");
        assert_eq!(hasher.finish(), Fingerprint::of_bytes(b"gliaflow"));
    }
}
