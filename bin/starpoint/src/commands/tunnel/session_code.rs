//! Where `open` gets its session code from.

use std::{
    io::{self, BufRead as _, Read as _},
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use clap::Args;
use starpoint_tunnel::code::MAX_CODE_CHARS;

use crate::{
    setup::stars::warn,
    ui::{error::Failure, exit::Exit},
};

/// The variable with the code.
const VARIABLE: &str = "STARPOINT_CODE";
const STDIN: &str = "-";

/// The ways to hand over a code. An argument wins over the variable.
#[derive(Debug, Args)]
pub(in crate::commands) struct CodeArgs {
    /// The session code; others on this machine see it in the list of processes, so better use
    /// --code-file, the variable, or `-` for the first line of stdin [env: STARPOINT_CODE]
    #[arg(value_name = "CODE")]
    code: Option<String>,

    /// Read the session code from this file; `-` reads the first line of stdin, and
    /// `<(command)` what a command prints
    #[arg(long, value_name = "FILE", conflicts_with = "code")]
    code_file: Option<PathBuf>,
}

/// Whether stdin can hand over the code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::commands) enum StdinIs {
    /// Lines that are typed.
    Lines,
    /// The data of a connection.
    Data,
}

impl CodeArgs {
    /// Returns the text of the code.
    ///
    /// # Errors
    ///
    /// There is none, or it cannot be read.
    pub(in crate::commands) fn read(&self, stdin: StdinIs) -> Result<String, Failure> {
        match (&self.code, &self.code_file) {
            (_, Some(path)) if path.as_os_str() == STDIN => first_line(stdin),
            (_, Some(path)) => from_file(path),
            (Some(code), None) if code == STDIN => first_line(stdin),
            (Some(code), None) => Ok(code.clone()),
            (None, None) => match std::env::var(VARIABLE) {
                Ok(code) => Ok(code),
                Err(_) => Err(Failure::message(
                    Exit::USAGE,
                    "no session code",
                    "name it, or a file that has it with --code-file, or set STARPOINT_CODE",
                )),
            },
        }
    }
}

fn first_line(stdin: StdinIs) -> Result<String, Failure> {
    match stdin {
        StdinIs::Data => Err(Failure::message(
            Exit::USAGE,
            "stdin cannot be both the code and the data",
            "use a file with --code-file, or set STARPOINT_CODE",
        )),
        StdinIs::Lines => {
            let mut line = String::new();
            let mut stdin = io::stdin().lock().take(MAX_FILE_BYTES);
            stdin.read_line(&mut line).map_err(Failure::internal)?;
            Ok(line)
        }
    }
}

/// A code and a line break, and one byte that is too much.
const MAX_FILE_BYTES: u64 = MAX_CODE_CHARS as u64 + 3;

fn from_file(path: &Path) -> Result<String, Failure> {
    let failure = |error: anyhow::Error| {
        Failure::new(
            Exit::USAGE,
            error,
            "--code-file takes a file with what `starpoint expose` printed, and nothing else",
        )
    };
    let cannot_read = || format!("cannot read `{}`", path.display());
    let file = starpoint_file::read_or_piped(path, MAX_FILE_BYTES)
        .with_context(cannot_read)
        .map_err(failure)?;
    if file.mode().is_some_and(|mode| mode & 0o077 != 0) {
        let path = path.display();
        warn(&format!(
            "others can read the session code in `{path}`: `chmod 600 '{path}'`"
        ));
    }
    let text = file
        .text()
        .context("not UTF-8 text")
        .with_context(cannot_read)
        .map_err(failure)?;
    let text = text.strip_suffix('\n').unwrap_or(text);
    Ok(text.strip_suffix('\r').unwrap_or(text).to_owned())
}
