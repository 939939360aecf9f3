//! Stand-in for `cubecl-llvm` 0.11.3: the items that `cubecl-cuda` 0.11.3 names, without LLVM.
//!
//! `cubecl-cuda` always compiles both of its compilers, CUDA C++ through NVRTC and LLVM, and picks
//! one by its feature `cpp` (`cuda-cpp` in `cubecl`). With `cpp` on, what is here is only type
//! checked. With `cpp` off it is called, and [`PlironCompiler::compile`] refuses every kernel.
//!
//! Names, fields and module paths are the original's; they cannot be chosen here.

use std::convert::Infallible;
#[cfg(feature = "nvptx")]
use std::ffi::c_char;
use std::fmt;

use cubecl_core::prelude::KernelDefinition;
use cubecl_environment::backtrace::BackTrace;
use cubecl_runtime::compiler::{CompilationError, Compiler};
#[cfg(feature = "nvptx")]
use cubecl_runtime::kernel::BufferIOAttr;

#[cfg(feature = "nvptx")]
pub mod nvptx;
pub mod shared;

/// What the compiler would emit code for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LlvmTarget {
    /// The host.
    #[default]
    Cpu,
    /// NVIDIA GPUs.
    #[cfg(feature = "nvptx")]
    Nvptx,
}

/// A compiler that compiles nothing.
#[derive(Clone, Debug, Default)]
pub struct PlironCompiler {
    /// What it would emit code for.
    pub target: LlvmTarget,
}

/// What a caller tells the compiler about the device; read by nobody.
#[derive(Clone, Debug, Default)]
pub struct PlironOptions {
    /// Alignment of CPU buffers in bytes.
    pub cpu_buffer_alignment: Option<u32>,
    /// Architecture of an AMD GPU; there is none to name here.
    pub arch: Option<Infallible>,
    /// Architecture of an NVIDIA GPU.
    #[cfg(feature = "nvptx")]
    pub sm_arch: Option<cubecl_core::ir::nvidia::SmArch>,
    /// The newest PTX that the driver loads.
    #[cfg(feature = "nvptx")]
    pub ptx_version: Option<nvptx::ptx_version::PtxVersion>,
    /// Whether scalars travel in the kernel's parameter block.
    pub grid_constants: bool,
}

/// A compiled PTX module. None is ever made.
#[cfg(feature = "nvptx")]
#[derive(Clone, Debug)]
pub struct NvptxModule {
    /// PTX text, with a NUL at its end.
    pub ptx: Vec<c_char>,
    /// Symbol of the entry point.
    pub entrypoint: String,
    /// Intermediate representation, for logs.
    pub ir: String,
    /// Shared memory of one launch, in bytes.
    pub shared_memory_size: usize,
    /// What the kernel does with each buffer, in binding order.
    pub io: Vec<BufferIOAttr>,
}

/// What a compilation would result in.
#[derive(Clone, Debug)]
pub enum PlironArtifact {
    /// Host code, which cannot be made.
    Jit(Infallible),
    /// PTX.
    #[cfg(feature = "nvptx")]
    NvptxCode(NvptxModule),
}

impl fmt::Display for PlironArtifact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Jit(never) => match *never {},
            #[cfg(feature = "nvptx")]
            Self::NvptxCode(module) => f.write_str(&module.ir),
        }
    }
}

impl Compiler for PlironCompiler {
    type Representation = PlironArtifact;
    type CompilationOptions = PlironOptions;

    fn compile(
        &mut self,
        _kernel: KernelDefinition,
        _options: &Self::CompilationOptions,
    ) -> Result<Self::Representation, CompilationError> {
        Err(CompilationError::Generic {
            reason: "this build has no LLVM; switch on the feature `cuda-cpp` of `cubecl` so that \
                     kernels go through NVRTC, or take the patch of `cubecl-llvm` out of Cargo.toml"
                .into(),
            backtrace: BackTrace::capture(),
        })
    }

    fn extension(&self) -> &'static str {
        "ll"
    }

    fn lang_tag(&self) -> &'static str {
        "llvm"
    }
}
