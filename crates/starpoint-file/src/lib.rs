//! Reads the small files that operators and users name: keys, certificates,
//! settings.
//!
//! [`read`] takes regular files only, up to a size. A FIFO, a terminal or a device
//! under the name of a key would otherwise stop the program for ever at its start,
//! or at a reload, and one without an end would fill its memory. The check is on the
//! open file, not on its name, so nobody can swap the file between check and read.

#![deny(missing_docs)]

mod read;

pub use read::{FileError, FileKind, SmallFile, read, read_or_piped};
