//! The key by which native peers know the star.

use std::path::{Path, PathBuf};

use starpoint_node::{KeyFile, Keypair};

use crate::{setup::data_folder, ui::error::Failure};

/// Where the key is kept.
#[derive(Clone, Debug)]
pub(super) enum StarKey {
    /// In a file that somebody named: it has to work.
    Named(PathBuf),
    /// In the default file, if it works.
    Default(PathBuf),
    /// There is no folder for the default file.
    Nowhere,
}

impl StarKey {
    /// Returns the place for a key of which nobody said where it is.
    pub(super) fn by_default() -> Self {
        match data_folder::path() {
            Some(folder) => Self::Default(folder.join("star.key")),
            None => Self::Nowhere,
        }
    }

    pub(super) fn path(&self) -> Option<&Path> {
        match self {
            Self::Named(path) | Self::Default(path) => Some(path),
            Self::Nowhere => None,
        }
    }

    /// Reads the key, or makes it.
    ///
    /// # Errors
    ///
    /// The file that was named cannot be used.
    pub(super) fn load_or_create(&self) -> Result<Keypair, Failure> {
        match self {
            Self::Named(path) => Ok(KeyFile::new(path).load_or_create()?),
            Self::Default(path) => {
                Ok(KeyFile::new(path).load_or_create().unwrap_or_else(|error| {
                    let error: &dyn std::error::Error = &error;
                    tracing::warn!(
                        error,
                        "Cannot use the default key file; the star is another one after each start"
                    );
                    Keypair::generate_ed25519()
                }))
            }
            Self::Nowhere => {
                tracing::warn!(
                    "No folder for a key file; the star is another one after each start"
                );
                Ok(Keypair::generate_ed25519())
            }
        }
    }
}
