//! Results, as lines for people or as JSON for programs.

use std::{
    fmt,
    io::{self, Write as _},
};

use serde::Serialize;

use crate::ui::{error::Failure, stdout};

/// Where results go, and how they look.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reporter {
    format: Format,
    place: Place,
}

#[derive(Clone, Copy, Debug)]
enum Format {
    Text,
    Json,
}

#[derive(Clone, Copy, Debug)]
enum Place {
    Stdout,
    /// Stdout is the data of a connection.
    Stderr,
}

impl Reporter {
    /// Reports on stdout.
    pub(crate) fn stdout(json: bool) -> Self {
        Self {
            format: if json { Format::Json } else { Format::Text },
            place: Place::Stdout,
        }
    }

    /// Reports on stderr, because stdout is the data.
    pub(crate) fn stderr(json: bool) -> Self {
        Self {
            place: Place::Stderr,
            ..Self::stdout(json)
        }
    }

    /// Writes one line.
    ///
    /// # Errors
    ///
    /// Stdout cannot be written; who reads no more is no error.
    pub(crate) fn tell(self, report: &(impl Serialize + fmt::Display)) -> Result<(), Failure> {
        let line = match self.format {
            Format::Text => format!("{report}\n"),
            Format::Json => {
                let json = serde_json::to_string(report).map_err(Failure::internal)?;
                format!("{json}\n")
            }
        };
        match self.place {
            Place::Stdout => stdout::write(&line).map_err(Failure::internal),
            Place::Stderr => {
                // Nobody is left to tell when stderr is gone.
                let _ = io::stderr().lock().write_all(line.as_bytes());
                Ok(())
            }
        }
    }
}

/// What `listen` and `connect` report.
#[derive(Debug, Serialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub(crate) enum PipeReport {
    /// Others can connect to this address.
    Listening { address: String },
    /// A connection is open. `peer` is proved, except with `--raw`.
    Connected {
        peer: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        address: Option<String>,
    },
    /// Both directions have ended in good order.
    Ended {
        peer: String,
        sent_bytes: u64,
        received_bytes: u64,
    },
    /// A connection of many broke; the others go on.
    Broken { peer: String, reason: String },
    /// A star is lost; it is tried again.
    StarLost { star: String, reason: String },
}

impl fmt::Display for PipeReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Listening { address } => write!(f, "listening {address}"),
            Self::Connected { peer, .. } => write!(f, "connected {peer}"),
            Self::Ended {
                peer,
                sent_bytes,
                received_bytes,
            } => write!(
                f,
                "ended {peer}, {sent_bytes} bytes sent, {received_bytes} received"
            ),
            Self::Broken { peer, reason } => write!(f, "broken {peer}, {reason}"),
            Self::StarLost { star, reason } => write!(f, "lost {star}, {reason}"),
        }
    }
}

/// Returns an error and what caused it, in one line.
pub(crate) fn one_line(error: &dyn std::error::Error) -> String {
    let mut line = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        line = format!("{line}: {error}");
        cause = error.source();
    }
    line
}
