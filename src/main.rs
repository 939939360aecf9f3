//! The `gliaflow` binary: everything is in the library.

fn main() -> std::process::ExitCode {
    gliaflow::internals::cli::main()
}
