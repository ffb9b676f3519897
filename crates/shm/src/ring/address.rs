//! Where unrelated programs meet.

use std::{
    fmt, io,
    os::{fd::OwnedFd, unix::ffi::OsStrExt},
    path::{Path, PathBuf},
    str::FromStr,
};

use rustix::{
    fs::{FlockOperation, Mode, OFlags, flock, open},
    io::Errno,
    net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, bind, connect, socket_with},
};

/// The name of a Unix socket: a path, or a name that vanishes with its process (Linux's abstract namespace).
///
/// As text, an abstract name begins with `@`; anything else is a path. Abstract names belong to a network namespace:
/// containers meet by a path in a directory that they share.
///
/// ```
/// use shm::ring::Address;
/// assert_eq!("@cameras/front".parse(), Ok(Address::Abstract("cameras/front".into())));
/// assert_eq!("/run/cameras/front".parse(), Ok(Address::Path("/run/cameras/front".into())));
/// assert_eq!(Address::Abstract("front".into()).to_string(), "@front");
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Address {
    /// In the file system.
    Path(PathBuf),
    /// In the abstract namespace.
    Abstract(String),
}

impl FromStr for Address {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(match text.strip_prefix('@') {
            Some(name) => Self::Abstract(name.to_owned()),
            None => Self::Path(text.into()),
        })
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Path(path) => path.display().fmt(f),
            Self::Abstract(name) => write!(f, "@{name}"),
        }
    }
}

impl Address {
    fn socket_address(&self) -> Result<SocketAddrUnix, Errno> {
        match self {
            Self::Path(path) => SocketAddrUnix::new(path.as_os_str().as_bytes()),
            Self::Abstract(name) => SocketAddrUnix::new_abstract_name(name.as_bytes()),
        }
    }

    /// A socket that listens here. A path that a process has left behind is used again.
    pub(super) fn listen(&self) -> io::Result<OwnedFd> {
        const WAITING: i32 = 64; // more than that at once try again, by themselves
        let address = self.socket_address()?;
        let socket = socket(SocketFlags::NONBLOCK)?;
        let bound = match (self, bind(&socket, &address)) {
            (Self::Path(path), Err(Errno::ADDRINUSE)) => {
                let _lock = lock_directory_of(path)?;
                // Whoever listens there answers; a socket that nobody listens at refuses.
                if self.connect().is_ok_and(|_| true) {
                    return Err(Errno::ADDRINUSE.into());
                }
                if !std::fs::symlink_metadata(path).is_ok_and(|found| is_socket(&found)) {
                    return Err(io::Error::new(io::ErrorKind::AlreadyExists, "there is a file that isn't a socket"));
                }
                std::fs::remove_file(path)?;
                bind(&socket, &address)
            }
            (_, bound) => bound,
        };
        bound?;
        rustix::net::listen(&socket, WAITING)?;
        Ok(socket)
    }

    pub(super) fn connect(&self) -> io::Result<OwnedFd> {
        let socket = socket(SocketFlags::empty())?;
        connect(&socket, &self.socket_address()?)?;
        Ok(socket)
    }

    /// Removes the path of `socket`, which listens here, unless another process has it by now.
    pub(super) fn leave(&self) {
        let Self::Path(path) = self else { return };
        // Nobody takes it over between the look and the removal: that needs the lock, too.
        if let Ok(_lock) = lock_directory_of(path)
            && self.connect().is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused)
        {
            let _ = std::fs::remove_file(path);
        }
    }
}

fn socket(flags: SocketFlags) -> Result<OwnedFd, Errno> {
    socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC | flags, None)
}

fn is_socket(found: &std::fs::Metadata) -> bool {
    std::os::unix::fs::FileTypeExt::is_socket(&found.file_type())
}

/// Locks the directory itself, so that no file of ours is left in it.
fn lock_directory_of(path: &Path) -> io::Result<OwnedFd> {
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let lock = open(directory, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    flock(&lock, FlockOperation::LockExclusive)?;
    Ok(lock)
}
