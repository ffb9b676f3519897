//! Where unrelated programs meet.

use std::{
    fmt, io,
    os::{fd::OwnedFd, unix::ffi::OsStrExt},
    path::{Path, PathBuf},
    str::FromStr,
    time::Duration,
};

use rustix::{
    fs::{FlockOperation, Mode, OFlags, flock, open},
    io::{Errno, retry_on_intr},
    net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, bind, connect, socket_with},
};

use crate::call;

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
        let (address, socket) = (self.socket_address()?, socket(SocketFlags::NONBLOCK)?);
        // Held until we listen: a path that is bound and not yet listened at looks as if it was left behind.
        let _lock = match self {
            Self::Path(path) => Some(lock_directory_of(path)?),
            Self::Abstract(_) => None,
        };
        let bound = match (self, bind(&socket, &address)) {
            (Self::Path(path), Err(Errno::ADDRINUSE)) => {
                self.clear(path)?;
                bind(&socket, &address)
            }
            (_, bound) => bound,
        };
        bound.map_err(call::failed("bind"))?;
        rustix::net::listen(&socket, WAITING).map_err(call::failed("listen"))?;
        Ok(socket)
    }

    /// Removes a path that nobody listens at.
    fn clear(&self, path: &Path) -> io::Result<()> {
        // Whoever listens there lets us in, or is too busy for the moment; only where nobody listens we are refused.
        match self.connect().map_err(|error| (error.kind(), error)) {
            Err((io::ErrorKind::ConnectionRefused, _)) => {}
            Ok(_) | Err((io::ErrorKind::WouldBlock, _)) => return Err(call::failed("bind")(Errno::ADDRINUSE)),
            Err((_, error)) => return Err(error),
        }
        if !is_socket(&std::fs::symlink_metadata(path).map_err(call::failed("statx"))?) {
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, "there is a file that isn't a socket"));
        }
        std::fs::remove_file(path).map_err(call::failed("unlink"))
    }

    /// A socket that is connected to whoever listens here. It never waits: too many at once are [`io::ErrorKind::WouldBlock`].
    pub(super) fn connect(&self) -> io::Result<OwnedFd> {
        let socket = socket(SocketFlags::NONBLOCK)?;
        let address = self.socket_address()?;
        retry_on_intr(|| connect(&socket, &address)).map_err(call::failed("connect"))?;
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

fn socket(flags: SocketFlags) -> io::Result<OwnedFd> {
    socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC | flags, None)
        .map_err(call::failed("socket"))
}

fn is_socket(found: &std::fs::Metadata) -> bool {
    std::os::unix::fs::FileTypeExt::is_socket(&found.file_type())
}

/// Locks the directory itself, so that no file of ours is left in it. We hold such a lock for microseconds; whoever may read
/// the directory can hold it for ever, so it isn't waited for longer.
fn lock_directory_of(path: &Path) -> io::Result<OwnedFd> {
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let lock = retry_on_intr(|| open(directory, flags, Mode::empty())).map_err(call::failed("open"))?;
    let mut left = 100;
    loop {
        match retry_on_intr(|| flock(&lock, FlockOperation::NonBlockingLockExclusive)) {
            Ok(()) => return Ok(lock),
            Err(Errno::WOULDBLOCK) if left > 0 => {
                left -= 1;
                std::thread::sleep(Duration::from_millis(10)); // sleep: only a wait without a limit would be told
            }
            Err(errno) => return Err(call::failed("flock")(errno)),
        }
    }
}
