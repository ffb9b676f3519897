//! The zygote itself: it waits for errands, and copies itself.

use std::{
    fs::File,
    io::{self, Write},
    os::fd::AsFd,
    process::ExitCode,
};

use rustix::process::{Pid, Signal, fchdir, getppid, set_parent_process_death_signal};
use shm::{
    clone::{self, Title, Twin},
    wire::{Packet, Passed, ReceiveError, Socket},
};

use super::{
    host::{self, Host},
    system, trial,
    words::{Errand, Word},
};
use crate::{
    BoxError,
    child::Line,
    logs,
    message::Kind,
    program::{CHILD, TITLE},
};

/// What a zygote's `main` goes on as.
pub(crate) enum Role {
    /// The zygote itself, at its end.
    Over(ExitCode),
    /// A child of this kind, with its line to the parent.
    Child { kind: String, line: Line },
}

/// Lives as a zygote until the application ends. It returns then, and in each child.
pub(crate) fn serve(parent: &str, host: &mut dyn Host) -> Role {
    let application = match attach(parent) {
        Ok(application) => application,
        Err(error) => {
            let _ =
                writeln!(io::stderr(), "error: could not start a zygote: {error}; framewire does that, not a person");
            return Role::Over(ExitCode::FAILURE);
        }
    };
    if let Err(error) = host.load().and_then(|()| trial::hold(&application, host)) {
        tell(&application, &trial::refusal(&*error));
        return Role::Over(ExitCode::FAILURE);
    }
    logs::prepare();
    // Its title is for people; without it, a child is one all the same.
    let title = Title::of_this_process().ok();
    loop {
        let errand = match application.receive().map(|packet| packet.decode::<Errand>()) {
            Ok(Ok(errand)) => errand,
            Ok(Err(error)) => {
                tell(&application, &Word::Failed(error.to_string()));
                continue;
            }
            // Too many descriptors, no memory: this errand's misfortune.
            Err(error @ (ReceiveError::DescriptorsLost | ReceiveError::Memory(_))) => {
                tell(&application, &Word::Failed(error.to_string()));
                continue;
            }
            Err(_) => return Role::Over(ExitCode::SUCCESS),
        };
        match host::twin(host) {
            Ok(Twin::Original { pid, pidfd }) => {
                tell(&application, &Word::Born { pid: pid.as_raw_pid(), pidfd: Passed::new(pidfd) });
            }
            Ok(Twin::Copy(sound)) => {
                // Whoever holds this would hide the zygote's end.
                drop(application);
                return become_child(errand, title, sound.map_err(BoxError::from), host);
            }
            Err(error) => tell(&application, &Word::Failed(error.to_string())),
        }
    }
}

fn attach(parent: &str) -> Result<Socket, BoxError> {
    let socket = take_stdin()?;
    set_parent_process_death_signal(Some(Signal::KILL)).map_err(system("prctl"))?;
    if getppid().map(Pid::as_raw_pid) != parent.trim().parse().ok() {
        return Err("its application is gone already".into());
    }
    rustix::thread::set_name(c"zygote").map_err(system("prctl"))?;
    // What `main` has said and isn't out yet would be said by every child.
    let _ = io::stdout().flush();
    Ok(socket)
}

/// As for a child, the socket came as descriptor 0.
fn take_stdin() -> io::Result<Socket> {
    let stdin = io::stdin();
    rustix::net::sockopt::socket_type(stdin.as_fd()).map_err(system("getsockopt"))?;
    let socket = Socket::from_owned(rustix::io::fcntl_dupfd_cloexec(stdin.as_fd(), 3).map_err(system("fcntl"))?);
    rustix::stdio::dup2_stdin(File::open("/dev/null")?).map_err(system("dup2"))?;
    Ok(socket)
}

/// The copy becomes what the errand says, as if it had been started by exec. What goes wrong, its line tells.
fn become_child(errand: Errand, title: Option<Title>, sound: Result<(), BoxError>, host: &mut dyn Host) -> Role {
    let Errand { kind, name, line, stdout, stderr, folder, variables } = errand;
    let Ok(line) = line.into_owned() else { return Role::Over(ExitCode::FAILURE) };
    let line = Line::over(Socket::from_owned(line));
    let settle = || -> Result<(), BoxError> {
        sound?;
        rustix::stdio::dup2_stdout(&stdout).map_err(system("dup2"))?;
        rustix::stdio::dup2_stderr(&stderr).map_err(system("dup2"))?;
        fchdir(&folder).map_err(system("fchdir"))?;
        let changes = variables.into_changes();
        clone::set_environment(&changes)?;
        host.settle(&changes)?;
        if let Some(title) = title {
            title.set(&[TITLE.as_bytes(), CHILD.as_bytes(), kind.as_bytes(), name.as_bytes()])?;
        }
        Ok(())
    };
    match settle() {
        Ok(()) => Role::Child { kind, line },
        Err(error) => {
            line.say_surely(Kind::Failed, &format!("start: could not {error}"));
            Role::Over(ExitCode::FAILURE)
        }
    }
}

/// The application reads what it has asked for; if it is gone, so are we in a moment.
pub(super) fn tell(application: &Socket, word: &Word) {
    if let Ok(packet) = Packet::encode(word) {
        let _ = application.send(&packet);
    }
}
