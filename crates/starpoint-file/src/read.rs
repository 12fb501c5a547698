//! Opening without waiting, checking what was opened, reading up to a bound.

use std::{
    fmt,
    fs::{File, FileType, Metadata, OpenOptions},
    io::{self, Read as _},
    path::Path,
};

/// A file that was read whole.
#[derive(Clone, PartialEq, Eq)]
pub struct SmallFile {
    bytes: Vec<u8>,
    mode: Option<u32>,
}

impl SmallFile {
    /// Returns the content.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Returns the content as text, or `None` when it is not UTF-8.
    pub fn text(&self) -> Option<&str> {
        std::str::from_utf8(&self.bytes).ok()
    }

    /// Returns the content without a copy.
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    /// Returns the permission bits of the file that was read, `0o600` for one; `None` on
    /// systems that have none.
    pub fn mode(&self) -> Option<u32> {
        self.mode
    }
}

/// The content may be a secret.
impl fmt::Debug for SmallFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SmallFile")
            .field("bytes", &self.bytes.len())
            .field("mode", &self.mode)
            .finish()
    }
}

/// Why a file was not read. The fault of the user who named it, or of the file system.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FileError {
    /// The system refuses to open or read the file, most often because it does not exist
    /// or belongs to somebody else.
    #[error(transparent)]
    System(#[from] io::Error),
    /// The name stands for something that has no end or no content.
    #[error("it is {0}, and only regular files are read")]
    NotRegular(FileKind),
    /// The file is larger than any valid one.
    #[error("it is larger than {max_bytes} bytes")]
    TooLarge {
        /// The bound that [`read`] was given.
        max_bytes: u64,
    },
}

impl FileError {
    /// Returns whether no file has that name.
    pub fn is_not_found(&self) -> bool {
        self.system_kind() == Some(io::ErrorKind::NotFound)
    }

    /// Returns the kind of the system's error, or `None` if the system refused nothing.
    pub fn system_kind(&self) -> Option<io::ErrorKind> {
        match self {
            Self::System(error) => Some(error.kind()),
            Self::NotRegular(_) | Self::TooLarge { .. } => None,
        }
    }
}

/// What a name stands for if not for a regular file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileKind {
    /// A folder.
    Folder,
    /// A named pipe, which waits for its writer.
    Fifo,
    /// A socket of the file system.
    Socket,
    /// A device: a terminal, a disk, `/dev/zero`.
    Device,
    /// Anything else.
    Other,
}

impl fmt::Display for FileKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Folder => "a folder",
            Self::Fifo => "a FIFO",
            Self::Socket => "a socket",
            Self::Device => "a device",
            Self::Other => "no regular file",
        })
    }
}

/// Reads a regular file of at most `max_bytes`. Symbolic links are followed. Blocks the thread
/// for the time of a disk access, and never for a writer.
///
/// # Errors
///
/// [`FileError`].
pub fn read(path: &Path, max_bytes: u64) -> Result<SmallFile, FileError> {
    let file = open_without_waiting(path)?;
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(FileError::NotRegular(kind(metadata.file_type())));
    }
    read_open(file, &metadata, max_bytes)
}

/// As [`read`], and takes a pipe that the caller of this program has opened, too:
/// `/dev/stdin`, or `/dev/fd/63` of the shell's `<(command)`. Waits until its writer, which
/// the user chose, has closed it or `max_bytes` have been passed.
///
/// # Errors
///
/// [`FileError`]; a FIFO under any other name is refused.
pub fn read_or_piped(path: &Path, max_bytes: u64) -> Result<SmallFile, FileError> {
    let file = open_without_waiting(path)?;
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        let found = kind(metadata.file_type());
        if found != FileKind::Fifo || !is_inherited(path) {
            return Err(FileError::NotRegular(found));
        }
        wait_for_writer(&file)?;
    }
    read_open(file, &metadata, max_bytes)
}

/// Whether the path names a descriptor that this process was started with.
fn is_inherited(path: &Path) -> bool {
    path == Path::new("/dev/stdin")
        || ["/dev/fd", "/proc/self/fd"]
            .iter()
            .any(|folder| path.parent() == Some(Path::new(folder)))
}

fn read_open(file: File, metadata: &Metadata, max_bytes: u64) -> Result<SmallFile, FileError> {
    let mut bytes = Vec::new();
    // Not the size in the metadata: the file may grow meanwhile.
    let n_bytes = file
        .take(max_bytes.saturating_add(1))
        .read_to_end(&mut bytes)?;
    if n_bytes as u64 > max_bytes {
        return Err(FileError::TooLarge { max_bytes });
    }
    Ok(SmallFile {
        bytes,
        mode: mode(metadata),
    })
}

#[cfg(unix)]
fn open_without_waiting(path: &Path) -> Result<File, FileError> {
    use std::os::unix::fs::OpenOptionsExt as _;

    use rustix::fs::OFlags;

    // A terminal must not become the one that controls this process.
    let flags = OFlags::NONBLOCK | OFlags::NOCTTY;
    let flags = i32::try_from(flags.bits()).expect("flags of open are ints");
    let opened = OpenOptions::new().read(true).custom_flags(flags).open(path);
    opened.map_err(|error| match error.raw_os_error() {
        // What opening a socket, or a device without hardware, is answered with.
        Some(code) if code == rustix::io::Errno::NXIO.raw_os_error() => {
            let found = std::fs::metadata(path).map(|metadata| kind(metadata.file_type()));
            FileError::NotRegular(found.unwrap_or(FileKind::Other))
        }
        _ => error.into(),
    })
}

#[cfg(not(unix))]
fn open_without_waiting(path: &Path) -> Result<File, FileError> {
    Ok(OpenOptions::new().read(true).open(path)?)
}

#[cfg(unix)]
fn wait_for_writer(file: &File) -> io::Result<()> {
    use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};

    Ok(fcntl_setfl(file, fcntl_getfl(file)? - OFlags::NONBLOCK)?)
}

#[cfg(not(unix))]
fn wait_for_writer(_: &File) -> io::Result<()> {
    Ok(())
}

#[cfg(unix)]
fn kind(file: FileType) -> FileKind {
    use std::os::unix::fs::FileTypeExt as _;

    if file.is_dir() {
        FileKind::Folder
    } else if file.is_fifo() {
        FileKind::Fifo
    } else if file.is_socket() {
        FileKind::Socket
    } else if file.is_char_device() || file.is_block_device() {
        FileKind::Device
    } else {
        FileKind::Other
    }
}

#[cfg(not(unix))]
fn kind(file: FileType) -> FileKind {
    if file.is_dir() {
        FileKind::Folder
    } else {
        FileKind::Other
    }
}

#[cfg(unix)]
fn mode(metadata: &Metadata) -> Option<u32> {
    use std::os::unix::fs::PermissionsExt as _;

    Some(metadata.permissions().mode() & 0o777)
}

#[cfg(not(unix))]
fn mode(_: &Metadata) -> Option<u32> {
    None
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use std::{
        fs,
        io::Write as _,
        os::{
            fd::AsRawFd as _,
            unix::{fs::PermissionsExt, net::UnixListener},
        },
        path::PathBuf,
    };

    use rustix::fs::{CWD, FileType, Mode, mknodat};
    use tempfile::TempDir;

    use super::*;

    fn folder() -> (TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        (folder, path)
    }

    fn kind_of(path: &Path) -> FileKind {
        match read(path, 16) {
            Err(FileError::NotRegular(kind)) => kind,
            other => panic!("{}: {other:?}", path.display()),
        }
    }

    /// Without a writer, a blocking open of a FIFO never returns.
    #[test]
    fn a_fifo_is_refused_without_waiting_for_a_writer() {
        let (_folder, path) = folder();
        mknodat(CWD, &path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
        assert_eq!(kind_of(&path), FileKind::Fifo);
        let link = path.with_extension("link");
        std::os::unix::fs::symlink(&path, &link).unwrap();
        assert_eq!(kind_of(&link), FileKind::Fifo);
    }

    #[test]
    fn folders_sockets_and_devices_are_refused() {
        let (folder, path) = folder();
        let _listener = UnixListener::bind(&path).unwrap();
        assert_eq!(kind_of(&path), FileKind::Socket);
        assert_eq!(kind_of(folder.path()), FileKind::Folder);
        assert_eq!(kind_of(Path::new("/dev/zero")), FileKind::Device);
    }

    #[test]
    fn a_file_is_read_up_to_the_bound_and_no_further() {
        let (_folder, path) = folder();
        fs::write(&path, [7; 16]).unwrap();
        fs::set_permissions(&path, PermissionsExt::from_mode(0o640)).unwrap();
        let link = path.with_extension("link");
        std::os::unix::fs::symlink(&path, &link).unwrap();
        for name in [&path, &link] {
            let file = read(name, 16).unwrap();
            assert_eq!((file.bytes(), file.mode()), (&[7; 16][..], Some(0o640)));
        }
        let error = read(&path, 15).unwrap_err();
        assert!(matches!(error, FileError::TooLarge { max_bytes: 15 }));
        assert!(!format!("{:?}", read(&path, 16)).contains("7, 7"));
    }

    /// The writer comes late: an open that does not wait must not read as one either.
    #[test]
    fn a_pipe_of_the_caller_is_read_to_its_end_where_it_is_allowed() {
        let (reader, mut writer) = io::pipe().unwrap();
        let path = PathBuf::from(format!("/dev/fd/{}", reader.as_raw_fd()));
        assert_eq!(kind_of(&path), FileKind::Fifo);
        let write = std::thread::spawn(move || {
            writer.write_all(b"first ").unwrap();
            std::thread::yield_now();
            writer.write_all(b"last").unwrap();
        });
        assert_eq!(read_or_piped(&path, 16).unwrap().bytes(), b"first last");
        write.join().unwrap();
    }

    #[test]
    fn a_pipe_without_end_is_read_up_to_the_bound() {
        let (reader, mut writer) = io::pipe().unwrap();
        let path = PathBuf::from(format!("/dev/fd/{}", reader.as_raw_fd()));
        writer.write_all(&[7; 64]).unwrap();
        let error = read_or_piped(&path, 16).unwrap_err();
        assert!(matches!(error, FileError::TooLarge { max_bytes: 16 }));
    }

    #[test]
    fn a_named_fifo_is_no_pipe_of_the_caller() {
        let (folder, path) = folder();
        mknodat(CWD, &path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
        for name in [path.as_path(), folder.path(), Path::new("/dev/zero")] {
            let error = read_or_piped(name, 16).unwrap_err();
            assert!(matches!(error, FileError::NotRegular(_)), "{error}");
        }
    }

    #[test]
    fn a_missing_file_is_told_from_one_that_cannot_be_used() {
        let (folder, path) = folder();
        assert!(read(&path, 16).unwrap_err().is_not_found());
        assert!(!read(folder.path(), 16).unwrap_err().is_not_found());
    }
}
