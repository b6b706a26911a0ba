//! Entry point of the `swath` binary. All work is in [`swath::cli::main`]: it parses the arguments,
//! runs the command, prints an error with its hints and returns the exit code.

fn main() -> std::process::ExitCode {
    swath::cli::main()
}
