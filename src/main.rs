//! The `gliaflow` binary: everything is in the library.

fn main() -> std::process::ExitCode {
    gliaflow::cli::main()
}
