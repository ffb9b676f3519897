//! A zygote, as the process sees it that has it make children.
//!
//! ```text
//!  supervisor                       zygote (its own process group)
//!     │── exec ────────────────────▶ │ one thread? clone3 allowed?
//!     │ ◀──── Trial: pid, pidfd ──── │──▶ trial: checks itself ─┐
//!     │ ◀──── Sound ─────────────────┼──────────────────────────┘ exit 42, reaped by the supervisor
//!     │── hello into its line, Errand▶│──▶ child (the supervisor's; still of the zygote's group)
//!     │ ◀──── Born: pid, pidfd ───── │      waits for its configuration
//!     │── a group of its own, then its configuration ──────▶ begins
//! ```
//!
//! A zygote may be killed after it has made a child and before it has said so. Nobody knows of that child; but it is still
//! of the zygote's group, and has no configuration. So the group is killed and waited for as a whole, and nothing is left.

pub(crate) mod host;
mod inside;
mod trial;
mod words;

use std::{
    cell::Cell,
    fs, io,
    os::fd::{AsFd, OwnedFd},
    path::Path,
    process::Stdio,
    time::{Duration, Instant},
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::Errno,
    process::{
        Pid, Signal, WaitId, WaitIdOptions, WaitIdStatus, getpid, kill_process_group, pidfd_send_signal, setpgid,
        waitid,
    },
};
use shm::wire::{Packet, ReceiveError, Socket};

pub(super) use self::words::Errand;
use self::words::Word;
pub(crate) use self::{
    host::NoHost,
    inside::{Role, serve},
    words::ZYGOTE,
};
use super::{
    exec,
    inherited::{Environment, Standing},
};
use crate::{BoxError, Executable};

/// What a trial's status must be: something that no process ends with by mistake.
const TRIAL_CODE: i32 = 42;

/// Room for children's titles: the kind's and the process's name. What is longer is cut.
const TITLE_BYTES: usize = 200;

/// Why a zygote didn't do what it should.
#[derive(Debug, thiserror::Error)]
pub(super) enum Trouble {
    /// It can't be one, and the next couldn't either.
    #[error("can't be one: {0}")]
    Unfit(String),
    /// It could not make this child.
    #[error("could not {0}")]
    Refused(String),
    /// It says nothing, and may be stopped.
    #[error("doesn't answer")]
    Silent,
    #[error("has ended")]
    Gone,
    /// Anything else.
    #[error("isn't what it should be: {0}")]
    Broken(String),
}

#[derive(Debug)]
pub(super) struct Zygote {
    pid: Pid,
    pidfd: OwnedFd,
    socket: Socket,
    pub started: Instant,
    /// What it was started with.
    pub environment: Environment,
    standing: Standing,
    /// When we were last found to be as then.
    looked_at: Instant,
    /// The log has it that it takes its time.
    pub is_late: bool,
    /// It has made a child.
    pub has_worked: Cell<bool>,
    trial: Trial,
}

/// What is known of the trial child.
#[derive(Debug, Default)]
struct Trial {
    pidfd: Option<OwnedFd>,
    is_sound: bool,
}

impl Zygote {
    /// Starts one. It isn't waited for.
    pub(super) fn start(of: Option<&Executable>) -> Result<Self, BoxError> {
        let (ours, theirs) = Socket::pair()?;
        let looked_at = Instant::now();
        let (environment, standing) = (Environment::now(), Standing::now()?);
        let mut command = match of {
            Some(executable) => exec::with_line(executable.command(), theirs),
            None => exec::ourselves(theirs),
        };
        command.args([ZYGOTE, &format!("{:<TITLE_BYTES$}", getpid().as_raw_pid())]);
        // What its `main` says is said once more in each child that is started by exec, and so it is of no use.
        let child = command.stdout(Stdio::null()).spawn()?;
        let (pid, pidfd) = exec::identify(child)?;
        let (started, is_late, has_worked, trial) = (Instant::now(), false, Cell::new(false), Trial::default());
        Ok(Self { pid, pidfd, socket: ours, started, environment, standing, looked_at, is_late, has_worked, trial })
    }

    pub(super) fn pid(&self) -> i32 {
        self.pid.as_raw_pid()
    }

    /// Whether we have what it was started with, rights and limits, as far as whoever wants a child since `asked_at` can tell: what
    /// was seen after that holds, so of many that are wanted at once nearly all are made without a look of their own.
    pub(super) fn is_as_we_were(&mut self, asked_at: Instant) -> io::Result<bool> {
        if asked_at < self.looked_at {
            return Ok(true);
        }
        let now = Instant::now();
        let is_same = Standing::now()? == self.standing;
        if is_same {
            self.looked_at = now;
        }
        Ok(is_same)
    }

    pub(super) fn is_over(&self) -> bool {
        is_over(&self.pidfd)
    }

    /// What tells that [`becomes_fit`](Self::becomes_fit) has something new to look at.
    pub(super) fn signs(&self) -> io::Result<Signs> {
        let descriptors = match &self.trial.pidfd {
            Some(trial) if self.trial.is_sound => vec![trial.try_clone()?],
            Some(trial) => vec![self.socket.as_fd().try_clone_to_owned()?, trial.try_clone()?],
            None => vec![self.socket.as_fd().try_clone_to_owned()?, self.pidfd.try_clone()?],
        };
        Ok(Signs(descriptors))
    }

    /// Waits until it has shown that it can make children, but not beyond `until`, and says whether it has.
    pub(super) fn becomes_fit(&mut self, until: Instant) -> Result<bool, Trouble> {
        while !(self.trial.is_sound && self.trial.pidfd.is_some()) {
            // Looked at before what it has said: nothing comes after.
            let has_ended = self.trial.pidfd.as_ref().is_some_and(is_over);
            match self.hear(if has_ended { Instant::now() } else { until }) {
                Ok(Word::Trial { pidfd }) => {
                    self.trial.pidfd = Some(pidfd.into_owned().map_err(|error| Trouble::Broken(error.to_string()))?);
                }
                Ok(Word::Sound) => self.trial.is_sound = true,
                Ok(Word::Unfit(why)) => return Err(Trouble::Unfit(why)),
                Ok(Word::NotNow(why)) => return Err(Trouble::Refused(why)),
                Ok(other) => return Err(Trouble::Broken(format!("it says {other:?}"))),
                Err(Trouble::Silent) if has_ended => break,
                Err(Trouble::Silent) => return Ok(false),
                Err(trouble) => return Err(trouble),
            }
        }
        // It has said all and ends. That it is our child, and how it ended, is a part of the trial.
        let Some(pidfd) = &self.trial.pidfd else { return Ok(false) };
        wait_readable(&[pidfd.as_fd()], until);
        match waitid(WaitId::PidFd(pidfd.as_fd()), WaitIdOptions::EXITED | WaitIdOptions::NOHANG) {
            Ok(None) => Ok(false),
            Ok(Some(status)) if self.trial.is_sound && status.exit_status() == Some(TRIAL_CODE) => Ok(true),
            // Somebody else's `waitpid(-1)` can only take what is ours.
            Err(Errno::CHILD) if is_over(pidfd) && shm::life::wait_status(pidfd) == Some(TRIAL_CODE << 8) => Ok(true),
            Ok(Some(status)) => Err(Trouble::Unfit(format!("a trial child ended with {}", tell(&status)))),
            Err(errno) => Err(Trouble::Unfit(format!("wait for a trial child: {errno}"))),
        }
    }

    /// Has it make a child, which waits for its configuration. It must answer within `patience`; within `longest`, if it can't
    /// run because others do.
    pub(super) fn ask(&self, errand: Errand, patience: Duration, longest: Duration) -> Result<(Pid, OwnedFd), Trouble> {
        let asked = Instant::now();
        let broken = |error: &dyn std::fmt::Display| Trouble::Broken(error.to_string());
        let packet = Packet::encode(&errand).map_err(|error| broken(&error))?;
        drop(errand);
        self.socket.try_send(&packet).map_err(|error| match error {
            shm::wire::SendError::Gone => Trouble::Gone,
            shm::wire::SendError::Full => Trouble::Silent,
            other => broken(&other),
        })?;
        // Ours of the child's ends: while they are open, the child's death couldn't be seen.
        drop(packet);
        let answer = loop {
            match self.hear(Instant::now() + patience) {
                Err(Trouble::Silent) if self.is_runnable() && asked.elapsed() < longest => {}
                answer => break answer?,
            }
        };
        match answer {
            Word::Born { pid, pidfd } => {
                let pid = Pid::from_raw(pid).ok_or_else(|| broken(&"a process without a number"))?;
                let pidfd = pidfd.into_owned().map_err(|error| broken(&error))?;
                // From here on it is on its own. It may have died already: whoever watches it will see.
                let _ = setpgid(Some(pid), Some(pid));
                self.has_worked.set(true);
                Ok((pid, pidfd))
            }
            Word::Failed(why) => Err(Trouble::Refused(why)),
            other => Err(broken(&format!("it says {other:?}"))),
        }
    }

    /// Kills it, and the child that it may have made without anybody knowing.
    pub(super) fn kill(self) -> Grave {
        let _ = pidfd_send_signal(&self.pidfd, Signal::KILL);
        // As for any child: the number of its group is its own while it isn't reaped, and then while the group has members.
        let looks = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        let is_stolen = matches!(waitid(WaitId::PidFd(self.pidfd.as_fd()), looks), Err(Errno::CHILD));
        if !is_stolen || !Path::new(&format!("/proc/{}", self.pid.as_raw_pid())).exists() {
            let _ = kill_process_group(self.pid, Signal::KILL);
        }
        Grave { group: self.pid, pidfd: self.pidfd }
    }

    /// Whether it runs, or would if it had a processor.
    fn is_runnable(&self) -> bool {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.pid.as_raw_pid())).unwrap_or_default();
        stat.rsplit(')').next().is_some_and(|state| state.trim_start().starts_with('R'))
    }

    /// What it says next.
    fn hear(&self, until: Instant) -> Result<Word, Trouble> {
        loop {
            // First the look at its life, then at what it has said: nothing comes after.
            let is_over = self.is_over();
            match self.socket.try_receive() {
                Ok(packet) => return packet.decode().map_err(|error| Trouble::Broken(error.to_string())),
                Err(ReceiveError::Empty) if is_over => return Err(Trouble::Gone),
                Err(ReceiveError::Empty) => {}
                Err(ReceiveError::Gone) => return Err(Trouble::Gone),
                Err(other) => return Err(Trouble::Broken(other.to_string())),
            }
            if until <= Instant::now() {
                return Err(Trouble::Silent);
            }
            wait_readable(&[self.socket.as_fd(), self.pidfd.as_fd()], until);
        }
    }
}

/// What tells of a zygote's next sign, for whoever doesn't have the zygote itself.
#[derive(Debug)]
pub(crate) struct Signs(Vec<OwnedFd>);

impl Signs {
    /// Waits for one until `until`. It may return before.
    pub(crate) fn wait(&self, until: Instant) {
        wait_readable(&self.0, until);
    }
}

/// A zygote that was killed.
#[derive(Debug)]
pub(super) struct Grave {
    group: Pid,
    pidfd: OwnedFd,
}

impl Grave {
    /// Takes the status of all that has ended of it, having waited for that until `until` if need be, and says whether that was
    /// all.
    pub(super) fn is_closed(&mut self, until: Instant) -> bool {
        wait_readable(&[self.pidfd.as_fd()], until);
        loop {
            // Until the last is reaped, no other group can have this number.
            match waitid(WaitId::Pgid(Some(self.group)), WaitIdOptions::EXITED | WaitIdOptions::NOHANG) {
                Ok(Some(_)) | Err(Errno::INTR) => {}
                // Killed, but not dead: it is looked at again.
                Ok(None) => return false,
                Err(_) => return true,
            }
        }
    }
}

/// Waits until there is something to read from one of these, or `until`. It may return before.
fn wait_readable(descriptors: &[impl AsFd], until: Instant) {
    let left = until.saturating_duration_since(Instant::now());
    let Ok(left) = Timespec::try_from(left) else { return };
    let mut watched: Vec<PollFd<'_>> = descriptors.iter().map(|watched| PollFd::new(watched, PollFlags::IN)).collect();
    // An error (a signal) only means another turn.
    let _ = poll(&mut watched, Some(&left));
}

fn is_over(pidfd: &OwnedFd) -> bool {
    let mut watched = [PollFd::new(pidfd, PollFlags::IN)];
    let no_wait = Timespec { tv_sec: 0, tv_nsec: 0 };
    poll(&mut watched, Some(&no_wait)).is_ok_and(|_| watched[0].revents().contains(PollFlags::IN))
}

fn tell(status: &WaitIdStatus) -> String {
    match (status.exit_status(), status.terminating_signal()) {
        (Some(code), _) => format!("code {code}"),
        (_, Some(signal)) => format!("signal {signal}"),
        _ => "neither code nor signal".to_owned(),
    }
}

/// An error of the zygote's side, as one that can be returned from everywhere.
fn system(what: &'static str) -> impl FnOnce(Errno) -> io::Error {
    move |errno| io::Error::new(io::Error::from(errno).kind(), format!("{what}: {errno}"))
}
