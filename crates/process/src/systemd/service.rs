//! The application's side of the agreement with systemd, and the thread that keeps it.

use std::{
    collections::HashMap,
    fmt,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
        mpsc::{self, Receiver, RecvTimeoutError, Sender, SyncSender},
    },
    thread,
    time::{Duration, Instant},
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    time::{ClockId, clock_gettime},
};
use shm::doorbell::Doorbell;

use super::{
    JoinError,
    herald::{Herald, Say},
    notify::NotifySocket,
    watchdog::Watchdog,
};
use crate::{
    System,
    logs::later,
    supervisor::{Census, Order},
};

/// What systemd didn't take is tried again after this: its queue may be full for a moment, or it restarts.
const RETRY: Duration = Duration::from_millis(100);

/// However much happens, the supervisor is asked no more often than this: an answer of a thousand processes takes it 0.1 ms.
const AT_MOST_EVERY: Duration = Duration::from_millis(20);

/// How long the supervisor's answer is waited for at once, at most. A late one counts as well.
const PATIENCE: Duration = Duration::from_millis(500);

/// How long [`Service::stopping`] waits until that is said.
const SAID_WITHIN: Duration = Duration::from_millis(200);

/// This application as systemd sees it. Clones are the same.
///
/// A thread of its own tells systemd; neither it nor anything here holds up the supervisor, also if systemd doesn't read, or
/// isn't there. It goes on after the last clone is dropped, as the watchdog must be fed for as long as the process lives.
///
/// | systemd hears | when |
/// |---|---|
/// | `READY=1` | once, when the application has [started](Self::started) all and every required process is ready |
/// | `WATCHDOG=1` | at half of `WATCHDOG_USEC`, if the supervisor has answered since it was asked last, and no required process has something to do without making progress |
/// | `STATUS=` | "12 of 13 ready, 1 restarting: door.decoder": when it changes, at most once a second |
/// | `STOPPING=1`, `EXTEND_TIMEOUT_USEC=` | from [`stopping`](Self::stopping) on; the first also when [`System::stop_all`](crate::System::stop_all) is called |
/// | `RELOADING=1` | between [`reloading`](Self::reloading) and the drop of what that gave |
/// | `FDSTORE=1` | with [`keep`](Self::keep) |
#[derive(Clone, Debug)]
pub struct Service(pub(super) Arc<Inner>);

#[derive(Debug)]
pub(super) struct Inner {
    pub system: System,
    pub manager: Option<Manager>,
    /// How often each name was kept: the number of its present incarnation.
    pub kept: Mutex<HashMap<String, u64>>,
}

/// Who is told.
pub(super) struct Manager {
    pub socket: Arc<NotifySocket>,
    errands: Sender<Errand>,
    bell: Doorbell,
}

impl fmt::Debug for Manager {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Manager").field("socket", &self.socket).finish_non_exhaustive()
    }
}

enum Errand {
    Started,
    Reload(Say),
    Stopping { limit: Duration, said: SyncSender<()> },
}

/// A service about to be joined to its manager.
#[derive(Debug)]
#[must_use = "systemd hears nothing until `join`"]
pub struct NewService<'s> {
    system: &'s System,
    required: Vec<String>,
    stuck_after: Option<Duration>,
}

impl Service {
    /// Prepares it; [`NewService::join`] does it. Once a process, early in the application: before processes are started, so
    /// that systemd hears of them.
    pub fn of(system: &System) -> NewService<'_> {
        NewService { system, required: Vec::new(), stuck_after: None }
    }

    /// Whether there is a systemd that hears.
    #[must_use]
    pub fn is_managed(&self) -> bool {
        self.0.manager.is_some()
    }

    /// Says that all was started that is to be: systemd hears `READY=1` as soon as every [required](NewService::require)
    /// process is ready. Until then, or until `TimeoutStartSec` is over, `systemctl start` waits.
    pub fn started(&self) {
        self.give(Errand::Started);
    }

    /// Says that the configuration is being loaded anew, until what this gives is dropped. For units of
    /// `Type=notify-reload`, whose `systemctl reload` sends SIGHUP and waits for this. Without effect before the service is
    /// ready, or once it stops.
    ///
    /// ```
    /// # fn on_hangup(service: &process::systemd::Service) -> Result<(), std::io::Error> {
    /// let _until_the_end = service.reloading(); // also if the next line fails
    /// let config = std::fs::read_to_string("service.conf")?;
    /// # drop(config);
    /// # Ok(()) }
    /// ```
    pub fn reloading(&self) -> Reload {
        // By this systemd tells its own request from an earlier one; it must be taken after the signal came.
        let now = clock_gettime(ClockId::Monotonic);
        let monotonic_us = now.tv_sec.unsigned_abs() * 1_000_000 + now.tv_nsec.unsigned_abs() / 1000;
        self.give(Errand::Reload(Say::Reloading { monotonic_us }));
        Reload(self.clone())
    }

    /// Says that the service stops, and asks for up to `limit` for it, in steps of ten seconds: without this, systemd kills
    /// what is left after `TimeoutStopSec`, and with it after that or `limit`, whichever is longer. Nothing is stopped by it.
    ///
    /// It waits a moment (at most 0.2 s) until that is said, as the process may be about to end.
    pub fn stopping(&self, limit: Duration) {
        let (said, is_said) = mpsc::sync_channel(1);
        if self.give(Errand::Stopping { limit, said }) {
            let _ = is_said.recv_timeout(SAID_WITHIN);
        }
    }

    fn give(&self, errand: Errand) -> bool {
        let Some(manager) = &self.0.manager else { return false };
        let given = manager.errands.send(errand).is_ok();
        manager.bell.ring();
        given
    }
}

/// A configuration being loaded anew; see [`Service::reloading`].
#[derive(Debug)]
#[must_use = "dropped, the reload is over"]
pub struct Reload(Service);

impl Drop for Reload {
    fn drop(&mut self) {
        self.0.give(Errand::Reload(Say::Reloaded));
    }
}

impl NewService<'_> {
    /// The service can't do without these processes: they must be ready before it is, and if one of them is stuck, systemd's
    /// watchdog restarts everything. By default all are that exist.
    ///
    /// Name only those that nothing else would heal: a process that is [`responsive_within`](crate::Spawn::responsive_within)
    /// a limit is restarted alone, by the supervisor.
    pub fn require(mut self, names: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.required.extend(names.into_iter().map(Into::into));
        self
    }

    /// For how long a required process may have something to do without making progress before the watchdog's signs of life
    /// are withheld; by default half of `WATCHDOG_USEC`, so that systemd acts after one and a half of that at most. Progress
    /// is what [`responsive_within`](crate::Spawn::responsive_within) says.
    pub fn stuck_after(mut self, limit: Duration) -> Self {
        self.stuck_after = Some(limit);
        self
    }

    /// Joins it. If no systemd started this process, the service [isn't managed](Service::is_managed), and everything else
    /// does nothing.
    ///
    /// # Errors
    ///
    /// [`JoinError::Vsock`] and [`JoinError::NotAnAddress`] if `NOTIFY_SOCKET` is of no use: better now than killed after
    /// `TimeoutStartSec`. [`JoinError::Twice`] if it was joined before. [`JoinError::System`] if there is no thread to be had.
    pub fn join(self) -> Result<Service, JoinError> {
        static JOINED: AtomicBool = AtomicBool::new(false);
        let socket = NotifySocket::from_environment()?;
        if socket.is_some() && JOINED.swap(true, Ordering::Relaxed) {
            return Err(JoinError::Twice);
        }
        // It can be tried again.
        let manager = socket.map(|socket| self.start(socket)).transpose();
        let manager = manager.inspect_err(|_| JOINED.store(false, Ordering::Relaxed))?;
        Ok(Service(Arc::new(Inner { system: self.system.clone(), manager, kept: Mutex::default() })))
    }

    fn start(&self, socket: NotifySocket) -> Result<Manager, JoinError> {
        let ((errands, received), bell, socket) = (mpsc::channel(), Doorbell::new()?, Arc::new(socket));
        let now = Instant::now();
        let watchdog = Watchdog::allowed_by_environment();
        let watchdog = watchdog.map(|allowed| Watchdog::new(allowed, self.stuck_after, now));
        let patience = watchdog.as_ref().map_or(PATIENCE, |watchdog| watchdog.look_every().min(PATIENCE));
        let herald = Herald::new(self.required.clone(), watchdog);
        let (system, bell_of_thread, told) = (self.system.clone(), bell.clone(), socket.clone());
        system.give(Order::Attend(bell.clone()));
        let keeper =
            Keeper { system, herald, socket: told, errands: received, bell: bell_of_thread, patience, asked: None };
        thread::Builder::new().name("systemd".to_owned()).spawn(move || keeper.run())?;
        Ok(Manager { socket, errands, bell })
    }
}

/// The thread.
struct Keeper {
    system: System,
    herald: Herald,
    socket: Arc<NotifySocket>,
    errands: Receiver<Errand>,
    bell: Doorbell,
    patience: Duration,
    /// The supervisor was asked, and hasn't answered yet. It is never asked twice at once: one that hangs isn't given more to do.
    asked: Option<Receiver<Census>>,
}

impl Keeper {
    fn run(mut self) {
        let (mut was_refused, mut waiting) = (false, Vec::new());
        let mut turned = None;
        loop {
            let early = turned.map(|turned: Instant| AT_MOST_EVERY.saturating_sub(turned.elapsed()));
            thread::sleep(early.unwrap_or_default()); // sleep: what happens meanwhile is asked for at once
            turned = Some(Instant::now());
            // Before looking at what is new.
            self.bell.quiet();
            for errand in self.errands.try_iter() {
                match errand {
                    Errand::Started => self.herald.started(),
                    Errand::Reload(say) => self.herald.reload(say),
                    Errand::Stopping { limit, said } => {
                        self.herald.stopping(limit, Instant::now());
                        waiting.push(said);
                    }
                }
            }
            let census = self.ask();
            let says = self.herald.wants(census.as_ref(), Instant::now());
            let refused = says.iter().find_map(|say| match self.socket.try_tell(&say.text()) {
                Ok(()) => {
                    self.herald.said(say, Instant::now());
                    None
                }
                Err(error) => Some(error),
            });
            if let Some(error) = refused.as_ref().filter(|_| !was_refused) {
                later!(warn, "could not tell systemd how this service does: {error}; it is tried again");
            }
            was_refused = refused.is_some();
            waiting.drain(..).for_each(|said: SyncSender<()>| _ = said.try_send(()));
            let now = Instant::now();
            let wait = match () {
                () if was_refused => Some(RETRY),
                // What was said may have made room for more.
                () if !says.is_empty() || self.asked.is_some() => Some(Duration::ZERO),
                () => self.herald.next().map(|next| next.saturating_duration_since(now)),
            };
            let wait = wait.and_then(|wait| Timespec::try_from(wait).ok());
            // An error (a signal) only means another turn.
            let _ = poll(&mut [PollFd::new(&self.bell, PollFlags::IN)], wait.as_ref());
        }
    }

    /// The supervisor's answer, if it has one soon. It comes from its loop, so that turns.
    fn ask(&mut self) -> Option<Census> {
        let system = &self.system;
        let asked = self.asked.get_or_insert_with(|| {
            let (asks, answer) = mpsc::channel();
            system.give(Order::Census(asks));
            answer
        });
        match asked.recv_timeout(self.patience) {
            Ok(census) => {
                self.asked = None;
                Some(census)
            }
            Err(RecvTimeoutError::Timeout) => None,
            Err(RecvTimeoutError::Disconnected) => {
                // It doesn't end before the process does.
                self.asked = None;
                None
            }
        }
    }
}
