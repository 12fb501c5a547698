//! The file that keeps the private key.

use std::{
    io,
    path::{Path, PathBuf},
};

use libp2p::identity::Keypair;
use starpoint_file::SmallFile;

use crate::{error::KeyError, file};

/// Largest file that is read: far above any key.
const MAX_KEY_BYTES: u64 = 16 * 1024;

/// A file with a private key: libp2p's protobuf message, nothing around it.
///
/// Only its owner may read it. One that others can read is refused, because
/// whoever has the key is this peer.
#[derive(Clone, Debug)]
pub struct KeyFile {
    path: PathBuf,
}

impl KeyFile {
    /// Names a file. Nothing is read or written yet.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    /// Returns where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Reads the key; if there is no file, makes an Ed25519 key and keeps it with
    /// mode 0600, in folders that are made with 0700.
    ///
    /// The file appears whole or not at all, and of several processes that do
    /// this at the same time all get the same key. Blocks the thread.
    ///
    /// # Errors
    ///
    /// [`KeyError`]; an existing file is never changed.
    pub fn load_or_create(&self) -> Result<Keypair, KeyError> {
        match self.load() {
            Err(KeyError::Read { source, .. }) if source.is_not_found() => self.create(),
            done => done,
        }
    }

    /// Reads the key. Blocks the thread.
    ///
    /// # Errors
    ///
    /// [`KeyError::Read`] also when there is no file.
    pub fn load(&self) -> Result<Keypair, KeyError> {
        let file = starpoint_file::read(&self.path, MAX_KEY_BYTES);
        let file = file.map_err(|source| KeyError::Read {
            path: self.path.clone(),
            source,
        })?;
        self.check_access(&file)?;
        Keypair::from_protobuf_encoding(file.bytes()).map_err(|_| KeyError::Invalid {
            path: self.path.clone(),
        })
    }

    fn create(&self) -> Result<Keypair, KeyError> {
        let keypair = Keypair::generate_ed25519();
        let bytes = keypair
            .to_protobuf_encoding()
            .expect("an ed25519 key can be encoded");
        match self.write_new(&bytes) {
            Ok(()) => Ok(keypair),
            // Somebody else was faster, and theirs is the key.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => self.load(),
            Err(source) => Err(KeyError::Write {
                path: self.path.clone(),
                source,
            }),
        }
    }

    fn write_new(&self, bytes: &[u8]) -> io::Result<()> {
        let file = file::stage(&self.path, bytes)?;
        file.persist_noclobber(&self.path)
            .map_err(|error| error.error)?;
        Ok(())
    }

    /// Systems without permission bits have nothing to check.
    fn check_access(&self, file: &SmallFile) -> Result<(), KeyError> {
        match file.mode() {
            Some(mode) if mode & 0o077 != 0 => Err(KeyError::Exposed {
                path: self.path.clone(),
                mode,
            }),
            Some(_) | None => Ok(()),
        }
    }
}
