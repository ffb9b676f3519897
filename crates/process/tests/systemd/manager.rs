//! A fake systemd: starts the service, hears what it says, and keeps its descriptors.

use std::{
    fs,
    io::{BufRead, BufReader, IoSlice, IoSliceMut, Read},
    mem::MaybeUninit,
    os::{
        fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd},
        linux::net::SocketAddrExt,
        unix::{
            net::{SocketAddr, UnixDatagram},
            process::CommandExt,
        },
    },
    path::PathBuf,
    process::{Child, Command, ExitCode, ExitStatus, Stdio},
    sync::{Arc, Mutex},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    fs::fstat,
    net::{
        AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
        SendFlags, SocketFlags, SocketType, recvmsg, sendmsg, socketpair,
    },
    process::{Pid, Signal, kill_process},
};

use super::{LIMIT, service::SERVICE};

/// The argument with which this program becomes the service, with descriptors from 3 on.
pub const TRAMPOLINE: &str = "trampoline";

/// How many descriptors at most are kept or handed down.
const MOST: usize = 64;

pub struct Manager {
    pub folder: PathBuf,
    address: String,
    socket: UnixDatagram,
    /// By name: what the service had kept.
    pub store: Vec<(String, OwnedFd)>,
    /// By name: sockets of a socket unit.
    pub sockets: Vec<(String, OwnedFd)>,
    pub variables: Vec<(&'static str, String)>,
    pub service: Option<Service>,
    /// All that was heard.
    pub heard: Vec<String>,
}

/// The running service.
pub struct Service {
    child: Child,
    output: Arc<Mutex<String>>,
    collecting: [JoinHandle<()>; 2],
}

impl Manager {
    /// It listens at a path.
    pub fn new() -> Self {
        let folder = folder();
        let path = folder.join("notify");
        Self::at(path.to_str().unwrap().to_owned(), UnixDatagram::bind(path).unwrap(), folder)
    }

    /// It listens at a name.
    pub fn abstract_name() -> Self {
        let folder = folder();
        let name = format!("framewire-test-{}", folder.file_name().unwrap().to_str().unwrap());
        let socket = UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
        Self::at(format!("@{name}"), socket, folder)
    }

    fn at(address: String, socket: UnixDatagram, folder: PathBuf) -> Self {
        let (store, sockets, variables, heard) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        Self { folder, address, socket, store, sockets, variables, service: None, heard }
    }

    pub fn watchdog(mut self, limit: Duration) -> Self {
        self.variables.push(("WATCHDOG_USEC", limit.as_micros().to_string()));
        self
    }

    /// A file or folder of this test's.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Starts the service anew, with what it had kept.
    pub fn start(&mut self, scenario: &str) {
        let (ours, theirs) =
            socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None).unwrap();
        // The last first, as systemd does: nobody may rely on an order.
        let handed: Vec<&(String, OwnedFd)> = self.sockets.iter().chain(self.store.iter().rev()).collect();
        send_descriptors(&ours, &handed.iter().map(|(_, descriptor)| descriptor.as_fd()).collect::<Vec<_>>());
        let names: Vec<&str> = handed.iter().map(|(name, _)| name.as_str()).collect();
        let mut command = Command::new("/proc/self/exe");
        command.args([TRAMPOLINE, SERVICE, scenario]).arg(&self.folder);
        command.env("NOTIFY_SOCKET", &self.address).env("INVOCATION_ID", "0123456789abcdef0123456789abcdef");
        command.env("FDSTORE", MOST.to_string()).env("JOURNAL_STREAM", "1:2").env("SYSTEMD_EXEC_PID", "1");
        command.env("RUST_BACKTRACE", "0");
        if !names.is_empty() {
            command.env("LISTEN_FDNAMES", names.join(":"));
        }
        command.envs(self.variables.iter().map(|(name, value)| (*name, value)));
        let mut child = command.stdin(theirs).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let output = Arc::new(Mutex::new(String::new()));
        let collecting = [
            collect(child.stdout.take().unwrap(), output.clone()),
            collect(child.stderr.take().unwrap(), output.clone()),
        ];
        self.service = Some(Service { child, output, collecting });
    }

    /// Hears one message, if one comes within `limit`, and does what it says.
    pub fn hear_within(&mut self, limit: Duration) -> Option<String> {
        let left = Timespec::try_from(limit).unwrap();
        if poll(&mut [PollFd::new(&self.socket, PollFlags::IN)], Some(&left)).unwrap() == 0 {
            return None;
        }
        let (mut text, mut space) = ([0; 4096], [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(8))]);
        let mut ancillary = RecvAncillaryBuffer::new(&mut space);
        let received =
            recvmsg(&self.socket, &mut [IoSliceMut::new(&mut text)], &mut ancillary, RecvFlags::CMSG_CLOEXEC).unwrap();
        let text = String::from_utf8(text[..received.bytes].to_vec()).unwrap();
        let descriptors: Vec<OwnedFd> = ancillary
            .drain()
            .flat_map(|message| match message {
                RecvAncillaryMessage::ScmRights(rights) => rights.collect::<Vec<_>>(),
                _ => Vec::new(),
            })
            .collect();
        self.mind_the_store(&text, descriptors);
        self.heard.push(text.clone());
        Some(text)
    }

    /// Waits for a message with this in it.
    pub fn wait_for(&mut self, part: &str) -> String {
        let end = Instant::now() + LIMIT;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            match self.hear_within(left) {
                Some(text) if text.contains(part) => return text,
                Some(_) => {}
                None => panic!("no {part}; heard {:#?}; the service wrote:\n{}", self.heard, self.output()),
            }
        }
    }

    /// Hears all that is there already.
    pub fn hear_all(&mut self) {
        while self.hear_within(Duration::ZERO).is_some() {}
    }

    pub fn has_heard(&self, part: &str) -> bool {
        self.heard.iter().any(|text| text.contains(part))
    }

    /// As systemd's `service_process_fd_store`.
    fn mind_the_store(&mut self, text: &str, descriptors: Vec<OwnedFd>) {
        let named = text.lines().find_map(|line| line.strip_prefix("FDNAME=")).unwrap_or("stored").to_owned();
        if text.lines().any(|line| line == "FDSTOREREMOVE=1") {
            self.store.retain(|(name, _)| *name != named);
        } else if text.lines().any(|line| line == "FDSTORE=1") {
            for descriptor in descriptors {
                if self.store.len() < MOST && !self.store.iter().any(|(_, known)| is_same(known, &descriptor)) {
                    self.store.push((named.clone(), descriptor));
                }
            }
        }
        if !text.contains("FDPOLL=0") {
            // What has hung up is thrown away.
            self.store.retain(|(_, descriptor)| {
                let mut watched = [PollFd::new(descriptor, PollFlags::empty())];
                let _ = poll(&mut watched, Some(&Timespec { tv_sec: 0, tv_nsec: 0 }));
                !watched[0].revents().intersects(PollFlags::HUP | PollFlags::ERR)
            });
        }
    }

    pub fn stored(&self) -> Vec<&str> {
        let mut names: Vec<&str> = self.store.iter().map(|(name, _)| name.as_str()).collect();
        names.sort_unstable();
        names
    }

    pub fn output(&self) -> String {
        self.service.as_ref().map(|service| service.output.lock().unwrap().clone()).unwrap_or_default()
    }

    /// Waits for a line of the service's, and gives what follows `begin` in it.
    pub fn wait_for_line(&mut self, begin: &str) -> String {
        let end = Instant::now() + LIMIT;
        loop {
            self.hear_all();
            if let Some(line) = self.output().lines().find_map(|line| line.strip_prefix(begin)) {
                return line.trim().to_owned();
            }
            assert!(Instant::now() < end, "no line {begin:?}; it wrote:\n{}", self.output());
            thread::yield_now();
        }
    }

    pub fn pid(&self) -> Pid {
        Pid::from_child(&self.service.as_ref().unwrap().child)
    }

    pub fn signal(&self, signal: Signal) {
        kill_process(self.pid(), signal).unwrap();
    }

    /// Waits for its end, and for all that it wrote.
    pub fn wait_end(&mut self) -> ExitStatus {
        let end = Instant::now() + LIMIT;
        loop {
            self.hear_all();
            let service = self.service.as_mut().unwrap();
            // Before the look at its output: nothing is written after.
            let ended = service.child.try_wait().unwrap();
            match ended.filter(|_| service.collecting.iter().all(JoinHandle::is_finished)) {
                Some(status) => {
                    self.hear_all();
                    return status;
                }
                None => assert!(Instant::now() < end, "it doesn't end; it wrote:\n{}", self.output()),
            }
            thread::yield_now();
        }
    }

    pub fn is_running(&mut self) -> bool {
        self.service.as_mut().unwrap().child.try_wait().unwrap().is_none()
    }

    /// Fills the queue that the service's messages go into, and gives how many messages that took.
    pub fn fill_up(&self) -> usize {
        let sender = UnixDatagram::unbound().unwrap();
        sender.set_nonblocking(true).unwrap();
        let address = self.socket.local_addr().unwrap();
        (0..).take_while(|_| sender.send_to_addr(b"X_FILLS=1", &address).is_ok()).count()
    }

    /// Nobody listens any more, nor will again.
    pub fn go_deaf(&mut self) {
        self.socket = UnixDatagram::unbound().unwrap();
        let _ = fs::remove_file(self.path("notify"));
    }
}

impl Drop for Manager {
    fn drop(&mut self) {
        if let Some(service) = &mut self.service {
            let _ = service.child.kill();
            let _ = service.child.wait();
        }
        let _ = fs::remove_dir_all(&self.folder);
    }
}

fn is_same(one: &OwnedFd, other: &OwnedFd) -> bool {
    let inode = |descriptor: &OwnedFd| fstat(descriptor).map(|stat| (stat.st_dev, stat.st_ino)).unwrap();
    inode(one) == inode(other)
}

fn send_descriptors(socket: &OwnedFd, descriptors: &[BorrowedFd<'_>]) {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    assert!(descriptors.is_empty() || ancillary.push(SendAncillaryMessage::ScmRights(descriptors)));
    sendmsg(socket, &[IoSlice::new(b"x")], &mut ancillary, SendFlags::empty()).unwrap();
}

/// Takes descriptors from the socket at standard input. They get the lowest numbers that are free, so from 3 on, and stay
/// open across exec; then this process becomes the service, and still has the identifier that it says.
pub fn become_the_service() -> ExitCode {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let stdin = std::io::stdin();
    recvmsg(&stdin, &mut [IoSliceMut::new(&mut [0])], &mut ancillary, RecvFlags::empty()).unwrap();
    let rights = ancillary.drain().flat_map(|message| match message {
        RecvAncillaryMessage::ScmRights(rights) => rights.collect::<Vec<_>>(),
        _ => Vec::new(),
    });
    let descriptors: Vec<OwnedFd> = rights.collect();
    for (index, descriptor) in descriptors.iter().enumerate() {
        assert_eq!(descriptor.as_raw_fd(), 3 + index as i32, "this program was started with descriptors open");
    }
    let mut command = Command::new("/proc/self/exe");
    command.args(std::env::args().skip(2)).stdin(Stdio::null());
    if !descriptors.is_empty() {
        command.env("LISTEN_FDS", descriptors.len().to_string()).env("LISTEN_PID", std::process::id().to_string());
    }
    let error = command.exec();
    panic!("{error}");
}

fn collect(stream: impl Read + Send + 'static, output: Arc<Mutex<String>>) -> JoinHandle<()> {
    thread::spawn(move || {
        for line in BufReader::new(stream).lines().map_while(Result::ok) {
            let mut output = output.lock().unwrap();
            output.push_str(&line);
            output.push('\n');
        }
    })
}

/// A new folder.
pub fn folder() -> PathBuf {
    static NEXT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
    let next = NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    let folder = std::env::temp_dir().join(format!("framewire-systemd-{}-{next}", std::process::id()));
    fs::create_dir(&folder).unwrap();
    folder
}
