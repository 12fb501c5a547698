//! The `starpoint` program.
//!
//! Results go to stdout, messages to stderr; [`exit`] lists the exit codes.

mod cli;
mod error;
mod exit;
mod log;
mod serve;
mod suggest;

use std::process::ExitCode;

use cli::{Command, Invocation};

fn main() -> ExitCode {
    rustls::crypto::ring::default_provider()
        .install_default()
        .expect("nothing ran before that could have installed another");

    let done = match cli::parse(std::env::args_os()) {
        Ok(Invocation::Command(Command::Serve(args))) => serve::execute(*args),
        Ok(Invocation::Printed(exit)) => Ok(exit),
        Err(failure) => Err(failure),
    };
    done.unwrap_or_else(|failure| failure.report()).into()
}

#[cfg(test)]
mod tests {
    use super::exit::Exit;

    #[test]
    fn exit_codes_are_distinct() {
        let mut codes = Exit::ALL.map(|exit| exit.code()).to_vec();
        codes.sort_unstable();
        codes.dedup();
        assert_eq!(codes.len(), Exit::ALL.len());
    }
}
