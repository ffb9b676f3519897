//! The child's side: where a worker's tasks lie, and how it does them.

use std::{
    collections::VecDeque,
    fs,
    os::fd::{AsFd, BorrowedFd},
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    task::{Context, Poll, Waker},
    time::{Duration, Instant},
};

use shm::{
    lane::{Entry, Lane, Reader, Sleep, Writer},
    wire::{Packet, ReceiveError, SendError, Socket},
};

use super::offer::{ANSWER, AWAY, FAILED, LANE_BYTES, MAX_SMALL_BYTES, OVER_MEMORY, Offer, Trailer};
use crate::{
    BoxError, Commands, Shared, Turn,
    child::{
        Begun, panics,
        running::{End, Running},
    },
    message::{Failure, Message},
    process::Dispatched,
};

/// Short tasks are done in a row for so long; then the event loop has its turn (a stop, a call, a watched descriptor).
const SLICE: Duration = Duration::from_millis(1);
/// A pool that naps is woken when so many results wait, or sooner when the worker runs out of tasks.
const WORTH_WAKING: u32 = 32;
/// How often a worker looks at its own memory: reading `/proc` costs some 10 µs.
const WEIGH_EVERY: Duration = Duration::from_millis(20);

/// A worker's tasks and results.
#[derive(Debug)]
pub(crate) struct Bench {
    socket: Socket,
    tasks: Reader,
    results: Writer,
    /// Tasks whose content came by the socket before their turn in the lane.
    away: VecDeque<Packet>,
    /// Results that the pool was not told of yet.
    untold: u32,
    body: Vec<u8>,
    max_memory: Option<u64>,
    weighed: Option<Instant>,
    /// The asynchronous task that it is at, and what its wake-ups ring. One at a time, as with the others: a worker's death
    /// costs one task.
    at: Option<At>,
    waker: Waker,
}

#[derive(Debug)]
struct At {
    running: Running,
    since: Instant,
}

/// What came of a task so far.
enum Performed {
    Done(Result<Packet, String>),
    Begun(Begun),
}

impl Bench {
    /// Takes what the pool offers.
    pub(crate) fn join(message: &Message, waker: Waker) -> Result<Self, BoxError> {
        let offer: Offer = message.read()?;
        Ok(Self {
            socket: Socket::from_owned(offer.socket.into_owned()?),
            tasks: Lane::open(&offer.tasks, LANE_BYTES)?.reader(),
            results: Lane::open(&offer.results, LANE_BYTES)?.writer(),
            away: VecDeque::new(),
            untold: 0,
            body: Vec::new(),
            max_memory: offer.max_memory,
            weighed: None,
            at: None,
            waker,
        })
    }

    /// Does tasks for about a millisecond, or one that takes longer; an asynchronous one until it awaits something.
    pub(crate) fn work<P: Commands>(&mut self, shared: &Shared<P>) -> Result<Turn, BoxError> {
        self.tasks.awake();
        let begun = Instant::now();
        let mut now = begun;
        while now.duration_since(begun) < SLICE {
            if self.at.is_some() {
                let Some(ended) = self.go_on()? else { return Ok(Turn::Sleep) };
                now = ended;
                continue;
            }
            let Some(entry) = self.tasks.begin(&mut self.body)? else {
                self.tell(Sleep::Napping)?;
                // What the socket says is only that there is something in the lane, or will be.
                self.clear_socket()?;
                return Ok(if self.tasks.sleep(Sleep::Asleep) { Turn::Sleep } else { Turn::Again });
            };
            let command = match entry.tag {
                AWAY => self.fetch(entry.id)?,
                _ => Packet { bytes: std::mem::take(&mut self.body), descriptors: Vec::new() },
            };
            shared.with_context(|_, cx| cx.progress());
            let performed = perform(shared, &command);
            let ended = Instant::now();
            let took_ns = u64::try_from(ended.duration_since(now).as_nanos()).unwrap_or(u64::MAX);
            // The room is used again, unless it is a large task's: a worker keeps no 100 MB for nothing.
            self.body = if entry.tag == AWAY { Vec::new() } else { command.bytes };
            match performed {
                Performed::Done(done) => {
                    self.report(entry.id, took_ns, done, ended)?;
                    self.tasks.finish();
                    now = ended;
                }
                Performed::Begun(begun) => {
                    self.at = Some(At { running: Running::new(entry.id, begun), since: now });
                }
            }
        }
        Ok(Turn::Again)
    }

    /// Goes on with the asynchronous task. Gives when it ended, if it has.
    fn go_on(&mut self) -> Result<Option<Instant>, BoxError> {
        let Some(at) = &mut self.at else { return Ok(None) };
        let Poll::Ready((id, end)) = Pin::new(&mut at.running).poll(&mut Context::from_waker(&self.waker)) else {
            // It may take long: the pool hears of what was done before, and what it sends isn't left to keep us awake.
            self.tell(Sleep::Napping)?;
            self.clear_socket()?;
            return Ok(None);
        };
        let ended = Instant::now();
        let took_ns = u64::try_from(ended.duration_since(at.since).as_nanos()).unwrap_or(u64::MAX);
        self.at = None;
        let done = match end {
            End::Answered(answer) => Ok(answer),
            End::Failed(failure) => Err(text(failure)),
            End::Cancelled => Err("it was cancelled".to_owned()),
        };
        self.report(id, took_ns, done, ended)?;
        self.tasks.finish();
        Ok(Some(ended))
    }

    /// The content of a task that was too large for the lane. It was sent before the lane told of it.
    fn fetch(&mut self, id: u64) -> Result<Packet, BoxError> {
        loop {
            if let Some(mut packet) = self.away.pop_front() {
                // The content of tasks that were taken back comes too.
                if Trailer::cut(&mut packet.bytes).is_some_and(|trailer| trailer.id == id) {
                    return Ok(packet);
                }
            } else {
                let packet = self.socket.receive()?;
                self.keep(packet);
            }
        }
    }

    fn clear_socket(&mut self) -> Result<(), BoxError> {
        loop {
            match self.socket.try_receive() {
                Ok(packet) => self.keep(packet),
                Err(ReceiveError::Empty) => return Ok(()),
                Err(error) => return Err(error.into()),
            }
        }
    }

    fn keep(&mut self, packet: Packet) {
        // An empty one is only a bell.
        if !packet.bytes.is_empty() {
            self.away.push_back(packet);
        }
    }

    fn report(&mut self, id: u64, took_ns: u64, done: Result<Packet, String>, now: Instant) -> Result<(), BoxError> {
        let (mut tag, mut packet) = match done {
            Ok(answer) => (ANSWER, answer),
            Err(why) => (FAILED, Packet::encode(&why)?),
        };
        if self.is_over_memory(now) {
            tag |= OVER_MEMORY;
        }
        let small = packet.descriptors.is_empty() && packet.bytes.len() <= MAX_SMALL_BYTES;
        if small && self.results.push(Entry { id, tag, note: took_ns }, &packet.bytes)?.is_some() {
            self.untold += 1;
            return self.tell(if self.untold < WORTH_WAKING { Sleep::Asleep } else { Sleep::Napping });
        }
        // Too large for the lane, or the lane is full: the pool sees the socket too. It always reads it, so waiting
        // here can't last.
        let trailer = Trailer { id, tag, took_ns };
        trailer.append(&mut packet.bytes);
        match self.socket.send(&packet) {
            Ok(()) => Ok(()),
            Err(SendError::Gone) => Err("report a task: the pool is gone".into()),
            Err(error) => {
                // It can't be sent as it is (too many descriptors, no memory): that is this task's error.
                let why = format!("its answer could not be sent: could not {error}");
                let mut packet = Packet::encode(&why)?;
                Trailer { tag: FAILED, ..trailer }.append(&mut packet.bytes);
                Ok(self.socket.send(&packet)?)
            }
        }
    }

    /// Wakes the pool if it sleeps at least as deeply as `from`.
    fn tell(&mut self, from: Sleep) -> Result<(), BoxError> {
        if self.untold == 0 {
            return Ok(());
        }
        let sleep = self.results.reader();
        if sleep == Sleep::Awake || (sleep == Sleep::Napping && from == Sleep::Asleep) {
            return Ok(());
        }
        self.untold = 0;
        if !self.results.wake() {
            return Ok(());
        }
        match self.socket.try_send(&Packet::default()) {
            // A full socket is one that the pool is about to look at.
            Ok(()) | Err(SendError::Full) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    fn is_over_memory(&mut self, now: Instant) -> bool {
        let Some(max) = self.max_memory else { return false };
        if self.weighed.is_some_and(|weighed| now.duration_since(weighed) < WEIGH_EVERY) {
            return false;
        }
        self.weighed = Some(now);
        resident_bytes().is_some_and(|resident| resident > max)
    }
}

impl AsFd for Bench {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

fn perform<P: Commands>(shared: &Shared<P>, command: &Packet) -> Performed {
    let done = match command.decode::<P::Command>() {
        // A panic is the error of that task. What it may have left half done is the handler's own.
        Ok(command) => match catch_unwind(AssertUnwindSafe(|| P::dispatch(shared, command))) {
            Ok(Dispatched::Done(answer)) => answer.map_err(|error| format!("could not {error}")),
            Ok(Dispatched::Begun(begun)) => return Performed::Begun(begun),
            Err(panic) => Err(text(panics::failure(&*panic))),
        },
        Err(error) => Err(format!("could not {error}")),
    };
    Performed::Done(done)
}

fn text(Failure { why, trace }: Failure) -> String {
    match trace {
        Some(trace) => format!("{why} (by way of\n{trace})"),
        None => why,
    }
}

fn resident_bytes() -> Option<u64> {
    let pages: u64 = fs::read_to_string("/proc/self/statm").ok()?.split(' ').nth(1)?.parse().ok()?;
    Some(pages * rustix::param::page_size() as u64)
}
