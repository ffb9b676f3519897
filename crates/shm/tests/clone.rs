//! Copies of a process with one thread. Only a program without a test harness has one thread, so this has a `main`; it is
//! its own launcher, whose parent the copies get.

#![expect(clippy::unwrap_used, reason = "a test's unwrap is an assertion")]

use std::{
    ffi::OsString,
    io::{BufRead, BufReader, Write},
    process::{Command, Stdio},
    ptr::NonNull,
};

use rustix::{
    event::{PollFd, PollFlags, poll},
    process::{Pid, Signal, WaitId, WaitIdOptions, getpid, getppid, kill_process, waitid},
    thread::gettid,
};
use shm::clone::{CloneError, Title, Twin, check, set_environment, twin};

const CODE: i32 = 42;

fn main() {
    match std::env::args().nth(1).as_deref() {
        Some("launcher") => launcher(),
        Some("threads") => threads(),
        _ => {
            a_copy_is_a_child_of_its_parents_parent();
            one_with_threads_is_refused();
        }
    }
}

fn a_copy_is_a_child_of_its_parents_parent() {
    let mut launcher = start("launcher");
    let mut lines = BufReader::new(launcher.stdout.take().unwrap()).lines().map(Result::unwrap);
    for (how, end) in [("exits", (Some(CODE), None)), ("is killed with a robust mutex", (None, Some(9)))] {
        let pid: i32 = lines.next().unwrap().parse().unwrap();
        let title = lines.next().unwrap();
        assert!(title.starts_with("title a a a a a a") && title.len() < 350, "cut to its room: {title:?}");
        let status = waitid(WaitId::Pid(Pid::from_raw(pid).unwrap()), WaitIdOptions::EXITED).unwrap().unwrap();
        assert_eq!((status.exit_status(), status.terminating_signal()), end, "{how}");
    }
    assert_eq!(lines.next().unwrap(), "owner died", "the kernel saw that the copy held a robust mutex");
    assert!(launcher.wait().unwrap().success(), "the launcher saw nothing wrong");
    println!("test a_copy_is_a_child_of_its_parents_parent ... ok");
}

fn one_with_threads_is_refused() {
    assert!(start("threads").wait().unwrap().success());
    println!("test one_with_threads_is_refused ... ok");
}

fn start(how: &str) -> std::process::Child {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.arg(how).arg(" ".repeat(60)).env("CLONE_TEST", "before").stdout(Stdio::piped()).spawn().unwrap()
}

fn threads() {
    check().unwrap();
    let (end, ended) = std::sync::mpsc::channel::<()>();
    let other = std::thread::spawn(move || ended.recv());
    assert!(matches!(twin(), Err(CloneError::Threads(2))));
    assert!(matches!(Title::of_this_process().unwrap().set(&[b"a"]), Err(CloneError::Threads(2))));
    drop(end);
    let _ = other.join().unwrap();
    // `join` returns a moment before the kernel has taken the thread out of its table.
    while matches!(check(), Err(CloneError::Threads(_))) {
        std::thread::yield_now();
    }
    for (name, value) in [("", "1"), ("A=B", "1"), ("A\0", "1"), ("A", "\0")] {
        let told = set_environment(&[(OsString::from(name), Some(OsString::from(value)))]);
        assert!(matches!(told, Err(CloneError::Variable(_))), "{name:?}");
    }
}

fn launcher() {
    check().unwrap();
    let mutex = Robust::new();
    for is_killed in [false, true] {
        match twin().unwrap() {
            Twin::Copy(sound) => {
                sound.unwrap();
                copy(&mutex, is_killed)
            }
            Twin::Original { pid, pidfd } => {
                assert_ne!(pid, getpid());
                poll(&mut [PollFd::new(&pidfd, PollFlags::IN)], None).unwrap();
                assert!(std::env::var("CLONE_TEST").is_ok_and(|value| value == "before"), "a copy has its own");
            }
        }
    }
    println!("{}", if mutex.try_lock() == libc::EOWNERDEAD { "owner died" } else { "nobody told of the death" });
}

fn copy(mutex: &Robust, is_killed: bool) -> ! {
    let parent = getppid();
    check().unwrap();
    assert_eq!(getpid(), gettid());
    set_environment(&[(OsString::from("CLONE_TEST"), None), (OsString::from("NEW"), Some(OsString::from("1")))])
        .unwrap();
    assert_eq!((std::env::var("CLONE_TEST").ok(), std::env::var("NEW").ok()), (None, Some("1".to_owned())));
    Title::of_this_process().unwrap().set(&[b"title", "a ".repeat(200).as_bytes()]).unwrap();
    let title = std::fs::read_to_string("/proc/self/cmdline").unwrap().replace('\0', " ");
    println!("{}\n{}", getpid().as_raw_nonzero(), title.trim_end());
    std::io::stdout().flush().unwrap();
    // It is a process like any other: threads, panics, locks.
    let panicked = std::thread::spawn(|| std::panic::resume_unwind(Box::new(7))).join();
    assert_eq!(panicked.unwrap_err().downcast_ref::<i32>(), Some(&7));
    assert!(parent.is_some_and(|parent| parent != getpid()));
    if is_killed {
        assert_eq!(mutex.try_lock(), 0);
        kill_process(getpid(), Signal::KILL).unwrap();
        unreachable!("killed");
    }
    std::process::exit(CODE)
}

/// The C library's robust mutex, as an oracle: in memory that copies share.
struct Robust(NonNull<libc::pthread_mutex_t>);

impl Robust {
    fn new() -> Self {
        let (both, shared) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED | libc::MAP_ANONYMOUS);
        // SAFETY: a null hint lets the kernel choose a range that nothing else uses, which is a page, and so large enough for
        // the mutex and aligned. It is never unmapped. The attributes are made before they are used.
        unsafe {
            let memory = libc::mmap(std::ptr::null_mut(), 4096, both, shared, -1, 0).cast();
            let mut attributes = std::mem::zeroed();
            assert_eq!(libc::pthread_mutexattr_init(&raw mut attributes), 0);
            assert_eq!(libc::pthread_mutexattr_setpshared(&raw mut attributes, libc::PTHREAD_PROCESS_SHARED), 0);
            assert_eq!(libc::pthread_mutexattr_setrobust(&raw mut attributes, libc::PTHREAD_MUTEX_ROBUST), 0);
            assert_eq!(libc::pthread_mutex_init(memory, &raw const attributes), 0);
            Self(NonNull::new(memory).unwrap())
        }
    }

    fn try_lock(&self) -> libc::c_int {
        // SAFETY: initialised in `new`, and never moved.
        unsafe { libc::pthread_mutex_trylock(self.0.as_ptr()) }
    }
}
