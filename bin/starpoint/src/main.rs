//! The `starpoint` program.
//!
//! Results go to stdout, messages to stderr; [`ui::exit`] lists the exit codes.

mod cli;
mod commands;
mod setup;
mod ui;

use std::process::ExitCode;

use cli::{Command, Invocation};
use ui::{error::Failure, exit::Exit};

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
        Command::Serve(args) => commands::serve::execute(*args),
        Command::Id(args) => commands::id::execute(&args),
        Command::Peers(args) => commands::peers::execute(&args),
        Command::Ping(args) => commands::ping::execute(&args),
        Command::Listen(args) => commands::listen::execute(&args),
        Command::Connect(args) => commands::connect::execute(&args),
        Command::Expose(args) => commands::expose::execute(*args),
        Command::Open(args) => commands::open::execute(*args),
    }
}

#[cfg(test)]
mod tests {
    use super::Exit;

    #[test]
    fn exit_codes_are_distinct() {
        let mut codes = Exit::ALL.map(|exit| exit.code()).to_vec();
        codes.sort_unstable();
        codes.dedup();
        assert_eq!(codes.len(), Exit::ALL.len());
    }
}
