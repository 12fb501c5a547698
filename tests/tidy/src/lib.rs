//! Reads the source tree, for the rules of the house that are tests.
//!
//! The rules themselves are in `tests/tidy/`, one module each:
//!
//! | module | rule |
//! |---|---|
//! | `arrows` | which package may depend on which; a new arrow is a line in a table |
//! | `circles` | files of the program use each other in layers, and never in a circle |
//! | `layout` | every child of `crates/`, `bin/`, `tests/` is a package named after its folder; versions only in the root manifest |
//! | `purity` | pure crates have no runtime, socket, clock, file or random source |
//! | `sizes` | no module over 600 code lines, nine of ten within 350 |
//! | `requirements` | every requirement of `spec/` has a test that names it, and the other way round |
//! | `documents` | the code maps match the tree; the wire and its documents change together; links lead somewhere; the README is short |
//! | `guide` | the guides list every setting, exit code and metric |
//! | `words` | nothing unfinished, nothing about the machine that it was written on |

#![deny(missing_docs)]

mod source;
mod tree;

pub use source::{code_lines, comment_free, test_names, without_tests};
pub use tree::{SourceFile, files, metadata, packages, read, root};
