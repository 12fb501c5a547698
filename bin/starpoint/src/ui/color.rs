//! Colors on a terminal.

use std::io::{self, IsTerminal as _};

/// Returns whether stderr is a terminal whose owner has not set `NO_COLOR`.
pub(crate) fn stderr_takes_color() -> bool {
    let refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    !refused && io::stderr().is_terminal()
}
