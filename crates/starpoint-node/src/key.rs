//! The file that keeps the private key.

use std::{
    fs::File,
    io::{self, Read as _},
    path::{Path, PathBuf},
};

use libp2p::identity::Keypair;

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
            Err(KeyError::Read { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                self.create()
            }
            done => done,
        }
    }

    /// Reads the key. Blocks the thread.
    ///
    /// # Errors
    ///
    /// [`KeyError::Read`] also when there is no file.
    pub fn load(&self) -> Result<Keypair, KeyError> {
        let file = File::open(&self.path).map_err(|source| self.unreadable(source))?;
        self.check_access(&file)?;
        let mut bytes = Vec::new();
        file.take(MAX_KEY_BYTES)
            .read_to_end(&mut bytes)
            .map_err(|source| self.unreadable(source))?;
        Keypair::from_protobuf_encoding(&bytes).map_err(|_| KeyError::Invalid {
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

    #[cfg(unix)]
    fn check_access(&self, file: &File) -> Result<(), KeyError> {
        use std::os::unix::fs::PermissionsExt as _;

        let metadata = file.metadata().map_err(|source| self.unreadable(source))?;
        let mode = metadata.permissions().mode() & 0o777;
        if mode & 0o077 == 0 {
            return Ok(());
        }
        Err(KeyError::Exposed {
            path: self.path.clone(),
            mode,
        })
    }

    /// Other systems have no such modes.
    #[cfg(not(unix))]
    fn check_access(&self, _: &File) -> Result<(), KeyError> {
        Ok(())
    }

    fn unreadable(&self, source: io::Error) -> KeyError {
        KeyError::Read {
            path: self.path.clone(),
            source,
        }
    }
}
