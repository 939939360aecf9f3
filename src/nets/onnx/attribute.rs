//! Settings of an operator.

use crate::nets::onnx::proto::{AttributeProto, attribute_type};

/// Value of an operator's setting.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum OperatorSetting<'a> {
    /// Number with a fraction.
    Float(f32),
    /// Whole number.
    Int(i64),
    /// Word, from those that the operator knows.
    Text(&'a str),
    /// Whole numbers, one for each axis or end of an axis.
    Ints(&'a [i64]),
}

impl OperatorSetting<'_> {
    pub(super) fn to_proto(self, name: &str) -> AttributeProto {
        let named = AttributeProto { name: Some(name.to_owned()), ..AttributeProto::default() };
        let kind = Some(match self {
            Self::Float(_) => attribute_type::FLOAT,
            Self::Int(_) => attribute_type::INT,
            Self::Text(_) => attribute_type::STRING,
            Self::Ints(_) => attribute_type::INTS,
        });
        match self {
            Self::Float(value) => AttributeProto { f: Some(value), r#type: kind, ..named },
            Self::Int(value) => AttributeProto { i: Some(value), r#type: kind, ..named },
            Self::Text(text) => {
                AttributeProto { s: Some(text.as_bytes().to_vec()), r#type: kind, ..named }
            }
            Self::Ints(values) => AttributeProto { ints: values.to_vec(), r#type: kind, ..named },
        }
    }
}
