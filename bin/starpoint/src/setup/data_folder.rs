//! Where files are kept of which nobody says where.

use std::{env, path::PathBuf};

/// Returns `starpoint` in the user's folder for data; `None` when neither
/// `XDG_DATA_HOME` nor `HOME` is an absolute path.
pub(crate) fn path() -> Option<PathBuf> {
    let absolute = |name: &str| {
        let path = PathBuf::from(env::var_os(name)?);
        path.is_absolute().then_some(path)
    };
    absolute("XDG_DATA_HOME")
        .or_else(|| Some(absolute("HOME")?.join(".local/share")))
        .map(|data| data.join("starpoint"))
}
