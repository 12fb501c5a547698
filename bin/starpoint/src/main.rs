//! The `starpoint` program.
//!
//! Results go to stdout, messages to stderr; [`exit`] lists the exit codes.

mod cli;
mod data_folder;
mod error;
mod exit;
mod log;
mod peer;
mod serve;
mod signals;
mod stdout;
mod suggest;

use std::process::ExitCode;

use cli::{Command, Invocation};
use error::Failure;
use exit::Exit;

fn main() -> ExitCode {
    rustls::crypto::ring::default_provider()
        .install_default()
        .expect("nothing ran before that could have installed another");

    let done = match cli::parse(std::env::args_os()) {
        Ok(Invocation::Command(command)) => execute(command),
        Ok(Invocation::Printed(exit)) => Ok(exit),
        Err(failure) => Err(failure),
    };
    done.unwrap_or_else(|failure| failure.report()).into()
}

fn execute(command: Command) -> Result<Exit, Failure> {
    match command {
        Command::Serve(args) => serve::execute(*args),
        Command::Id(args) => peer::id::execute(&args),
        Command::Peers(args) => peer::peers::execute(&args),
        Command::Ping(args) => peer::ping::execute(&args),
        Command::Listen(args) => peer::listen::execute(&args),
        Command::Connect(args) => peer::connect::execute(&args),
        Command::Expose(args) => peer::expose::execute(*args),
        Command::Open(args) => peer::open::execute(*args),
    }
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
