//! Descriptors that wake a future: one hidden thread for the whole process, whatever runtime it has, or none.

use std::{
    collections::HashMap,
    io,
    mem::MaybeUninit,
    os::fd::{AsFd, OwnedFd},
    sync::{Arc, Mutex, PoisonError},
    task::Waker,
    thread,
};

use rustix::event::epoll;

use crate::fork::Birthplace;

/// A descriptor that the hidden thread watches, until this is dropped.
#[derive(Debug)]
pub(crate) struct Watch {
    thread: Arc<Watcher>,
    descriptor: OwnedFd,
    token: u64,
}

/// The hidden thread's side. It sleeps unless a watch fires.
#[derive(Debug)]
struct Watcher {
    epoll: OwnedFd,
    birthplace: Birthplace,
    wakers: Mutex<Wakers>,
}

#[derive(Debug, Default)]
struct Wakers {
    next_token: u64,
    armed: HashMap<u64, Waker>,
}

impl Watch {
    /// Begins to watch `descriptor`, of which it keeps a copy. The first one starts the thread.
    pub(crate) fn new(descriptor: impl AsFd) -> io::Result<Self> {
        let thread = Watcher::of_this_process()?;
        let descriptor = descriptor.as_fd().try_clone_to_owned()?;
        let token = {
            let mut wakers = thread.wakers.lock().unwrap_or_else(PoisonError::into_inner);
            wakers.next_token += 1;
            wakers.next_token
        };
        epoll::add(&thread.epoll, &descriptor, epoll::EventData::new_u64(token), epoll::EventFlags::ONESHOT)?;
        Ok(Self { thread, descriptor, token })
    }

    /// Has `waker` woken once, as soon as the descriptor is readable; it takes the place of an earlier one.
    pub(crate) fn wake_when_readable(&self, waker: &Waker) -> io::Result<()> {
        let mut wakers = self.thread.wakers.lock().unwrap_or_else(PoisonError::into_inner);
        wakers.armed.insert(self.token, waker.clone());
        drop(wakers);
        let once = epoll::EventFlags::IN | epoll::EventFlags::ONESHOT;
        Ok(epoll::modify(&self.thread.epoll, &self.descriptor, epoll::EventData::new_u64(self.token), once)?)
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        // In a forked child the thread and its epoll are the parent's.
        if self.thread.birthplace.is_here() {
            let _ = epoll::delete(&self.thread.epoll, &self.descriptor);
            self.thread.wakers.lock().unwrap_or_else(PoisonError::into_inner).armed.remove(&self.token);
        }
    }
}

impl Watcher {
    fn of_this_process() -> io::Result<Arc<Self>> {
        static WATCHER: Mutex<Option<Arc<Watcher>>> = Mutex::new(None);
        let mut watcher = WATCHER.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(watcher) = watcher.as_ref().filter(|watcher| watcher.birthplace.is_here()) {
            return Ok(watcher.clone());
        }
        let new = Arc::new(Self {
            epoll: epoll::create(epoll::CreateFlags::CLOEXEC)?,
            birthplace: Birthplace::here(),
            wakers: Mutex::default(),
        });
        let running = new.clone();
        thread::Builder::new().name("shm-watch".to_owned()).stack_size(64 * 1024).spawn(move || running.run())?;
        Ok(watcher.insert(new).clone())
    }

    fn run(&self) {
        loop {
            let mut events = [MaybeUninit::<epoll::Event>::uninit(); 64];
            // It can only be interrupted: the descriptor is an epoll, and ours.
            let Ok((events, _)) = epoll::wait(&self.epoll, &mut events, None) else { continue };
            for event in events {
                let waker = self.wakers.lock().unwrap_or_else(PoisonError::into_inner).armed.remove(&event.data.u64());
                // Woken outside of the lock: it runs code of the runtime's.
                waker.into_iter().for_each(Waker::wake);
            }
        }
    }
}
