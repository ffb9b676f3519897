//! How a ring's readers come to it from programs that have nothing to do with its writer's.

use std::{
    io,
    mem::MaybeUninit,
    os::fd::{AsFd, OwnedFd},
    sync::Arc,
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use rustix::{
    event::epoll,
    io::Errno,
    net::{Shutdown, SocketFlags, accept_with, shutdown, sockopt::socket_peercred},
    process::geteuid,
};

use super::{Address, Port, ReadError, Reader, Wish, Writer};
use crate::{
    call,
    doorbell::Doorbell,
    fork::{Birthplace, Forked},
    wire::Socket,
};

/// Lets programs meet at a ring by an [`Address`].
///
/// ```
/// use shm::ring::{Address, Allow, Info, Policy, Ring, RingOptions, Wish, Writer};
/// use std::time::Duration;
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let place = Address::Abstract(format!("example-{}", std::process::id()));
///
/// // One program:
/// let mut writer = Writer::create(RingOptions { depth: 4, frame_bytes: 16 })?;
/// let _open = Ring::serve(&writer, &place, Allow::SameUser)?;
///
/// // Another one:
/// let wish = Wish { policy: Policy::DropOldest { depth: 4 }, leases: 1 };
/// let mut reader = Ring::connect(&place, Allow::SameUser, wish, Duration::from_secs(5))?;
///
/// writer.reserve(2)?.publish(Info::default());
/// assert!(reader.next_for(Duration::from_secs(5))?.is_some());
/// # Ok(()) }
/// ```
#[derive(Debug)]
pub enum Ring {}

/// Whom to deal with, by what the kernel says of the process at the other end (`SO_PEERCRED`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Allow {
    /// Processes of our own user, and root's.
    SameUser,
    /// Processes of these users, by number, and root's.
    Users(Vec<u32>),
    /// Whoever can reach the address.
    Anyone,
}

impl Allow {
    fn includes(&self, user: u32) -> bool {
        match self {
            Self::SameUser => user == 0 || user == geteuid().as_raw(),
            Self::Users(users) => user == 0 || users.contains(&user),
            Self::Anyone => true,
        }
    }
}

/// Two programs can't meet at an address.
#[derive(Debug, thiserror::Error)]
pub enum MeetError {
    /// The address can't be served.
    #[error("serve a ring at {address}: {source}; is another program serving there, or the directory missing?")]
    Serve {
        /// Where.
        address: Address,
        /// What the kernel said.
        source: io::Error,
    },
    /// Nobody serves there.
    #[error("connect to a ring at {address}: {source}; is its writer running?")]
    Connect {
        /// Where.
        address: Address,
        /// What the kernel said.
        source: io::Error,
    },
    /// It is served by a user that we don't deal with.
    #[error("connect to a ring at {address}: user {user} serves it, whom we don't allow")]
    NotAllowed {
        /// Where.
        address: Address,
        /// Who, by number.
        user: u32,
    },
    /// The writer doesn't let us in.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// This is a forked process, and the writer its parent's.
    #[error(transparent)]
    Forked(#[from] Forked),
}

impl Ring {
    /// Lets readers in at `address` for as long as the returned value lives, and services the writer's
    /// [`Port`] on a thread of its own. A path that a killed process has left behind is taken over; nothing is left of this
    /// one when it is dropped.
    ///
    /// # Errors
    ///
    /// [`MeetError::Serve`] if another process serves there, or the address can't be made.
    pub fn serve(writer: &Writer, address: &Address, allow: Allow) -> Result<Served, MeetError> {
        let port = writer.port();
        port.check_birthplace()?;
        let failed = |source: io::Error| MeetError::Serve { address: address.clone(), source };
        let listener = address.listen().map_err(failed)?;
        let served = Served { address: address.clone(), birthplace: Birthplace::here(), stop: None };
        // From here on a failure leaves the address again: `Drop` sees to it.
        served.start(port, listener, allow).map_err(failed)
    }

    /// Joins the ring that is served at `address`, waiting for its writer until `limit` is over.
    ///
    /// # Errors
    ///
    /// [`MeetError::Connect`] if nobody serves there by then; [`MeetError::NotAllowed`] if it is somebody else than
    /// `allow` says; [`MeetError::Read`] if the writer refuses.
    pub fn connect(address: &Address, allow: Allow, wish: Wish, limit: Duration) -> Result<Reader, MeetError> {
        Self::connect_with(address, allow, wish, &Doorbell::new().map_err(ReadError::from)?, limit)
    }

    /// As [`connect`](Self::connect), with a doorbell that other readers may share.
    ///
    /// # Errors
    ///
    /// As `connect`.
    pub fn connect_with(
        address: &Address,
        allow: Allow,
        wish: Wish,
        bell: &Doorbell,
        limit: Duration,
    ) -> Result<Reader, MeetError> {
        let begun = Instant::now();
        let session = loop {
            match address.connect() {
                Ok(session) => break session,
                // Its writer isn't there yet, or too many come at once.
                Err(error) if begun.elapsed() < limit && is_early(&error) => {
                    const BETWEEN_ATTEMPTS: Duration = Duration::from_millis(20);
                    let left = limit.saturating_sub(begun.elapsed());
                    thread::sleep(left.min(BETWEEN_ATTEMPTS)); // sleep: nothing tells that somebody will listen
                }
                Err(source) => return Err(MeetError::Connect { address: address.clone(), source }),
            }
        };
        let user = socket_peercred(&session).map_err(call::failed("getsockopt")).map_err(ReadError::from)?.uid.as_raw();
        if !allow.includes(user) {
            return Err(MeetError::NotAllowed { address: address.clone(), user });
        }
        Ok(Reader::connect(Socket::from_owned(session), bell, wish)?)
    }
}

fn is_early(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused | io::ErrorKind::WouldBlock)
}

/// Keeps a ring open to readers at an address, until it is dropped. Those that have joined stay.
#[derive(Debug)]
#[must_use = "dropping it closes the address"]
pub struct Served {
    address: Address,
    birthplace: Birthplace,
    stop: Option<(Doorbell, JoinHandle<()>)>,
}

const STOP: u64 = 0;
const KNOCK: u64 = 1;
const SESSIONS: u64 = 2;

impl Served {
    /// Where.
    #[must_use]
    pub fn address(&self) -> &Address {
        &self.address
    }

    fn start(mut self, port: Port, listener: OwnedFd, allow: Allow) -> io::Result<Self> {
        let stop = Doorbell::new()?;
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC).map_err(call::failed("epoll_create1"))?;
        let sessions = port.descriptor()?;
        let watched: [(&dyn AsFd, u64); 3] = [(&stop, STOP), (&listener, KNOCK), (&sessions, SESSIONS)];
        for (descriptor, kind) in watched {
            epoll::add(&epoll, descriptor.as_fd(), epoll::EventData::new_u64(kind), epoll::EventFlags::IN)
                .map_err(call::failed("epoll_ctl"))?;
        }
        let door = Arc::new(Door { port, listener, allow, epoll, _sessions: sessions });
        let thread = thread::Builder::new()
            .name("shm-serve".to_owned())
            .spawn(move || door.attend())
            .map_err(call::failed("start a thread"))?;
        self.stop = Some((stop, thread));
        Ok(self)
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        if !self.birthplace.is_here() {
            return; // the thread and the address are our parent's
        }
        if let Some((stop, thread)) = self.stop.take() {
            stop.ring();
            // It can only have panicked, which it has said.
            let _ = thread.join();
        }
        self.address.leave();
    }
}

/// What the thread needs.
struct Door {
    port: Port,
    listener: OwnedFd,
    allow: Allow,
    epoll: OwnedFd,
    _sessions: OwnedFd,
}

impl Door {
    fn attend(&self) {
        loop {
            let mut events = [MaybeUninit::<epoll::Event>::uninit(); 3];
            // It can only be interrupted: the descriptor is an epoll, and ours.
            let Ok((events, _)) = epoll::wait(&self.epoll, &mut events, None) else { continue };
            for event in events {
                match event.data.u64() {
                    STOP => {
                        // Also what a child that is just being started has of it: else that would let somebody in, and
                        // the path would look as if it were served.
                        let _ = shutdown(&self.listener, Shutdown::Both); // it fails only if it is closed
                        return;
                    }
                    KNOCK => self.open(),
                    _ => self.port.service(),
                }
            }
        }
    }

    /// Lets in whoever knocks and is allowed; the others see the session end.
    fn open(&self) {
        /// More wait for the next round: who knocks all the time mustn't keep us from everything else.
        const AT_ONCE: u32 = 32;
        for _ in 0..AT_ONCE {
            match accept_with(&self.listener, SocketFlags::CLOEXEC) {
                Ok(session) => {
                    let user = socket_peercred(&session).map(|credentials| credentials.uid.as_raw());
                    if user.is_ok_and(|user| self.allow.includes(user)) {
                        // Without memory or descriptors for it, this reader sees the session end.
                        let _ = self.port.add(Socket::from_owned(session));
                    }
                }
                Err(Errno::INTR | Errno::CONNABORTED) => {}
                Err(Errno::AGAIN) => return,
                // No descriptor left: whoever knocks waits until there is one. Not to turn in circles meanwhile, the
                // door is looked at again in a moment.
                Err(_) => {
                    const MOMENT: Duration = Duration::from_millis(10);
                    thread::sleep(MOMENT); // sleep: nothing tells that a descriptor is free again
                    return;
                }
            }
        }
    }
}
