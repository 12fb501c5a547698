//! Messages: tracing to stderr, as text or as one JSON object a line.

use std::{fmt, io, str::FromStr};

use clap::ValueEnum;
use serde::{Deserialize, Serialize};
use tracing_subscriber::EnvFilter;

use crate::ui::{color, error::Failure, suggest};

const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];

/// How messages are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum LogFormat {
    /// For people; in color on a terminal.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// Which messages are written: a level, or `target=level` directives separated
/// by commas. Default `info`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(try_from = "String", into = "String")]
pub(crate) struct LogFilter(String);

impl Default for LogFilter {
    fn default() -> Self {
        Self("info".to_owned())
    }
}

impl FromStr for LogFilter {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        EnvFilter::try_new(text).map_err(|error| error.to_string())?;
        // A bare word that is no level names a target, so a misspelled level
        // would silence everything without a word.
        for directive in text.split(',').map(str::trim) {
            let is_level = LEVELS
                .iter()
                .any(|level| directive.eq_ignore_ascii_case(level));
            if is_level {
                continue;
            }
            if let Some(level) = meant_level(directive) {
                return Err(format!("no level `{directive}`, did you mean `{level}`?"));
            }
        }
        Ok(Self(text.to_owned()))
    }
}

fn meant_level(directive: &str) -> Option<&'static str> {
    let word = directive.to_ascii_lowercase();
    let is_longer_name = |level: &&str| level.len() > 3 && word.starts_with(*level);
    if word.chars().all(|c| c.is_ascii_alphabetic()) {
        suggest::closest(&word, LEVELS).or_else(|| LEVELS.into_iter().find(is_longer_name))
    } else {
        None
    }
}

impl TryFrom<String> for LogFilter {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<LogFilter> for String {
    fn from(filter: LogFilter) -> Self {
        filter.0
    }
}

impl fmt::Display for LogFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Starts writing messages to stderr.
///
/// # Errors
///
/// Messages are being written already.
pub(crate) fn init(filter: &LogFilter, format: LogFormat) -> Result<(), Failure> {
    let filter = EnvFilter::try_new(&filter.0).map_err(Failure::internal)?;
    // A failed write is dropped: reporting it would write to stderr again, which
    // panics when stderr is a closed pipe.
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .with_ansi(color::stderr_takes_color())
        .log_internal_errors(false);
    let started = match format {
        LogFormat::Text => builder.try_init(),
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
    };
    started.map_err(|error| Failure::internal(anyhow::Error::from_boxed(error)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_and_directives_are_filters() {
        for text in [
            "info",
            "WARN",
            "off",
            "starpoint_server=debug",
            "info,hyper=warn",
            "info, tower",
            "warn,starpoint_server[connection]=trace",
        ] {
            assert_eq!(text.parse(), Ok(LogFilter(text.to_owned())), "{text}");
        }
    }

    #[test]
    fn a_misspelled_level_is_no_target() {
        for (text, level) in [
            ("inof", "info"),
            ("hyper=warn,debg", "debug"),
            ("warning", "warn"),
        ] {
            let refused = text.parse::<LogFilter>();
            let error = refused.unwrap_err();
            assert!(
                error.contains(&format!("did you mean `{level}`")),
                "{error}"
            );
        }
    }

    #[test]
    fn a_level_that_does_not_exist_is_refused() {
        assert!("hyper=loud".parse::<LogFilter>().is_err());
    }
}
