//! The socket on which systemd hears how its service does.

use std::{
    ffi::{OsStr, OsString},
    io::{self, IoSlice},
    mem::MaybeUninit,
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::ffi::OsStrExt,
    },
    time::Duration,
};

use rustix::{
    io::retry_on_intr,
    net::{
        AddressFamily, SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketAddrUnix, SocketFlags, SocketType,
        connect, sendmsg, sendmsg_addr, socket_with,
        sockopt::{Timeout, set_socket_timeout},
    },
};

/// The service can't be joined to its manager.
#[derive(Debug, thiserror::Error)]
pub enum JoinError {
    /// The manager is on another machine.
    #[error(
        "tell systemd how this service does: NOTIFY_SOCKET is {0:?}, a socket to another machine, which this program doesn't \
         speak; run it under the systemd of its own machine, or without Type=notify"
    )]
    Vsock(OsString),
    /// The variable isn't an address.
    #[error(
        "tell systemd how this service does: NOTIFY_SOCKET is {0:?}, which is neither a path from / on nor an abstract name \
         after an @, of at most 107 bytes"
    )]
    NotAnAddress(OsString),
    /// It was joined before: its manager hears one of them only.
    #[error("join systemd twice in one process; clone the Service instead")]
    Twice,
    /// A socket or a thread can't be had.
    #[error("join systemd: {0}")]
    System(#[from] io::Error),
}

/// Where systemd listens, and what it is told by.
#[derive(Debug)]
pub(super) struct NotifySocket {
    socket: OwnedFd,
    address: SocketAddrUnix,
}

impl NotifySocket {
    /// `None` if there is nobody to tell.
    pub(super) fn from_environment() -> Result<Option<Self>, JoinError> {
        match std::env::var_os("NOTIFY_SOCKET").filter(|address| !address.is_empty()) {
            Some(address) => Self::to(parse(&address)?).map(Some),
            None => Ok(None),
        }
    }

    fn to(address: SocketAddrUnix) -> Result<Self, JoinError> {
        Ok(Self { socket: datagrams()?, address })
    }

    /// Tells it, without waiting. An error is a queue that is full or a manager that isn't there: it may be in a moment.
    pub(super) fn try_tell(&self, text: &str) -> io::Result<()> {
        let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
        let (text, mut nothing) = ([IoSlice::new(text.as_bytes())], SendAncillaryBuffer::default());
        // Not connected: what is bound to the address may be replaced by another in the life of a service.
        retry_on_intr(|| sendmsg_addr(&self.socket, &self.address, &text, &mut nothing, flags))?;
        Ok(())
    }

    /// Tells it and hands descriptors over, and waits while the queue is full, but no longer than `limit`.
    pub(super) fn hand_over(&self, text: &str, descriptors: &[BorrowedFd<'_>], limit: Duration) -> io::Result<()> {
        let socket = datagrams()?;
        set_socket_timeout(&socket, Timeout::Send, Some(limit))?;
        connect(&socket, &self.address)?;
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(2))];
        let mut ancillary = SendAncillaryBuffer::new(&mut space);
        if !descriptors.is_empty() && !ancillary.push(SendAncillaryMessage::ScmRights(descriptors)) {
            return Err(io::Error::other("more than two descriptors at once"));
        }
        let text = [IoSlice::new(text.as_bytes())];
        retry_on_intr(|| sendmsg(&socket, &text, &mut ancillary, SendFlags::NOSIGNAL))?;
        Ok(())
    }
}

fn datagrams() -> io::Result<OwnedFd> {
    Ok(socket_with(AddressFamily::UNIX, SocketType::DGRAM, SocketFlags::CLOEXEC, None)?)
}

fn parse(address: &OsStr) -> Result<SocketAddrUnix, JoinError> {
    let bad = || JoinError::NotAnAddress(address.to_owned());
    match address.as_bytes() {
        bytes if bytes.starts_with(b"vsock") => Err(JoinError::Vsock(address.to_owned())),
        [b'@', name @ ..] if !name.is_empty() => SocketAddrUnix::new_abstract_name(name).map_err(|_| bad()),
        [b'/', ..] => SocketAddrUnix::new(address).map_err(|_| bad()),
        _ => Err(bad()),
    }
}

/// A socket to what listens there for log entries.
pub(super) fn datagrams_to(path: &std::path::Path) -> io::Result<OwnedFd> {
    let socket = datagrams()?;
    connect(socket.as_fd(), &SocketAddrUnix::new(path)?)?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_address_is_refused_with_what_to_do() {
        for (bad, says) in [
            ("vsock:2:1234", "another machine"),
            ("vsock-stream:2:1", "another machine"),
            ("@", "neither a path"),
            ("relative/path", "neither a path"),
            (&format!("/{}", "x".repeat(108)), "at most 107 bytes"),
        ] {
            let told = parse(OsStr::new(bad)).unwrap_err().to_string();
            assert!(told.contains(says) && told.contains("NOTIFY_SOCKET"), "{told}");
        }
        assert!(parse(OsStr::new("/run/systemd/notify")).is_ok());
        assert!(parse(OsStr::new("@/org/freedesktop/systemd1/notify")).is_ok());
    }

    #[test]
    fn an_absent_manager_is_an_error_and_no_wait() {
        let told = NotifySocket::to(parse(OsStr::new("/nowhere/at/all")).unwrap()).unwrap();
        assert!(told.try_tell("READY=1").is_err());
        assert!(told.hand_over("FDSTORE=1", &[], Duration::from_secs(5)).is_err());
    }
}
