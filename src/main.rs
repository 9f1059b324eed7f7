//! The command line: `framefeed convert | info | verify | extract`, on the public API alone.

mod cli;

fn main() -> std::process::ExitCode {
    cli::run()
}
