//! Interaction with people and scripts: output, messages, errors, exit codes, prompts.

pub(crate) mod color;
pub(crate) mod error;
pub(crate) mod exit;
pub(crate) mod log;
pub(crate) mod prompt;
pub(crate) mod report;
pub(crate) mod status;
pub(crate) mod stdio;
pub(crate) mod stdout;
pub(crate) mod suggest;
