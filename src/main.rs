//! The `gliaflow` binary: everything is in the library.

use gliaflow::internals::base::HugePageAllocator;

#[global_allocator]
static ALLOCATOR: HugePageAllocator = HugePageAllocator;

fn main() -> std::process::ExitCode {
    gliaflow::internals::cli::main()
}
