//! Lossless serialisation of `f64`: decimal text that Rust reads back to the same bits, which a
//! JSON parser does not promise for its numbers.

use serde::{Deserialize, Deserializer, Serializer};

/// Serialises for `#[serde(with = …)]`.
pub(super) fn serialize<S: Serializer>(value: &f64, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&format_args!("{value:?}"))
}

/// Deserialises for `#[serde(with = …)]`.
pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    let text = String::deserialize(deserializer)?;
    text.parse().map_err(|_| serde::de::Error::custom(format!("`{text}` is not a number")))
}

#[cfg(test)]
mod tests {
    use serde::Serialize;

    #[derive(Serialize, serde::Deserialize)]
    struct One(#[serde(with = "super")] f64);

    #[test]
    fn every_bit_comes_back() {
        for value in [0.1 + 0.2, -0.0, 1e-310, f64::MAX, f64::INFINITY, f64::NAN, 0.123_456_789_f64]
        {
            let text = serde_json::to_string(&One(value)).unwrap();
            let One(again) = serde_json::from_str(&text).unwrap();
            assert_eq!(again.to_bits(), value.to_bits(), "{text}");
        }
        assert!(serde_json::from_str::<One>("\"one\"").is_err());
    }
}
