//! Sleeping on behalf of futures: one thread that waits for words of shared memory and then calls whoever asked.
//!
//! A pending future sleeps in no system call, so somebody must do it for it. The first future that has to wait starts an
//! attendant, one thread a process, which sleeps in `futex_waitv` over the words of all pending futures and a private one
//! that says that there is news. Beyond what one call can watch, further attendants take turns; those end when idle.
//!
//! Nothing depends on an attendant's knowing what a word means: it calls when a word isn't what was expected, when it was
//! woken for it, when an owner may have died, or when the limit has passed. Who is called looks for itself.

use std::{
    future::Future,
    io,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
    task::{Poll, Waker},
    time::Instant,
};

use crate::{
    arena::{Arena, Local, Owner},
    doorbell::Doorbell,
    futex::{self, MAX_WORDS},
};

/// What to sleep for.
#[derive(Clone, Debug)]
pub(crate) struct Watch {
    /// Where the words are. It stays mapped for as long as this is watched.
    pub arena: Arena,
    /// Offsets ([`Place::offset_of`](crate::arena::Place::offset_of)) and what is expected there; at most 8.
    pub words: Vec<(usize, u32)>,
    /// Whose death is to be told.
    pub owner: Option<Owner>,
    /// When to call in any case.
    pub until: Option<Instant>,
}

/// Whom to call, once.
#[derive(Clone, Debug)]
pub(crate) enum Call {
    /// A future's task.
    Waker(Waker),
    /// Whoever sleeps on a descriptor.
    Doorbell(Doorbell),
}

/// All attendants of a process.
#[derive(Default)]
pub(crate) struct Attendants(Mutex<Vec<Arc<Attendant>>>);

/// One attendant: a thread, and what it has been asked for.
#[derive(Default)]
struct Attendant {
    /// Counts the changes of `asked`, to end a sleep that doesn't know of them.
    news: AtomicU32,
    asked: Mutex<Asked>,
}

#[derive(Default)]
struct Asked {
    next: u64,
    entries: Vec<Entry>,
}

#[derive(Clone)]
struct Entry {
    number: u64,
    watch: Watch,
    call: Call,
}

/// A place on an attendant's list. Dropped, it is off the list: there won't be a call any more, or it is under way.
#[must_use]
pub(crate) struct Asking {
    attendant: Arc<Attendant>,
    number: u64,
}

/// How many words all entries of one attendant may have. One is its own.
const ROOM: usize = MAX_WORDS - 1;

impl Watch {
    fn room(&self) -> usize {
        self.words.len() + usize::from(self.owner.is_some())
    }
}

/// Calls `call` once, when `watch` says so.
///
/// # Errors
///
/// If no thread can be started.
pub(crate) fn call_when(watch: Watch, call: Call) -> io::Result<Asking> {
    debug_assert!(watch.words.len() <= 8, "more than a watch may have");
    let mut attendants = lock(&Local::here().attendants.0);
    let has_room = |attendant: &&Arc<Attendant>| {
        lock(&attendant.asked).entries.iter().map(|entry| entry.watch.room()).sum::<usize>() + watch.room() <= ROOM
    };
    let attendant = match attendants.iter().find(has_room) {
        Some(attendant) => attendant.clone(),
        None => {
            let attendant = Arc::new(Attendant::default());
            let (working, first) = (attendant.clone(), attendants.is_empty());
            std::thread::Builder::new()
                .name("arena-attendant".to_owned())
                .stack_size(128 * 1024)
                .spawn(move || working.work(first))?;
            attendants.push(attendant.clone());
            attendant
        }
    };
    // Still with the list of all locked: an attendant goes off it only if it has been asked for nothing.
    let mut asked = lock(&attendant.asked);
    let number = asked.next;
    asked.next += 1;
    asked.entries.push(Entry { number, watch, call });
    drop(asked);
    attendant.tell();
    Ok(Asking { attendant, number })
}

/// A doorbell that will be rung. Dropped, it won't be.
#[must_use = "dropped, the doorbell isn't rung"]
pub struct Ringing(#[expect(dead_code, reason = "it is held")] Option<Asking>);

impl Ringing {
    /// It has rung already.
    pub(crate) fn rung() -> Self {
        Self(None)
    }

    /// When `watch` says so.
    pub(crate) fn when(watch: Watch, bell: &Doorbell) -> io::Result<Self> {
        call_when(watch, Call::Doorbell(bell.clone())).map(|asking| Self(Some(asking)))
    }
}

/// A future of attempts: each has a result, or says what to watch before the next. Dropped, it watches no more.
pub(crate) async fn retry<T>(mut attempt: impl FnMut() -> Result<T, Watch>) -> io::Result<T> {
    let mut asking = None;
    std::future::poll_fn(move |context| {
        match attempt() {
            Ok(done) => {
                drop(asking.take());
                Poll::Ready(Ok(done))
            }
            Err(watch) => {
                // The new one first: there is no moment in which nobody watches.
                match call_when(watch, Call::Waker(context.waker().clone())) {
                    Ok(new) => drop(asking.replace(new)),
                    Err(error) => return Poll::Ready(Err(error)),
                }
                Poll::Pending
            }
        }
    })
    .await
}

/// Checks that the futures of this crate can go between threads.
#[expect(dead_code, reason = "it only has to compile")]
fn retry_is_send(attempt: impl FnMut() -> Result<(), Watch> + Send) -> impl Future<Output = io::Result<()>> + Send {
    retry(attempt)
}

impl Attendant {
    fn tell(&self) {
        self.news.fetch_add(1, Ordering::Release);
        futex::wake(&self.news, 1);
    }

    fn work(&self, first: bool) {
        loop {
            let news = self.news.load(Ordering::Acquire);
            let entries = lock(&self.asked).entries.clone();
            if entries.is_empty() && !first && self.dismiss() {
                return;
            }
            let woken = self.sleep(news, &entries);
            let due: Vec<u64> = entries.iter().filter(|entry| is_due(&entry.watch)).map(|entry| entry.number).collect();
            drop(entries);
            let mut asked = lock(&self.asked);
            let called =
                asked.entries.extract_if(.., |entry| due.contains(&entry.number) || woken == Some(entry.number));
            let called: Vec<Entry> = called.collect();
            drop(asked);
            for entry in called {
                match entry.call {
                    Call::Waker(waker) => waker.wake(),
                    Call::Doorbell(bell) => bell.ring(),
                }
            }
        }
    }

    /// Sleeps until there is something to look at; says for whom it was woken, if it can tell.
    fn sleep(&self, news: u32, entries: &[Entry]) -> Option<u64> {
        let mut words: Vec<(&AtomicU32, u32)> = vec![(&self.news, news)];
        let mut numbers = vec![None];
        for Entry { number, watch, .. } in entries {
            words.extend(watch.words.iter().map(|(offset, expected)| (watch.arena.word_at(*offset), *expected)));
            match watch.owner.map(|owner| watch.arena.alive_word(owner)) {
                Some(None) => return Some(*number),
                Some(Some(alive)) => words.push(alive),
                None => {}
            }
            numbers.resize(words.len(), Some(*number));
        }
        let until = entries.iter().filter_map(|entry| entry.watch.until).min();
        let (_, index) = futex::wait_index(&words, until);
        index.and_then(|index| *numbers.get(index)?)
    }

    /// Takes it off the list of all, unless it has been asked for something meanwhile.
    fn dismiss(&self) -> bool {
        let mut attendants = lock(&Local::here().attendants.0);
        let idle = lock(&self.asked).entries.is_empty();
        if idle {
            attendants.retain(|attendant| !std::ptr::eq(&**attendant, self));
        }
        idle
    }
}

fn is_due(watch: &Watch) -> bool {
    let differs = |(offset, expected): &(usize, u32)| watch.arena.word_at(*offset).load(Ordering::Acquire) != *expected;
    watch.words.iter().any(differs)
        || watch.owner.is_some_and(|owner| watch.arena.alive_word(owner).is_none())
        || watch.until.is_some_and(|until| until <= Instant::now())
}

impl Drop for Asking {
    fn drop(&mut self) {
        let mut asked = lock(&self.attendant.asked);
        let before = asked.entries.len();
        asked.entries.retain(|entry| entry.number != self.number);
        let was_there = asked.entries.len() < before;
        drop(asked);
        if was_there {
            self.attendant.tell();
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
