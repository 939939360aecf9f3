//! Export of an array by DLPack 1.0 (dmlc.github.io/dlpack), or by its older structure where the consumer asks
//! for no version.
#![allow(unsafe_code, reason = "DLPack is an interface of pointers")]

use std::ffi::{CStr, c_void};
use std::ptr::NonNull;
use std::sync::Arc;

use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::PyCapsule;

use crate::array::{ArrayMemory, ElementType};

/// Device type 1 and number 0: the CPU.
pub(crate) const CPU: (i32, i32) = (1, 0);

/// Version of the newer structure.
const VERSION: [u32; 2] = [1, 0];

/// `DLDataType`: code (1 unsigned integer, 2 floating point), bits, lanes.
#[repr(C)]
#[derive(Debug, Clone, Copy)]
pub(crate) struct DataType {
    code: u8,
    bits: u8,
    lanes: u16,
}

/// Type of an array's values in DLPack's terms.
pub(crate) const fn type_of(element: ElementType) -> DataType {
    let code = match element {
        ElementType::Float16 | ElementType::Float32 => 2,
        ElementType::UInt8 => 1,
    };
    DataType { code, bits: 8 * element.size() as u8, lanes: 1 }
}

/// `DLTensor`; strides count values.
#[repr(C)]
struct TensorView {
    data: *mut c_void,
    device: [i32; 2],
    axes: i32,
    kind: DataType,
    extents: *mut i64,
    strides: *mut i64,
    byte_offset: u64,
}

/// `DLManagedTensor`.
#[repr(C)]
struct Unversioned {
    tensor: TensorView,
    context: *mut c_void,
    deleter: unsafe extern "C" fn(*mut Self),
}

/// `DLManagedTensorVersioned`.
#[repr(C)]
struct Versioned {
    version: [u32; 2],
    context: *mut c_void,
    deleter: unsafe extern "C" fn(*mut Self),
    flags: u64,
    tensor: TensorView,
}

/// Structure that the consumer gets, and all that it points to.
#[repr(C)]
struct Export<S> {
    structure: S,
    _extents: Vec<i64>,
    _strides: Vec<i64>,
    _memory: Arc<ArrayMemory>,
}

/// Structure with the name of its capsule.
trait CapsuleStructure: Sized {
    /// Name of the capsule until a consumer takes the structure out of it.
    const NAME: &'static CStr;

    /// Function that the structure is deleted by.
    fn deleter(&self) -> unsafe extern "C" fn(*mut Self);
}

impl CapsuleStructure for Unversioned {
    const NAME: &'static CStr = c"dltensor";

    fn deleter(&self) -> unsafe extern "C" fn(*mut Self) {
        self.deleter
    }
}

impl CapsuleStructure for Versioned {
    const NAME: &'static CStr = c"dltensor_versioned";

    fn deleter(&self) -> unsafe extern "C" fn(*mut Self) {
        self.deleter
    }
}

/// Makes a capsule over `memory`.
pub(crate) fn export(
    py: Python<'_>,
    memory: Arc<ArrayMemory>,
    kind: DataType,
    mut extents: Vec<i64>,
    mut strides: Vec<i64>,
    max_version: Option<(u32, u32)>,
) -> PyResult<Bound<'_, PyAny>> {
    let tensor = TensorView {
        data: memory.address(),
        device: [CPU.0, CPU.1],
        axes: extents.len() as i32,
        kind,
        extents: extents.as_mut_ptr(),
        strides: strides.as_mut_ptr(),
        byte_offset: 0,
    };
    let context = std::ptr::null_mut();
    match max_version {
        Some((major, _)) if major >= VERSION[0] => {
            let deleter = delete::<Versioned>;
            let structure = Versioned { version: VERSION, context, deleter, flags: 0, tensor };
            let (_extents, _strides, _memory) = (extents, strides, memory);
            to_capsule(py, Export { structure, _extents, _strides, _memory })
        }
        _ => {
            let structure = Unversioned { tensor, context, deleter: delete::<Unversioned> };
            let (_extents, _strides, _memory) = (extents, strides, memory);
            to_capsule(py, Export { structure, _extents, _strides, _memory })
        }
    }
}

fn to_capsule<S: CapsuleStructure>(
    py: Python<'_>,
    export: Export<S>,
) -> PyResult<Bound<'_, PyAny>> {
    let address = NonNull::from(Box::leak(Box::new(export))).cast::<c_void>();
    let destructor = drop_capsule::<S>;
    // SAFETY: the address is that of a structure of the capsule's name, and lives until its deleter is
    // called: once, by the consumer that took it, or else by the destructor.
    let capsule = unsafe {
        PyCapsule::new_with_pointer_and_destructor(py, address, S::NAME, Some(destructor))
    };
    Ok(capsule?.into_any())
}

/// Frees an export by the address of its structure, which is its first field.
unsafe extern "C" fn delete<S>(structure: *mut S) {
    // SAFETY: DLPack calls the deleter once, with the structure that it was given; that is the first
    // field of an `Export` of this kind, which was leaked from a box. No lock of Python is needed.
    drop(unsafe { Box::from_raw(structure.cast::<Export<S>>()) });
}

/// Deletes what a capsule holds, if no consumer has taken it: they rename the capsule.
unsafe extern "C" fn drop_capsule<S: CapsuleStructure>(capsule: *mut ffi::PyObject) {
    let name = S::NAME.as_ptr();
    // SAFETY: Python calls this with the capsule while it holds its lock; a capsule of this name has a
    // structure that was not deleted.
    unsafe {
        if ffi::PyCapsule_IsValid(capsule, name) == 1 {
            let structure = ffi::PyCapsule_GetPointer(capsule, name).cast::<S>();
            ((*structure).deleter())(structure);
        }
    }
}
