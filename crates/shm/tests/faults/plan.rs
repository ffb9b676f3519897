//! What fails, how, and what may be seen of it.

/// One kind of fault.
pub struct Fault {
    pub call: &'static str,
    pub errno: &'static str,
    pub seen: Seen,
}

#[derive(Clone, Copy)]
pub enum Seen {
    /// It is tried again, or there is another way.
    Never,
    /// An error with one of these words in it, or nothing.
    As(&'static [&'static str]),
}

const fn fault(call: &'static str, errno: &'static str, words: &'static [&'static str]) -> Fault {
    Fault { call, errno, seen: Seen::As(words) }
}

const fn hidden(call: &'static str, errno: &'static str) -> Fault {
    Fault { call, errno, seen: Seen::Never }
}

/// `close` and `munmap` aren't here: a fault would be the very leak that is looked for. Nor is `shutdown`, which of a connected
/// socket can't fail.
pub const FAULTS: &[Fault] = &[
    fault("memfd_create", "EMFILE", &["create"]),
    fault("ftruncate", "ENOMEM", &["size"]),
    fault("fallocate", "ENOSPC", &["allocate"]),
    hidden("fallocate", "EINTR"),
    fault("mmap", "ENOMEM", &["map", "start a thread"]),
    fault("madvise", "ENOMEM", &["populate"]),
    hidden("madvise", "EINVAL"),
    fault("fcntl", "EMFILE", &["seal", "inspect", "fcntl"]),
    fault("fstat", "EIO", &["inspect"]),
    fault("fstatfs", "EIO", &["inspect"]),
    fault("statx", "EACCES", &["statx"]),
    fault("eventfd2", "EMFILE", &["eventfd2"]),
    fault("epoll_create1", "EMFILE", &["epoll_create1"]),
    fault("epoll_ctl", "ENOSPC", &["epoll_ctl"]),
    hidden("epoll_pwait", "EINTR"),
    fault("pidfd_open", "EMFILE", &["pidfd_open"]),
    fault("waitid", "ENOSYS", &["waitid"]),
    hidden("waitid", "EINTR"),
    hidden("ppoll", "EINTR"),
    fault("socketpair", "EMFILE", &["socketpair"]),
    fault("sendmsg", "ETOOMANYREFS", &["sendmsg"]),
    hidden("sendmsg", "EINTR"),
    fault("recvmsg", "ENOMEM", &["recvmsg"]),
    hidden("recvmsg", "EINTR"),
    hidden("write", "EINTR"),
    fault("socket", "EMFILE", &["socket"]),
    fault("bind", "EACCES", &["bind"]),
    fault("listen", "EADDRINUSE", &["listen"]),
    fault("connect", "EACCES", &["connect"]),
    hidden("connect", "EINTR"),
    fault("connect", "EAGAIN", &["bind"]),
    hidden("accept4", "EMFILE"),
    hidden("accept4", "ECONNABORTED"),
    fault("getsockopt", "ENOMEM", &["getsockopt"]),
    hidden("flock", "EINTR"),
    hidden("flock", "EAGAIN"),
    fault("unlink", "EACCES", &["unlink"]),
    fault("openat", "EMFILE", &["open"]),
    hidden("read", "EIO"),
    fault("clone3", "EAGAIN", &["start a thread"]),
];
