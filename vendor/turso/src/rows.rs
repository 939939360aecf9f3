//! Parameters of statements, and the rows that answer them.

use crate::{Error, Result};

/// Value of a column or parameter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// Text.
    Text(String),
    /// Bytes.
    Blob(Vec<u8>),
    /// Number.
    Integer(i64),
}

macro_rules! values_of {
    ($($kind:ident: $from:ty;)*) => {
        $(impl From<$from> for Value {
            fn from(value: $from) -> Self {
                Self::$kind(value.into())
            }
        })*
    };
}

values_of! {
    Text: &str;
    Text: &String;
    Text: String;
    Blob: Vec<u8>;
    Integer: i64;
}

/// Parameters in their order.
pub trait IntoParams {
    /// Their values.
    fn into_values(self) -> Vec<Value>;
}

macro_rules! params_of {
    ($($name:ident),*) => {
        impl<$($name: Into<Value>),*> IntoParams for ($($name,)*) {
            #[allow(non_snake_case)]
            fn into_values(self) -> Vec<Value> {
                let ($($name,)*) = self;
                vec![$($name.into()),*]
            }
        }
    };
}

params_of!();
params_of!(A);
params_of!(A, B);
params_of!(A, B, C);
params_of!(A, B, C, D);

/// Type that a column can be read as.
pub trait FromValue: Sized {
    /// Reads it; `None` if the column is of another type.
    fn from_value(value: &Value) -> Option<Self>;
}

impl FromValue for String {
    fn from_value(value: &Value) -> Option<Self> {
        if let Value::Text(text) = value { Some(text.clone()) } else { None }
    }
}

impl FromValue for Vec<u8> {
    fn from_value(value: &Value) -> Option<Self> {
        if let Value::Blob(bytes) = value { Some(bytes.clone()) } else { None }
    }
}

impl FromValue for i64 {
    fn from_value(value: &Value) -> Option<Self> {
        if let Value::Integer(number) = value { Some(*number) } else { None }
    }
}

/// Row of an answer.
#[derive(Debug, Clone)]
pub struct Row {
    columns: Vec<Value>,
}

impl Row {
    pub(crate) const fn new(columns: Vec<Value>) -> Self {
        Self { columns }
    }

    /// Reads a column.
    ///
    /// # Errors
    /// If there is none, or it is of another type.
    pub fn get<T: FromValue>(&self, column: usize) -> Result<T> {
        let value = self.columns.get(column).and_then(T::from_value);
        value.ok_or_else(|| Error::Error(format!("column {column} is not of the type asked for")))
    }
}

/// Rows of an answer, one after the other.
#[derive(Debug)]
pub struct Rows {
    rows: std::vec::IntoIter<Row>,
}

impl Rows {
    pub(crate) fn new(rows: Vec<Row>) -> Self {
        Self { rows: rows.into_iter() }
    }

    /// The next row, or `None` behind the last.
    ///
    /// # Errors
    /// None; turso has some.
    pub async fn next(&mut self) -> Result<Option<Row>> {
        Ok(self.rows.next())
    }
}
