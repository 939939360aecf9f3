//! Folds of a cross-validation, as configurations and command lines write them.

use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Fold of a cross-validation, written `0/5`: the fifth that is validated on, counted from 0.
#[derive(derive_more::Display)]
#[display("{index}/{of}")]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Fold {
    index: usize,
    of: usize,
}

impl Fold {
    /// Fold `index` of `of`.
    ///
    /// # Errors
    /// If there are fewer than two folds, or no such fold among them.
    pub fn new(index: usize, of: usize) -> Result<Self, String> {
        if of < 2 {
            return Err(format!("`{index}/{of}` has no other fold to train on; write 0/5"));
        }
        if index >= of {
            let last = of - 1;
            return Err(format!("`{index}/{of}` is no fold; they are 0/{of} to {last}/{of}"));
        }
        Ok(Self { index, of })
    }

    /// Index of the validated fold, from 0.
    pub const fn index(self) -> usize {
        self.index
    }

    /// Number of folds.
    pub const fn fold_count(self) -> usize {
        self.of
    }
}

impl FromStr for Fold {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let numbers = text.split_once('/').map(|(index, of)| (index.parse(), of.parse()));
        match numbers {
            Some((Ok(index), Ok(of))) => Self::new(index, of),
            _ => Err(format!("`{text}` is no fold; write 0/5")),
        }
    }
}

impl TryFrom<String> for Fold {
    type Error = String;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<Fold> for String {
    fn from(fold: Fold) -> Self {
        fold.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folds_are_written_as_they_are_read() {
        assert_eq!("2/5".parse::<Fold>().unwrap().to_string(), "2/5");
        assert_eq!(serde_json::from_str::<Fold>("\"0/3\"").unwrap(), Fold::new(0, 3).unwrap());
        for text in ["5/5", "0/1", "0/0", "-1/5", "1", "a/b"] {
            assert!(text.parse::<Fold>().unwrap_err().contains(text), "{text}");
        }
    }
}
