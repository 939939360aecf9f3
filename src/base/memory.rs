//! Memory whose size a file decides: a lack of it is an error of that file, not the end of the
//! process.

use std::fmt;

use crate::base::{CaseError, Reason};

/// Error of memory that the system does not give.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("needs {bytes} bytes of memory at once, which the system does not give")]
pub struct OutOfMemory {
    bytes: usize,
}

/// Way out of [`OutOfMemory`].
pub const FREE_MEMORY: &str =
    "free memory or raise its limit (ulimit -v, the container's), or take the file out";

impl OutOfMemory {
    /// Makes the error of a request for `count` values of type `T`.
    pub const fn of_values<T>(count: usize) -> Self {
        Self { bytes: count.saturating_mul(size_of::<T>()) }
    }

    /// Error of the file, or the part of a case, that asked for the memory.
    pub fn to_case_error(&self, subject: impl fmt::Display) -> CaseError {
        CaseError::new(Reason::Io, subject, self.to_string(), FREE_MEMORY)
    }
}

/// Empties `values` and makes room for `count` of them.
///
/// # Errors
/// If the system does not give the memory.
pub fn reserve_values<T>(values: &mut Vec<T>, count: usize) -> Result<(), OutOfMemory> {
    values.clear();
    values.try_reserve_exact(count).map_err(|_| OutOfMemory::of_values::<T>(count))
}

/// Makes `count` copies of `zero`.
///
/// Pages of zeros come free from the system, but no stable call asks for them and may fail; so the
/// room is asked for first, and given back.
///
/// # Errors
/// If the system does not give the memory.
pub fn zeroed_values<T: Clone>(zero: T, count: usize) -> Result<Vec<T>, OutOfMemory> {
    reserve_values(&mut Vec::<T>::new(), count)?;
    Ok(vec![zero; count])
}

/// Resizes `values`, whose content is then undefined.
///
/// # Errors
/// If the system does not give the memory.
pub fn resize_for_overwrite<T: Clone>(
    values: &mut Vec<T>,
    zero: T,
    count: usize,
) -> Result<(), OutOfMemory> {
    if values.capacity() < count {
        // Zeroed pages come free from the system, while zeros in an old buffer are written.
        *values = Vec::new();
        *values = zeroed_values(zero, count)?;
    } else {
        values.resize(count, zero);
    }
    Ok(())
}

/// Collects the `count` values of `source` into new memory.
///
/// # Errors
/// If the system does not give the memory.
pub fn collect_values<T>(
    count: usize,
    source: impl IntoIterator<Item = T>,
) -> Result<Vec<T>, OutOfMemory> {
    let mut values = Vec::new();
    reserve_values(&mut values, count)?;
    values.extend(source);
    Ok(values)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_that_is_not_there_is_an_error_with_its_size() {
        let error = collect_values(usize::MAX / 4, std::iter::empty::<u16>()).unwrap_err();
        assert_eq!(error, OutOfMemory { bytes: 2 * (usize::MAX / 4) });
        assert!(error.to_string().starts_with("needs 9223372036854775806 bytes"), "{error}");
        assert_eq!(collect_values(3, [1, 2, 3]).unwrap(), [1, 2, 3]);
        assert_eq!(zeroed_values(0.0, 2).unwrap(), [0.0; 2]);
        assert!(zeroed_values(0u8, usize::MAX / 2).is_err());
        let mut values = vec![9; 4];
        reserve_values(&mut values, 100).unwrap();
        assert!(values.is_empty() && values.capacity() >= 100);
    }
}
