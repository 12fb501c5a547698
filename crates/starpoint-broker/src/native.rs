//! State of the native profile.

pub(crate) mod pipes;
pub(crate) mod spaces;
mod state;

pub(crate) use state::{Away, Greeting, Joined, Native, Stage, Standing};
