//! The command line: subcommands, and how a wrong one is told.

use std::ffi::OsString;

use clap::{
    Arg, CommandFactory as _, FromArgMatches as _, Parser, Subcommand,
    builder::Resettable,
    error::{ContextKind, ContextValue, ErrorKind},
};

use crate::{
    commands,
    ui::{error::Failure, exit::Exit},
};

/// Rendezvous node for libp2p
///
/// Peers that can only make outgoing connections keep one WebSocket to a star. The star proves who
/// they are, tells them who else is there, and carries their connections.
#[derive(Debug, Parser)]
#[command(
    name = "starpoint",
    version,
    max_term_width = 100,
    subcommand_required = true,
    arg_required_else_help = true,
    disable_help_subcommand = true
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Serve(Box<commands::serve::RawArgs>),
    Id(commands::id::RawArgs),
    Peers(commands::peers::RawArgs),
    Ping(commands::ping::RawArgs),
    Listen(commands::listen::RawArgs),
    Connect(commands::connect::RawArgs),
    Expose(Box<commands::expose::RawArgs>),
    Open(Box<commands::open::RawArgs>),
}

/// What a command line comes to.
#[derive(Debug)]
pub(crate) enum Invocation {
    /// A command is to be run.
    Command(Command),
    /// Help or version was asked for and is printed.
    Printed(Exit),
}

/// Reads the command line and the `STARPOINT_*` variables; an empty variable
/// counts as one that is not set.
///
/// # Errors
///
/// A flag or a variable that cannot be understood, the latter by its name.
pub(crate) fn parse(
    args: impl IntoIterator<Item = impl Into<OsString>>,
) -> Result<Invocation, Failure> {
    let args: Vec<OsString> = args.into_iter().map(Into::into).collect();
    let command = map_args(Cli::command(), &ignore_empty_variable);
    let parsed = command
        .clone()
        .try_get_matches_from(&args)
        .and_then(|matches| Cli::from_arg_matches(&matches));
    match parsed {
        Ok(cli) => Ok(Invocation::Command(cli.command)),
        Err(error) if error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            Ok(Invocation::Printed(print(&error, Exit::USAGE)))
        }
        Err(error) if error.use_stderr() => Err(usage_failure(&error, &command, &args)),
        Err(help) => Ok(Invocation::Printed(print(&help, Exit::OK))),
    }
}

fn print(help: &clap::Error, exit: Exit) -> Exit {
    // A reader that left early, such as `head`, has what it wanted.
    let _ = help.print();
    exit
}

/// Applies `change` to the arguments of every subcommand.
fn map_args(command: clap::Command, change: &impl Fn(Arg) -> Arg) -> clap::Command {
    command.mut_subcommands(|sub| map_args(sub.mut_args(change), change))
}

fn ignore_empty_variable(arg: Arg) -> Arg {
    let is_empty = arg
        .get_env()
        .and_then(std::env::var_os)
        .is_some_and(|value| value.is_empty());
    if is_empty { ignore_variable(arg) } else { arg }
}

fn ignore_variable(arg: Arg) -> Arg {
    arg.env(Resettable::Reset)
}

fn usage_failure(error: &clap::Error, command: &clap::Command, args: &[OsString]) -> Failure {
    let rendered = error.render().to_string();
    let (message, rest) = rendered.split_once("\n\n").unwrap_or((&rendered, ""));
    let message = message.trim_start_matches("error: ").trim_end();
    let message = message.split('\n').map(str::trim).collect::<Vec<_>>();
    let message = message.join(" ");

    let command_name = command_named(command, args);
    if let Some((flag, variable)) = variable_at_fault(error, command, args) {
        let message = message.replace(&format!("'{flag}'"), &format!("variable {variable}"));
        let hint = format!("correct or unset {variable}; see `{command_name} --help`");
        return Failure::message(Exit::USAGE, message, hint);
    }
    let tips: Vec<_> = rest
        .lines()
        .filter_map(|line| line.trim().strip_prefix("tip: "))
        .collect();
    let hint = if tips.is_empty() {
        format!("see `{command_name} --help`")
    } else {
        tips.join("; ")
    };
    Failure::message(Exit::USAGE, message, hint)
}

/// Returns the flag and its variable when it is the variable that is wrong: the
/// command line by itself is understood then.
fn variable_at_fault(
    error: &clap::Error,
    command: &clap::Command,
    args: &[OsString],
) -> Option<(String, String)> {
    let Some(ContextValue::String(flag)) = error.get(ContextKind::InvalidArg) else {
        return None;
    };
    let name = flag.strip_prefix("--")?.split([' ', '=', '[']).next()?;
    let variable = all_args(command)
        .find(|arg| arg.get_long() == Some(name))?
        .get_env()?
        .to_string_lossy()
        .into_owned();
    map_args(command.clone(), &ignore_variable)
        .try_get_matches_from(args)
        .is_ok()
        .then(|| (flag.clone(), variable))
}

fn all_args(command: &clap::Command) -> impl Iterator<Item = &Arg> {
    command
        .get_subcommands()
        .flat_map(clap::Command::get_arguments)
}

/// Returns the program and, if `args` names one, its subcommand.
fn command_named(command: &clap::Command, args: &[OsString]) -> String {
    let sub = args
        .get(1)
        .and_then(|name| command.find_subcommand(name))
        .map(|sub| format!(" {}", sub.get_name()));
    format!("{}{}", command.get_name(), sub.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_definition_is_consistent() {
        Cli::command().debug_assert();
    }

    fn variable_of(arg: &Arg) -> Option<&str> {
        arg.get_env().and_then(|name| name.to_str())
    }

    fn named_as(flag: &str) -> String {
        format!("STARPOINT_{}", flag.to_uppercase().replace('-', "_"))
    }

    #[test]
    fn every_setting_of_a_star_has_a_variable() {
        let command = Cli::command();
        let serve = command.find_subcommand("serve").expect("it is there");
        for arg in serve.get_arguments() {
            assert!(variable_of(arg).is_some(), "{}", arg.get_id());
        }
    }

    #[test]
    fn every_variable_has_the_name_of_its_flag() {
        let command = Cli::command();
        for arg in all_args(&command) {
            if let Some(variable) = variable_of(arg) {
                let flag = arg.get_long().expect("what has a variable is a flag");
                assert_eq!(variable, named_as(flag), "--{flag}");
            }
        }
    }
}
