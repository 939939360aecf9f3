//! Array that Python sees in the loader's own memory, by the buffer protocol (PEP 3118) or DLPack.
#![allow(unsafe_code, reason = "Python's buffer protocol is an interface of pointers")]

use std::ffi::{CStr, c_int, c_void};
use std::ptr::NonNull;
use std::sync::Arc;

use gliaflow::internals::buffers::BatchBuffer;
use half::f16;
use pyo3::exceptions::PyBufferError;
use pyo3::ffi;
use pyo3::prelude::*;

use crate::dlpack;
use crate::pooled::PooledBuffer;

/// Type of an array's values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ElementType {
    Float16,
    Float32,
    UInt8,
}

impl ElementType {
    pub(crate) const fn size(self) -> usize {
        match self {
            Self::Float16 => 2,
            Self::Float32 => 4,
            Self::UInt8 => 1,
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Float16 => "float16",
            Self::Float32 => "float32",
            Self::UInt8 => "uint8",
        }
    }

    /// Format of Python's module `struct`.
    const fn format(self) -> &'static CStr {
        match self {
            Self::Float16 => c"e",
            Self::Float32 => c"f",
            Self::UInt8 => c"B",
        }
    }
}

/// Buffer of a pool, to which it returns when it is dropped.
#[derive(Debug)]
#[expect(dead_code, reason = "held for its drop")]
enum PoolMemory {
    BatchImages(BatchBuffer<f16>),
    BatchLabels(BatchBuffer<u8>),
    Float16(PooledBuffer<f16>),
    Float32(PooledBuffer<f32>),
}

/// Memory of an array. The last reference, Python's or a consumer's of DLPack, returns it to its pool.
#[derive(Debug)]
pub(crate) struct ArrayMemory {
    address: NonNull<u8>,
    bytes: usize,
    element: ElementType,
    // Held, and never read or written through: consumers have the address.
    _held: PoolMemory,
}

// SAFETY: the address is that of the heap memory that `_held` owns, which moves and is freed with no
// thread in particular. Rust neither reads nor writes it while the value lives; what Python's threads
// do to the values at once is theirs to settle, as with any array of NumPy.
unsafe impl Send for ArrayMemory {}
// SAFETY: as above.
unsafe impl Sync for ArrayMemory {}

impl ArrayMemory {
    pub(crate) const fn address(&self) -> *mut c_void {
        self.address.as_ptr().cast()
    }
}

impl From<PooledBuffer<f16>> for ArrayMemory {
    fn from(mut values: PooledBuffer<f16>) -> Self {
        let (address, bytes) = (NonNull::from(values.as_mut_slice()).cast(), 2 * values.len());
        let held = PoolMemory::Float16(values);
        Self { address, bytes, element: ElementType::Float16, _held: held }
    }
}

impl From<PooledBuffer<f32>> for ArrayMemory {
    fn from(mut values: PooledBuffer<f32>) -> Self {
        let (address, bytes) = (NonNull::from(values.as_mut_slice()).cast(), 4 * values.len());
        let held = PoolMemory::Float32(values);
        Self { address, bytes, element: ElementType::Float32, _held: held }
    }
}

impl From<BatchBuffer<f16>> for ArrayMemory {
    fn from(mut values: BatchBuffer<f16>) -> Self {
        let (address, bytes) = (NonNull::from(&mut *values).cast(), 2 * values.len());
        let held = PoolMemory::BatchImages(values);
        Self { address, bytes, element: ElementType::Float16, _held: held }
    }
}

impl From<BatchBuffer<u8>> for ArrayMemory {
    fn from(mut values: BatchBuffer<u8>) -> Self {
        let (address, bytes) = (NonNull::from(&mut *values).cast(), values.len());
        let held = PoolMemory::BatchLabels(values);
        Self { address, bytes, element: ElementType::UInt8, _held: held }
    }
}

/// Array in the loader's own memory, without a copy.
///
/// numpy.asarray(array), torch.from_dlpack(array) and memoryview(array) give a view of the same memory,
/// which may be written to. The memory goes back to the loader when the last view is gone, and is never
/// used again before.
#[pyclass(frozen, module = "gliaflow")]
#[derive(Debug)]
pub(crate) struct Array {
    memory: Arc<ArrayMemory>,
    // Of fixed address as long as the object lives: views point to them.
    extents: Box<[isize]>,
    byte_strides: Box<[isize]>,
}

impl Array {
    /// Array of a row-major shape, whose product is the number of the memory's values.
    pub(crate) fn new(memory: impl Into<ArrayMemory>, shape: &[usize]) -> Self {
        let memory = memory.into();
        let size = memory.element.size();
        assert_eq!(shape.iter().product::<usize>() * size, memory.bytes, "a shape of its memory");
        let extents: Box<[isize]> = shape.iter().map(|extent| *extent as isize).collect();
        let mut byte_strides = vec![size as isize; extents.len()].into_boxed_slice();
        for axis in (1..extents.len()).rev() {
            byte_strides[axis - 1] = byte_strides[axis] * extents[axis];
        }
        Self { memory: Arc::new(memory), extents, byte_strides }
    }
}

#[pymethods]
impl Array {
    /// Extents of the array, slowest axis first.
    #[getter]
    fn shape<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, pyo3::types::PyTuple>> {
        pyo3::types::PyTuple::new(py, self.extents.iter())
    }

    /// Type of the values: "float16", "float32" or "uint8".
    #[getter]
    fn dtype(&self) -> &'static str {
        self.memory.element.name()
    }

    /// Address of the first value.
    #[getter]
    fn address(&self) -> usize {
        self.memory.address.as_ptr() as usize
    }

    fn __len__(&self) -> usize {
        self.extents.first().map_or(0, |extent| *extent as usize)
    }

    fn __repr__(&self) -> String {
        let extents: Vec<String> = self.extents.iter().map(ToString::to_string).collect();
        format!("gliaflow.Array(shape=({}), dtype={})", extents.join(", "), self.dtype())
    }

    /// Device of DLPack: (1, 0), the CPU.
    fn __dlpack_device__(&self) -> (i32, i32) {
        dlpack::CPU
    }

    /// Capsule of DLPack over the same memory.
    #[pyo3(signature = (*, stream=None, max_version=None, dl_device=None, copy=None))]
    fn __dlpack__<'py>(
        &self,
        py: Python<'py>,
        stream: Option<Bound<'py, PyAny>>,
        max_version: Option<(u32, u32)>,
        dl_device: Option<(i32, i32)>,
        copy: Option<bool>,
    ) -> PyResult<Bound<'py, PyAny>> {
        if stream.is_some() {
            let text = "stream: memory of the CPU has no streams; leave it out";
            return Err(PyBufferError::new_err(text));
        }
        if dl_device.is_some_and(|device| device != dlpack::CPU) {
            let text = "dl_device: the array lies in the CPU's memory; move it after the import";
            return Err(PyBufferError::new_err(text));
        }
        if copy == Some(true) {
            let text = "copy: the array is handed over without one; copy it after the import";
            return Err(PyBufferError::new_err(text));
        }
        let size = self.memory.element.size() as isize;
        let extents = self.extents.iter().map(|extent| *extent as i64).collect();
        let strides = self.byte_strides.iter().map(|stride| (stride / size) as i64).collect();
        let kind = dlpack::type_of(self.memory.element);
        dlpack::export(py, Arc::clone(&self.memory), kind, extents, strides, max_version)
    }

    /// Fills in a view of Python's buffer protocol.
    unsafe fn __getbuffer__(
        slf: Bound<'_, Self>,
        view: *mut ffi::Py_buffer,
        _flags: c_int,
    ) -> PyResult<()> {
        let array = slf.get();
        // SAFETY: Python hands over a view to be filled in. The array is row-major, so it satisfies every
        // request. `obj` keeps the object alive, and with it the memory, the extents and the strides,
        // which nothing changes; the format is static. Nobody writes through the format.
        unsafe {
            (*view).buf = array.memory.address();
            (*view).len = array.memory.bytes as isize;
            (*view).readonly = 0;
            (*view).itemsize = array.memory.element.size() as isize;
            (*view).format = array.memory.element.format().as_ptr().cast_mut();
            (*view).ndim = array.extents.len() as c_int;
            (*view).shape = array.extents.as_ptr().cast_mut();
            (*view).strides = array.byte_strides.as_ptr().cast_mut();
            (*view).suboffsets = std::ptr::null_mut();
            (*view).internal = std::ptr::null_mut();
            (*view).obj = slf.clone().into_any().into_ptr();
        }
        Ok(())
    }
}
