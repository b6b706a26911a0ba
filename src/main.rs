//! The `swath` binary: parse, run, print the error with its hints, exit code.

fn main() -> std::process::ExitCode {
    swath::cli::main()
}
