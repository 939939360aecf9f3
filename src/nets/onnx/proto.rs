//! Messages of ONNX that a network needs, with the field numbers of `onnx.proto` (IR version 8).
//!
//! Written by hand for the `prost` crate: a build needs no compiler of protobuf. Repeated numbers are not
//! packed, as in `onnx.proto`, which is of protobuf's second version.

use prost::bytes::{Buf, BufMut};
use prost::encoding::{DecodeContext, WireType, skip_field};
use prost::{DecodeError, Message, encoding};

/// Defines messages: each field has its kind in `prost::encoding`, `optional` or `repeated`, and its number.
///
/// The same as `prost`'s own derive, which would bring a crate of macros to every build.
macro_rules! messages {
    ($(
        $(#[$about:meta])*
        $message:ident {
            $($(#[$note:meta])* $field:ident: $kind:ident $rule:ident $ty:ty = $number:literal,)*
        }
    )*) => { $(
        $(#[$about])*
        #[derive(Debug, Clone, PartialEq, Default)]
        pub struct $message {
            $($(#[$note])* pub $field: messages!(@type $rule $ty),)*
        }

        impl Message for $message {
            fn encode_raw(&self, buf: &mut impl BufMut) {
                $(messages!(@encode $rule $kind $number self.$field, buf);)*
            }

            fn merge_field(
                &mut self,
                tag: u32,
                wire_type: WireType,
                buf: &mut impl Buf,
                ctx: DecodeContext,
            ) -> Result<(), DecodeError> {
                match tag {
                    $($number => {
                        messages!(@merge $rule $kind self.$field, wire_type, buf, ctx)
                    })*
                    _ => skip_field(wire_type, tag, buf, ctx),
                }
            }

            fn encoded_len(&self) -> usize {
                0 $(+ messages!(@length $rule $kind $number self.$field))*
            }

            fn clear(&mut self) {
                *self = Self::default();
            }
        }
    )* };
    (@type optional $ty:ty) => { Option<$ty> };
    (@type repeated $ty:ty) => { Vec<$ty> };
    (@encode optional $kind:ident $number:literal $field:expr, $buf:ident) => {
        if let Some(value) = &$field {
            encoding::$kind::encode($number, value, $buf);
        }
    };
    (@encode repeated $kind:ident $number:literal $field:expr, $buf:ident) => {
        encoding::$kind::encode_repeated($number, &$field, $buf)
    };
    (@merge optional $kind:ident $field:expr, $wire:ident, $buf:ident, $ctx:ident) => {
        encoding::$kind::merge($wire, $field.get_or_insert_default(), $buf, $ctx)
    };
    (@merge repeated $kind:ident $field:expr, $wire:ident, $buf:ident, $ctx:ident) => {
        encoding::$kind::merge_repeated($wire, &mut $field, $buf, $ctx)
    };
    (@length optional $kind:ident $number:literal $field:expr) => {
        $field.as_ref().map_or(0, |value| encoding::$kind::encoded_len($number, value))
    };
    (@length repeated $kind:ident $number:literal $field:expr) => {
        encoding::$kind::encoded_len_repeated($number, &$field)
    };
}

messages! {
    /// Model: a graph, the operators that it is made of, and free text.
    ModelProto {
        /// Version of the format.
        ir_version: int64 optional i64 = 1,
        /// Program that wrote the model.
        producer_name: string optional String = 2,
        /// Version of that program.
        producer_version: string optional String = 3,
        /// Text for a reader.
        doc_string: string optional String = 6,
        /// Network.
        graph: message optional GraphProto = 7,
        /// Sets of operators that the graph takes its operators from.
        opset_import: message repeated OperatorSetIdProto = 8,
        /// Named texts.
        metadata_props: message repeated StringStringEntryProto = 14,
    }

    /// Set of operators of one version; the domain of ONNX itself is the empty one.
    OperatorSetIdProto {
        /// Namespace of the operators.
        domain: string optional String = 1,
        /// Version of the set.
        version: int64 optional i64 = 2,
    }

    /// Text under a key.
    StringStringEntryProto {
        /// Key.
        key: string optional String = 1,
        /// Text.
        value: string optional String = 2,
    }

    /// Graph: nodes in the order of computation, and tensors that they take.
    GraphProto {
        /// Operations, each after those whose outputs it takes.
        node: message repeated NodeProto = 1,
        /// Name of the graph.
        name: string optional String = 2,
        /// Parameters and constants.
        initializer: message repeated TensorProto = 5,
        /// Values that a caller gives.
        input: message repeated ValueInfoProto = 11,
        /// Values that a caller gets.
        output: message repeated ValueInfoProto = 12,
    }

    /// Operation.
    NodeProto {
        /// Names of the values that it takes; an empty one stands for one that is left out.
        input: string repeated String = 1,
        /// Names of the values that it gives.
        output: string repeated String = 2,
        /// Name of the node.
        name: string optional String = 3,
        /// Operator.
        op_type: string optional String = 4,
        /// Settings of the operator.
        attribute: message repeated AttributeProto = 5,
    }

    /// Setting of an operator: the field of its kind is filled.
    AttributeProto {
        /// Name of the setting.
        name: string optional String = 1,
        /// Number with a fraction.
        f: float optional f32 = 2,
        /// Whole number.
        i: int64 optional i64 = 3,
        /// Text.
        s: bytes optional Vec<u8> = 4,
        /// Whole numbers.
        ints: int64 repeated i64 = 8,
        /// Kind of the setting, one of the constants of `attribute_type`.
        r#type: int32 optional i32 = 20,
    }

    /// Tensor with its values.
    TensorProto {
        /// Extents.
        dims: int64 repeated i64 = 1,
        /// Type of the values, one of the constants of [`data_type`].
        data_type: int32 optional i32 = 2,
        /// Name.
        name: string optional String = 8,
        /// Values, row-major and little-endian on every machine.
        raw_data: bytes optional Vec<u8> = 9,
    }

    /// Name and type of a graph's input or output.
    ValueInfoProto {
        /// Name.
        name: string optional String = 1,
        /// Type.
        r#type: message optional TypeProto = 2,
        /// Text for a reader.
        doc_string: string optional String = 3,
    }

    /// Type of a value: a tensor.
    TypeProto {
        /// Type and shape of the tensor.
        tensor_type: message optional TensorTypeProto = 1,
    }

    /// `TypeProto.Tensor`.
    TensorTypeProto {
        /// Type of the values, one of the constants of [`data_type`].
        elem_type: int32 optional i32 = 1,
        /// Shape.
        shape: message optional TensorShapeProto = 2,
    }

    /// Extents of the axes.
    TensorShapeProto {
        /// Extent of each axis.
        dim: message repeated DimensionProto = 1,
    }

    /// `TensorShapeProto.Dimension`, with one of its fields.
    DimensionProto {
        /// Extent.
        dim_value: int64 optional i64 = 1,
        /// Name of an extent that the caller chooses.
        dim_param: string optional String = 2,
    }
}

/// Kinds of settings, `AttributeProto.AttributeType`.
pub mod attribute_type {
    /// Number with a fraction.
    pub const FLOAT: i32 = 1;
    /// Whole number.
    pub const INT: i32 = 2;
    /// Text.
    pub const STRING: i32 = 3;
    /// Whole numbers.
    pub const INTS: i32 = 7;
}

/// Types of a tensor's values, `TensorProto.DataType`.
pub mod data_type {
    /// f32.
    pub const FLOAT: i32 = 1;
    /// i64.
    pub const INT64: i32 = 7;
}
