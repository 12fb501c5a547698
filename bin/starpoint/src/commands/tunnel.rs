//! What `expose` and `open` report, and how they fail.

pub(super) mod approvals;
pub(super) mod session_code;

use std::fmt;

use serde::Serialize;
use starpoint_tunnel::{
    ConnectError, JoinError, Refusal, client::Ended, code::CodeError, target::TargetError,
};

use crate::{
    commands::tunnel::approvals::Form,
    ui::{
        error::Failure,
        exit::Exit,
        report::{Reporter, one_line},
    },
};

/// Streams in one connection: one for each socket, and those that come to an end.
pub(super) const MAX_STREAMS: usize = 4_096;
/// Sockets of one client.
pub(super) const MAX_SOCKETS: usize = 1_024;

/// Where changes are told: as JSON they are the results, else messages.
pub(super) fn reporter(json: bool) -> Reporter {
    if json {
        Reporter::stdout(true)
    } else {
        Reporter::stderr(false)
    }
}

/// What `expose` and `open` report.
#[derive(Debug, Serialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub(super) enum TunnelReport {
    /// Host: hand this over.
    Code { code: String, expires_in_s: u64 },
    /// Host: nobody is there.
    WaitingForClient,
    /// Host: somebody wants in.
    Asked {
        client: String,
        #[serde(skip)]
        form: Form,
    },
    /// Host: somebody is in.
    Joined {
        client: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        path: Option<&'static str>,
    },
    /// Host: a client cannot be reached and may come back.
    Lost { client: String },
    /// Host: it is back.
    Resumed {
        client: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        path: Option<&'static str>,
    },
    /// Host: its session is over.
    Left { client: String },
    /// Host: somebody was not let in.
    Refused { client: String, reason: String },
    /// Host: a socket was not connected.
    SocketRefused {
        client: String,
        target: Option<String>,
        reason: String,
    },
    /// Host: a client, as `list` asks for it.
    Client {
        client: String,
        standing: &'static str,
    },
    /// Client: the host is being dialed.
    Connecting { host: String },
    /// Client: the host is being asked.
    WaitingForApproval,
    /// Client: sockets can be opened.
    Open {
        targets: Vec<String>,
        #[serde(skip_serializing_if = "Option::is_none")]
        path: Option<&'static str>,
    },
    /// Client: programs can connect here.
    Listening {
        address: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        target: Option<String>,
    },
    /// Client: a listener, as `list` asks for it.
    Listener {
        address: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        target: Option<String>,
    },
    /// Client: a listener is closed.
    Removed { address: String },
    /// Client: the host is lost and tried again.
    Reconnecting,
    /// Client: why.
    LostHost { reason: String },
    /// Client: the session is over.
    Closed { reason: String },
    /// Client: a program was not connected.
    SocketFailed { listener: String, reason: String },
    /// Either: a star is lost; it is tried again.
    StarLost { star: String, reason: String },
    /// Either: it is there, for the first time or again.
    StarLive { star: String },
}

impl fmt::Display for TunnelReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Code { code, .. } => f.write_str(code),
            Self::WaitingForClient => f.write_str("waiting for a client…"),
            Self::Asked { client, form } => match form {
                Form::Plain => write!(f, "{client} wants to join: accept? [y/n]"),
                Form::Named(end) => {
                    write!(f, "{client} wants to join: accept? [y {end}/n {end}]")
                }
            },
            Self::Joined { client, path } => write!(f, "joined {client}{}", Aside(*path)),
            Self::Lost { client } => write!(f, "lost {client}, it may come back"),
            Self::Resumed { client, path } => write!(f, "resumed {client}{}", Aside(*path)),
            Self::Left { client } => write!(f, "left {client}"),
            Self::Refused { client, reason } => write!(f, "refused {client}, {reason}"),
            Self::SocketRefused {
                client,
                target,
                reason,
            } => {
                let target = target.as_deref().unwrap_or("first target");
                write!(f, "no socket for {client} to {target}, {reason}")
            }
            Self::Client { client, standing } => write!(f, "{client} {standing}"),
            Self::Connecting { host } => write!(f, "connecting {host}"),
            Self::WaitingForApproval => f.write_str("waiting for approval by the host…"),
            Self::Open { targets, path } => {
                let targets = targets.join(" ");
                write!(f, "open{}, host offers {targets}", Aside(*path))
            }
            Self::Listening { address, target } => match target {
                Some(target) => write!(f, "listening {address} for {target}"),
                None => write!(f, "listening {address}"),
            },
            Self::Listener { address, target } => match target {
                Some(target) => write!(f, "{address} for {target}"),
                None => f.write_str(address),
            },
            Self::Removed { address } => write!(f, "removed {address}"),
            Self::Reconnecting => f.write_str("reconnecting…"),
            Self::LostHost { reason } => write!(f, "lost the host, {reason}"),
            Self::Closed { reason } => write!(f, "closed, {reason}"),
            Self::SocketFailed { listener, reason } => {
                write!(f, "no socket for {listener}, {reason}")
            }
            Self::StarLost { star, reason } => write!(f, "lost {star}, {reason}"),
            Self::StarLive { star } => write!(f, "live {star}"),
        }
    }
}

/// A path in a line for people.
struct Aside(Option<&'static str>);

impl fmt::Display for Aside {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(path) => write!(f, " ({path})"),
            None => Ok(()),
        }
    }
}

impl From<CodeError> for Failure {
    fn from(error: CodeError) -> Self {
        Self::new(
            Exit::USAGE,
            error,
            "copy all of what `starpoint expose` printed; blanks and line breaks do not matter",
        )
    }
}

impl From<TargetError> for Failure {
    fn from(error: TargetError) -> Self {
        Self::new(Exit::USAGE, error, "see `starpoint expose --help`")
    }
}

impl From<JoinError> for Failure {
    fn from(error: JoinError) -> Self {
        match error {
            JoinError::Dial(error) => error.into(),
            JoinError::Refused(refusal) => refused(refusal),
            JoinError::Open(starpoint_node::OpenStreamError::Dial(error)) => error.into(),
            JoinError::Open(_) => Self::new(
                Exit::REFUSED,
                error,
                "check that `starpoint expose` still runs there",
            ),
            JoinError::NoStar => Self::new(
                Exit::USAGE,
                error,
                "ask the host for a code that `starpoint expose` has printed",
            ),
            JoinError::Lost(_) => Self::new(Exit::BROKEN, error, "try again"),
            JoinError::NoAnswer => Self::new(Exit::NO_ANSWER, error, "try again later"),
            other => Self::internal(other),
        }
    }
}

impl From<ConnectError> for Failure {
    fn from(error: ConnectError) -> Self {
        match error {
            ConnectError::Refused(refusal) => refused(refusal),
            ConnectError::NotOpen | ConnectError::Lost(_) => {
                Self::new(Exit::BROKEN, error, "try again")
            }
            ConnectError::Closed => Self::new(Exit::ENDED, error, "ask the host for a new code"),
            other => Self::internal(other),
        }
    }
}

/// Returns the failure of what a host refuses.
pub(super) fn refused(refusal: Refusal) -> Failure {
    let (exit, hint) = match refusal {
        Refusal::UnknownCode | Refusal::UsedCode | Refusal::ExpiredCode => {
            (Exit::CODE, "ask the host for a new code")
        }
        Refusal::Locked => (Exit::CODE, "wait a minute, and ask the host for a new code"),
        Refusal::Declined => (
            Exit::DECLINED,
            "ask the host to let you in, and for a new code",
        ),
        Refusal::NoDecision => (Exit::DECLINED, "ask the host to look, and try again"),
        Refusal::Banned => (
            Exit::DECLINED,
            "only the host can lift that, with `unban` at its prompt",
        ),
        Refusal::Dropped | Refusal::Stopped | Refusal::NotJoined => {
            (Exit::ENDED, "ask the host for a new code")
        }
        Refusal::Full => (Exit::REFUSED, "the host may raise --max-clients"),
        Refusal::Busy => (Exit::REFUSED, "try again later"),
        Refusal::Malformed => (Exit::REFUSED, "check that both run the same version"),
        Refusal::NoSuchTarget => (Exit::TARGET, "`starpoint open` tells what the host offers"),
        Refusal::TargetRefused => (Exit::TARGET, "ask the host to start the service"),
        Refusal::TargetUnreachable | Refusal::TargetTimeout | Refusal::NoSuchName => (
            Exit::TARGET,
            "ask the host to check the address of the service",
        ),
        Refusal::Forbidden => (
            Exit::TARGET,
            "the host may pass --allow-lan for its local network; other addresses are not allowed",
        ),
    };
    Failure::new(exit, refusal_error(refusal), hint)
}

fn refusal_error(refusal: Refusal) -> anyhow::Error {
    anyhow::Error::new(refusal)
}

/// Returns why a session is over, in one line.
pub(super) fn ended_reason(ended: Ended) -> String {
    match ended {
        Ended::Left => "left".to_owned(),
        Ended::Refused(refusal) => one_line(&refusal),
        Ended::GaveUp => "host was gone for too long".to_owned(),
        Ended::Stopped => "stopped".to_owned(),
    }
}

/// Returns how to exit after a session that is over.
pub(super) fn ended(ended: Ended) -> Result<Exit, Failure> {
    match ended {
        Ended::Left => Ok(Exit::OK),
        Ended::Refused(refusal) => Err(refused(refusal)),
        Ended::GaveUp => Err(Failure::message(
            Exit::BROKEN,
            "host was gone for too long",
            "check that it runs, and ask for a new code",
        )),
        Ended::Stopped => Err(Failure::message(
            Exit::INTERNAL,
            "node has stopped",
            "`--log debug` tells more",
        )),
    }
}
