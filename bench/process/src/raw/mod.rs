//! What the kernel does without any of our code: this program again, which knows nothing of the library.

mod echo;
mod still;

use std::{
    env,
    os::fd::{AsFd, OwnedFd},
    process::{Child, Command, ExitCode, Stdio},
};

use bench::{Outcome, cores::Core, watch};
use rustix::{
    net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, recv, send, socketpair},
    process::{Signal, set_parent_process_death_signal},
};

pub use self::{
    echo::{Echo, Pipelined},
    still::{Starts, Still},
};

/// The argument that makes this program a raw process.
const RAW: &str = "--raw-process";

/// As large as a small call of ours is on its way: its header, its name and a number.
const BYTES: usize = 40;

/// What such a process does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Gives back what it gets.
    Echo,
    /// Says one byte, and then waits for ever.
    Idle,
    /// Wakes ten times a second, to show that wake-ups are counted.
    Ticking,
}

/// A raw process; it is killed when this value is dropped, or this process ends.
struct Raw {
    line: OwnedFd,
    child: Child,
}

/// What this program was started as, if as one of these.
pub fn role() -> Option<Role> {
    let mut arguments = env::args().skip(1);
    let roles = [Role::Echo, Role::Idle, Role::Ticking];
    let role = arguments.next().filter(|argument| argument == RAW).and_then(|_| arguments.next())?;
    roles.into_iter().find(|known| format!("{known:?}") == role)
}

/// Does what is asked of such a process, until nobody asks any more.
pub fn play(role: Role) -> ExitCode {
    match echo::serve(role) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: could not {error}");
            ExitCode::FAILURE
        }
    }
}

impl Raw {
    fn start(role: Role) -> Outcome<Self> {
        watch::step("start a raw process");
        // What a thread keeps to, its children inherit.
        Core::ANY.pin()?;
        let (line, theirs) = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)
            .map_err(|error| format!("make a pair of sockets: {error}"))?;
        let child = Command::new("/proc/self/exe")
            .args([RAW, &format!("{role:?}")])
            .stdin(Stdio::from(theirs))
            .stdout(Stdio::null())
            .spawn()
            .map_err(|error| format!("start a raw process: {error}"))?;
        Ok(Self { line, child })
    }

    fn tell(&self, message: &[u8]) -> Outcome {
        tell(&self.line, message)
    }

    fn hear(&self, message: &mut [u8]) -> Outcome<usize> {
        hear(&self.line, message)
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn die_with_parent() -> Outcome {
    Ok(set_parent_process_death_signal(Some(Signal::KILL))?)
}

fn tell(line: &impl AsFd, message: &[u8]) -> Outcome {
    send(line, message, SendFlags::empty()).map_err(|error| format!("send to a raw process: {error}"))?;
    Ok(())
}

fn hear(line: &impl AsFd, message: &mut [u8]) -> Outcome<usize> {
    let (count, _) =
        recv(line, message, RecvFlags::empty()).map_err(|error| format!("hear of a raw process: {error}"))?;
    Ok(count)
}
