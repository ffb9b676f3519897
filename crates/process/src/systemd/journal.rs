//! Log entries for the journal, with their fields, by a thread of their own.

use std::{
    fmt,
    io::{self, IoSlice, stderr},
    mem::MaybeUninit,
    os::fd::{AsFd, OwnedFd},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
        mpsc::{self, Receiver, SyncSender},
    },
    thread,
    time::Duration,
};

use rustix::{
    fs::{MemfdFlags, SealFlags, fcntl_add_seals, fstat, memfd_create},
    io::{Errno, retry_on_intr},
    net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg},
};
use tracing::{Event, Subscriber};
use tracing_subscriber::{Layer, layer};

use super::{
    entry::{Entry, priority},
    notify::datagrams_to,
};
use crate::logs::{self, Text};

/// Where the journal listens.
const SOCKET: &str = "/run/systemd/journal/socket";

/// Entries that wait; beyond these, new ones are lost, and counted: the supervisor logs too, and waits for nobody.
const MAX_WAITING: usize = 1024;

/// How long the last entries are waited for.
const LAST_ENTRIES: Duration = Duration::from_millis(200);

/// A [layer](tracing_subscriber::Layer) that writes what is logged into systemd's journal, field by field. Clones are the
/// same.
///
/// | field | |
/// |---|---|
/// | `MESSAGE`, `PRIORITY`, `TARGET`, `CODE_FILE`, `CODE_LINE` | the event; of a child's event, the child's own |
/// | `SYSLOG_IDENTIFIER` | [`identifier`](Self::identifier) |
/// | `FRAMEWIRE_PROCESS` | the name of the process that it is from, or about; `supervisor` if none |
/// | `FRAMEWIRE_RESTART` | how often that process had been restarted |
/// | `F_…` | the event's other fields; `F_STREAM` if it is a line that the process wrote to its standard output or error |
///
/// So `journalctl -u UNIT FRAMEWIRE_PROCESS=door.decoder` shows one process, across its restarts. Filter as any layer;
/// an event's spans aren't written.
///
/// Nothing here waits for the journal: entries go to a thread, and if it is 1,024 behind, new ones are lost, and counted in
/// the next.
#[derive(Clone)]
pub struct Journal {
    entries: SyncSender<Work>,
    lost: Arc<AtomicU64>,
    identifier: Arc<str>,
}

enum Work {
    Entry(Vec<u8>),
    Done(SyncSender<()>),
}

impl fmt::Debug for Journal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Journal").field("identifier", &self.identifier).finish_non_exhaustive()
    }
}

impl Journal {
    /// The journal, if that is where standard error goes anyway (`JOURNAL_STREAM` says which stream it is). `None` otherwise,
    /// or if it can't be reached: then log to standard error, as ever.
    #[must_use]
    pub fn of_stderr() -> Option<Self> {
        // The variable is inherited also by whoever's standard error was redirected since.
        is_stream(&std::env::var("JOURNAL_STREAM").ok()?, stderr()).then(|| Self::to(SOCKET).ok())?
    }

    /// Whatever listens at this socket.
    ///
    /// # Errors
    ///
    /// If nobody does, or there is no thread to be had.
    pub fn to(socket: impl Into<PathBuf>) -> io::Result<Self> {
        let socket = socket.into();
        let mut sender = Sender { socket: Some(datagrams_to(&socket)?), address: socket };
        let (entries, received) = mpsc::sync_channel(MAX_WAITING);
        let lost = Arc::new(AtomicU64::new(0));
        let lost_of_thread = lost.clone();
        thread::Builder::new().name("journal".to_owned()).spawn(move || sender.run(&received, &lost_of_thread))?;
        Ok(Self { entries, lost, identifier: own_name().into() })
    }

    /// Who logs, as `journalctl -t` selects it; by default the name of the program's file.
    #[must_use]
    pub fn identifier(mut self, identifier: &str) -> Self {
        self.identifier = identifier.into();
        self
    }

    /// Waits until all that was logged is written, but no longer than 0.7 s: for the end of a program.
    pub fn finish(&self) {
        logs::finish();
        let (done, is_done) = mpsc::sync_channel(1);
        if self.entries.try_send(Work::Done(done)).is_ok() {
            let _ = is_done.recv_timeout(LAST_ENTRIES);
        }
    }
}

impl<S: Subscriber> Layer<S> for Journal {
    fn on_event(&self, event: &Event<'_>, _: layer::Context<'_, S>) {
        let (Text { message, fields }, metadata) = (Text::of(event), event.metadata());
        let mut entry = Entry::default();
        entry.put("PRIORITY", priority(*metadata.level()));
        entry.put("SYSLOG_IDENTIFIER", &self.identifier);
        let process = fields.iter().find(|(name, _)| name == "process").map(|(_, process)| process.as_str());
        entry.put("FRAMEWIRE_PROCESS", process.unwrap_or("supervisor"));
        if let Some(restarts) = logs::restarts().filter(|_| process.is_some()) {
            entry.put("FRAMEWIRE_RESTART", &restarts.to_string());
        }
        let place = |entry: &mut Entry, file: Option<&str>, line: Option<u32>, target: &str| {
            file.iter().for_each(|file| entry.put("CODE_FILE", file));
            line.iter().for_each(|line| entry.put("CODE_LINE", &line.to_string()));
            entry.put("TARGET", target);
        };
        if let Some(record) = logs::relayed() {
            // The event is made of it, and has it as text only.
            entry.put("MESSAGE", &record.text);
            place(&mut entry, record.file.as_deref(), record.line, &record.target);
            record.fields.iter().for_each(|(name, value)| entry.put_foreign(name, value));
        } else {
            entry.put("MESSAGE", &message);
            place(&mut entry, metadata.file(), metadata.line(), metadata.target());
            let others = fields.iter().filter(|(name, _)| name != "process");
            others.for_each(|(name, value)| entry.put_foreign(name, value));
        }
        if self.entries.try_send(Work::Entry(entry.into_bytes())).is_err() {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// The thread's part.
struct Sender {
    socket: Option<OwnedFd>,
    address: PathBuf,
}

impl Sender {
    fn run(&mut self, received: &Receiver<Work>, lost: &AtomicU64) {
        for work in received {
            match work {
                Work::Done(done) => _ = done.try_send(()),
                Work::Entry(mut entry) => {
                    let before = lost.swap(0, Ordering::Relaxed);
                    if before > 0 {
                        let mut told = Entry(entry);
                        told.put("FRAMEWIRE_LOST_BEFORE", &before.to_string());
                        entry = told.into_bytes();
                    }
                    if self.send(&entry).is_err() {
                        lost.fetch_add(before + 1, Ordering::Relaxed);
                    }
                }
            }
        }
    }

    /// A journal that was restarted is reached by a new connection.
    fn send(&mut self, entry: &[u8]) -> io::Result<()> {
        let sent = self.socket.as_ref().map(|socket| send(socket, entry));
        match sent {
            Some(Ok(())) => Ok(()),
            _ => {
                self.socket = None;
                let socket = self.socket.insert(datagrams_to(&self.address)?);
                send(socket, entry)
            }
        }
    }
}

fn send(socket: &OwnedFd, entry: &[u8]) -> io::Result<()> {
    let whole = [IoSlice::new(entry)];
    let sent = retry_on_intr(|| sendmsg(socket, &whole, &mut SendAncillaryBuffer::default(), SendFlags::NOSIGNAL));
    match sent {
        Ok(_) => Ok(()),
        // What is too large for a datagram goes as memory that nobody can change any more.
        Err(Errno::MSGSIZE | Errno::NOBUFS) => {
            let (memory, mut space) = (sealed(entry)?, [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))]);
            let (mut ancillary, rights) = (SendAncillaryBuffer::new(&mut space), [memory.as_fd()]);
            ancillary.push(SendAncillaryMessage::ScmRights(&rights));
            retry_on_intr(|| sendmsg(socket, &[], &mut ancillary, SendFlags::NOSIGNAL))?;
            Ok(())
        }
        Err(errno) => Err(errno.into()),
    }
}

fn sealed(entry: &[u8]) -> io::Result<OwnedFd> {
    let memory = memfd_create("framewire-journal", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)?;
    let mut written = 0;
    while written < entry.len() {
        written += retry_on_intr(|| rustix::io::write(&memory, &entry[written..]))?;
    }
    // The journal reads it only with all of these.
    let seals = SealFlags::SHRINK | SealFlags::GROW | SealFlags::WRITE | SealFlags::SEAL;
    fcntl_add_seals(&memory, seals)?;
    Ok(memory)
}

/// Whether a descriptor is what `DEVICE:INODE` says.
fn is_stream(text: &str, descriptor: impl AsFd) -> bool {
    let said = text.split_once(':').and_then(|(device, inode)| Some((device.parse().ok()?, inode.parse().ok()?)));
    let found = fstat(descriptor).map(|stat| (stat.st_dev, stat.st_ino)).ok();
    said.is_some() && said == found
}

fn own_name() -> String {
    let file = std::env::current_exe().ok();
    let name = file.as_deref().and_then(Path::file_name).map(|name| name.to_string_lossy().into_owned());
    name.unwrap_or_else(|| "framewire".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_very_stream_that_is_said_is_the_journal() {
        let (one, other) = (std::io::pipe().unwrap(), std::io::pipe().unwrap());
        let stat = fstat(&one.1).unwrap();
        let said = format!("{}:{}", stat.st_dev, stat.st_ino);
        assert!(is_stream(&said, &one.1) && !is_stream(&said, &other.1));
        for nonsense in ["", ":", "1", "a:b", "-1:2", &format!("{said}:1")] {
            assert!(!is_stream(nonsense, &one.1), "{nonsense}");
        }
    }
}
