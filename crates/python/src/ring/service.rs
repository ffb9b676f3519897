//! A thread that lets a ring's readers in and out, also while its writer does something else. It never has the GIL.

use std::{
    io,
    os::fd::OwnedFd,
    thread::{Builder, JoinHandle},
};

use rustix::{
    event::{PollFd, PollFlags, poll},
    io::Errno,
};
use shm::{doorbell::Doorbell, ring::Port};

/// Ends with this value.
#[derive(Debug)]
pub(super) struct Service {
    stop: Doorbell,
    thread: Option<JoinHandle<()>>,
    process: u32,
}

impl Service {
    pub(super) fn start(port: Port) -> io::Result<Self> {
        let (stop, news) = (Doorbell::new()?, port.descriptor()?);
        let stopping = stop.clone();
        let serve = move || serve(&port, &news, &stopping);
        let thread = Builder::new().name("framewire-ring".to_owned()).stack_size(128 * 1024).spawn(serve)?;
        Ok(Self { stop, thread: Some(thread), process: std::process::id() })
    }
}

fn serve(port: &Port, news: &OwnedFd, stop: &Doorbell) {
    loop {
        let mut watched = [PollFd::new(news, PollFlags::IN), PollFd::new(stop, PollFlags::IN)];
        match poll(&mut watched, None) {
            Ok(_) if !watched[1].revents().is_empty() => return,
            Ok(_) => port.service(),
            Err(Errno::INTR) => {}
            Err(_) => return, // the kernel has no memory: readers then join when the writer waits for them
        }
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        // A forked child has the bell, but not the thread.
        if self.process == std::process::id() {
            self.stop.ring();
            if let Some(thread) = self.thread.take() {
                let _ = thread.join();
            }
        }
    }
}
