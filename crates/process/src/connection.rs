//! What callers and the supervisor share about one process, over all its incarnations.

mod send;

use std::{
    collections::{HashMap, VecDeque},
    fmt,
    sync::{
        Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError, Weak,
        atomic::{AtomicBool, AtomicU64, Ordering, fence},
    },
    task::Waker,
    time::{Duration, Instant},
};

use shm::{
    doorbell::Doorbell,
    wire::{Packet, SendError},
};

use crate::{
    CallError, Change, DuringRestart, Exit, Overflow, State,
    answer::Answer,
    events::EventQueue,
    line::Line,
    message::{Failure, Kind, Lost, Message},
    wakers::{Place, Wakers},
    word::Word,
};

pub(crate) use self::send::NotPut;

#[derive(Debug)]
pub(crate) struct Connection {
    pub name: String,
    during_restart: DuringRestart,
    opened: Condvar,
    next_id: AtomicU64,
    inner: Mutex<Inner>,
    pub(crate) events: EventQueue,
    record: Mutex<Record>,
    record_changed: Condvar,
    /// Who awaits its end.
    ends: Arc<Wakers>,
    /// Who awaits an incarnation to call, or room in its line.
    callers: Arc<Wakers>,
    detached: AtomicBool,
    takes_no_calls: AtomicBool,
    witness: Option<Witness>,
    /// The supervisor's.
    bell: OnceLock<Doorbell>,
    /// Whether there is something that couldn't be told: so that asking costs no lock.
    has_untold: AtomicBool,
}

/// When a process that had no room for a [`Word`] is told it again; twice as long each time that nothing was read. It always
/// reads, by one thread or the other, unless it is stopped (SIGSTOP): that one isn't worth many wake-ups.
const TELL_AGAIN_AFTER: Duration = Duration::from_millis(2);
const TELL_AGAIN_WITHIN: Duration = Duration::from_secs(1);
/// Of a stop: its time runs.
const TELL_STOP_WITHIN: Duration = Duration::from_millis(20);

/// What happens to a process, for its [`Witness`].
#[derive(Debug)]
pub(crate) enum Life {
    /// An incarnation is ready.
    Opened,
    /// It has ended.
    Closed(Exit),
    /// There will be no further one.
    Over,
}

/// Whoever is told of a process's life as it goes, on the supervisor's thread: it must not wait.
pub(crate) struct Witness(pub Box<dyn Fn(Life) + Send + Sync>);

impl fmt::Debug for Witness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Witness")
    }
}

/// What is known of a process's life.
#[derive(Clone, Debug)]
pub(crate) struct Record {
    pub state: State,
    pub pid: Option<i32>,
    pub restarts: u64,
    pub recycled: u64,
    pub exit: Option<(Exit, Vec<String>)>,
}

impl Record {
    fn take_down(&mut self, change: &Change) {
        self.state = change.state;
        self.pid = change.pid;
        self.restarts = change.restarts;
        self.recycled = change.recycled;
        if change.exit.is_some() {
            self.exit.clone_from(&change.exit);
        }
    }

    /// How it ended, if that was for good.
    pub(crate) fn end(self) -> Option<Exit> {
        let over = matches!(self.state, State::Exited | State::Failed);
        // One that was stopped while it waited to be started again ended by its earlier end.
        self.exit.filter(|_| over).map(|(exit, _)| exit)
    }
}

#[derive(Debug, Default)]
struct Inner {
    line: Option<Arc<Line>>,
    /// The number of the incarnation that takes calls, or that was the last to do so.
    incarnation: u64,
    /// How many calls that was sent. Each has a count of its own, as a call may be under way while one ends.
    sent: Arc<AtomicU64>,
    /// The one before, if it was replaced as planned and finishes what it has begun.
    retiring: Option<Retiring>,
    /// The one that was launched last, which may not be ready yet.
    latest: (u64, Weak<Line>),
    /// Calls in flight, each with the incarnation that has it.
    pending: HashMap<u64, (u64, Arc<Answer>)>,
    /// What incarnations couldn't be told yet.
    untold: VecDeque<(u64, Word)>,
    /// When they are told again, and how long that was put off.
    tell_at: Option<(Instant, Duration)>,
    last_exit: Option<Exit>,
    /// There will be no further incarnation.
    over: bool,
}

#[derive(Debug)]
struct Retiring {
    incarnation: u64,
    line: Weak<Line>,
    /// How many of its calls aren't answered.
    pending: usize,
}

impl Inner {
    fn take_pending(&mut self, id: u64) -> Option<(u64, Arc<Answer>)> {
        let taken = self.pending.remove(&id)?;
        if let Some(retiring) = self.retiring.as_mut().filter(|retiring| retiring.incarnation == taken.0) {
            retiring.pending -= 1;
        }
        Some(taken)
    }

    /// Whether one that was replaced has answered all its calls.
    fn has_finished(&self, incarnation: u64) -> bool {
        let retiring = self.retiring.as_ref().filter(|retiring| retiring.incarnation == incarnation);
        retiring.is_some_and(|retiring| retiring.pending == 0)
    }

    fn line_of(&self, incarnation: u64) -> Option<Arc<Line>> {
        match &self.retiring {
            Some(retiring) if retiring.incarnation == incarnation => retiring.line.upgrade(),
            _ if self.latest.0 == incarnation => self.latest.1.upgrade(),
            _ => self.line.clone().filter(|_| self.incarnation == incarnation),
        }
    }
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing that runs under these locks can leave them half done.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Connection {
    pub(crate) fn new(
        name: String,
        overflow: Overflow,
        during_restart: DuringRestart,
        witness: Option<Witness>,
    ) -> Arc<Self> {
        Arc::new(Self {
            name,
            during_restart,
            opened: Condvar::new(),
            next_id: AtomicU64::new(1),
            inner: Mutex::default(),
            events: EventQueue::new(overflow),
            record: Mutex::new(Record { state: State::Starting, pid: None, restarts: 0, recycled: 0, exit: None }),
            record_changed: Condvar::new(),
            ends: Arc::default(),
            callers: Arc::default(),
            detached: AtomicBool::new(false),
            takes_no_calls: AtomicBool::new(false),
            witness,
            bell: OnceLock::new(),
            has_untold: AtomicBool::new(false),
        })
    }

    pub(crate) fn record(&self) -> Record {
        lock(&self.record).clone()
    }

    /// Takes down a change, and wakes whoever waits for it.
    pub(crate) fn take_down(&self, change: &Change) {
        lock(&self.record).take_down(change);
        self.tell_of_record();
    }

    fn tell_of_record(&self) {
        self.record_changed.notify_all();
        self.ends.wake_all();
    }

    /// How it ended, if that was for good; else `waker` is woken at its next change.
    pub(crate) fn poll_end(&self, place: &mut Place, waker: &Waker) -> Option<Exit> {
        // First the waker, then the look: a change in between wakes it.
        place.take(&self.ends, waker);
        self.record().end()
    }

    /// Whether calls wait for the incarnation at work to look at them, if it has looked at so many. What it goes on with
    /// later, in an asynchronous command, isn't waiting for it.
    pub(crate) fn has_untaken(&self, taken: u64) -> bool {
        lock(&self.inner).sent.load(Ordering::Relaxed) > taken
    }

    /// An incarnation was launched: it may be told things, and say events, before it is ready.
    pub(crate) fn launched(&self, incarnation: u64, line: &Arc<Line>) {
        lock(&self.inner).latest = (incarnation, Arc::downgrade(line));
        self.events.launched(incarnation, self);
    }

    /// Tells an incarnation that so many of its events were read. `false` if that isn't launched yet.
    pub(crate) fn tell_read(&self, incarnation: u64, count: u64) -> bool {
        let inner = lock(&self.inner);
        let is_launched = incarnation <= inner.latest.0;
        if is_launched {
            self.tell_word(inner, incarnation, Word::Read(count));
        }
        is_launched
    }

    /// Asks an incarnation to stop, and sends it no further call; it is killed then. Calls that come now end as those do that
    /// it has.
    pub(crate) fn tell_stop(&self, incarnation: u64, kill_at: Option<Instant>) {
        let inner = lock(&self.inner);
        inner.line_of(incarnation).inspect(|line| line.hush());
        self.tell_word(inner, incarnation, Word::Stop { kill_at });
    }

    /// The incarnations that may be saying something: the one at work, the one that it has replaced, and one to come.
    pub(crate) fn speaking(&self) -> impl Iterator<Item = u64> + use<> {
        let inner = lock(&self.inner);
        let retiring = inner.retiring.as_ref().map(|retiring| retiring.incarnation);
        let coming = Some(inner.latest.0).filter(|latest| *latest != inner.incarnation);
        [Some(inner.incarnation), retiring, coming].into_iter().flatten()
    }

    /// Waits until it has ended for good, but not beyond `end`.
    pub(crate) fn join(&self, end: Option<Instant>) -> Option<Exit> {
        let mut record = lock(&self.record);
        loop {
            if let Some(exit) = record.clone().end() {
                return Some(exit);
            }
            record = match end.map(|end| end.saturating_duration_since(Instant::now())) {
                None => self.record_changed.wait(record).unwrap_or_else(PoisonError::into_inner),
                Some(Duration::ZERO) => return None,
                Some(left) => self.record_changed.wait_timeout(record, left).unwrap_or_else(PoisonError::into_inner).0,
            };
        }
    }

    /// Its process is a program that isn't ours.
    pub(crate) fn takes_no_calls(&self) {
        self.takes_no_calls.store(true, Ordering::Relaxed);
    }

    pub(crate) fn detach(&self) {
        self.detached.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_detached(&self) -> bool {
        self.detached.load(Ordering::Relaxed)
    }

    pub(crate) fn next_id(&self) -> u64 {
        self.next_id.fetch_add(1, Ordering::Relaxed)
    }

    /// The answer to `id` isn't wanted any more.
    fn forget(&self, id: u64) {
        lock(&self.inner).take_pending(id);
    }

    /// The answer to `id` isn't wanted any more, and the process is told: an asynchronous command would otherwise go on
    /// for nobody.
    pub(crate) fn cancel(&self, id: u64) {
        let mut inner = lock(&self.inner);
        let Some((incarnation, _)) = inner.take_pending(id) else { return };
        self.tell_word(inner, incarnation, Word::Cancel(id));
    }

    /// Tells an incarnation something, now or a little later. This never waits.
    fn tell_word(&self, mut inner: MutexGuard<'_, Inner>, incarnation: u64, word: Word) {
        let former = inner.untold.iter_mut().find(|(of, known)| *of == incarnation && matches!(known, Word::Read(_)));
        match (former, word) {
            (Some((_, Word::Read(untold))), Word::Read(more)) => *untold = untold.saturating_add(more),
            _ => inner.untold.push_back((incarnation, word)),
        }
        // While something waits to be told again there was no room just now; but a stop can't wait.
        if inner.tell_at.is_some() && !word.is_stop() || Self::tell_untold(&mut inner) {
            return;
        }
        inner.tell_at = Some((Instant::now() + TELL_AGAIN_AFTER, TELL_AGAIN_AFTER));
        self.has_untold.store(true, Ordering::Relaxed);
        drop(inner);
        if let Some(bell) = self.bell.get() {
            bell.ring(); // so that it looks at `tell_at`
        }
    }

    /// The supervisor is to call [`tell_again`](Self::tell_again) then.
    pub(crate) fn tell_at(&self) -> Option<Instant> {
        // Whoever set this rings the supervisor's bell thereafter, so a stale answer doesn't last.
        self.has_untold.load(Ordering::Relaxed).then(|| lock(&self.inner).tell_at.map(|(at, _)| at)).flatten()
    }

    pub(crate) fn tell_again(&self) {
        let mut inner = lock(&self.inner);
        let before = inner.untold.len();
        let is_done = Self::tell_untold(&mut inner);
        let within = match inner.untold.iter().any(|(_, word)| word.is_stop()) {
            true => TELL_STOP_WITHIN,
            false => TELL_AGAIN_WITHIN,
        };
        let put_off = match inner.tell_at {
            // It has told none, so nothing was read.
            Some((_, put_off)) if inner.untold.len() == before => (put_off * 2).min(within),
            _ => TELL_AGAIN_AFTER,
        };
        inner.tell_at = (!is_done).then(|| (Instant::now() + put_off, put_off));
        self.has_untold.store(!is_done, Ordering::Relaxed);
    }

    /// Whether all was told. What one has no room for doesn't hold up another.
    fn tell_untold(inner: &mut Inner) -> bool {
        let mut full = Vec::new();
        for (incarnation, word) in std::mem::take(&mut inner.untold) {
            let is_full = |line: Arc<Line>| matches!(line.tell(&word.message()), Err(SendError::Full));
            // One that has ended, or is dying, needn't be told.
            if full.contains(&incarnation) || inner.line_of(incarnation).is_some_and(is_full) {
                full.push(incarnation);
                inner.untold.push_back((incarnation, word));
            }
        }
        inner.untold.is_empty()
    }

    /// Its supervisor's, to be rung when something couldn't be told.
    pub(crate) fn set_bell(&self, bell: &Doorbell) {
        let _ = self.bell.set(bell.clone()); // a process has one supervisor
    }

    fn tell_waiting(&self) {
        self.opened.notify_all();
        self.callers.wake_all();
    }

    /// A new incarnation is ready for calls, which is this change. If there is another one, that keeps those that it has.
    ///
    /// Nobody sees the one without the other: whoever is told that the process is ready can call it, and whoever was
    /// answered finds it ready.
    pub(crate) fn open(&self, incarnation: u64, line: Arc<Line>, change: &Change) {
        let mut record = lock(&self.record);
        record.take_down(change);
        let mut inner = lock(&self.inner);
        let former = inner.incarnation;
        if let Some(line) = inner.line.replace(line) {
            let pending = inner.pending.values().filter(|(asked, _)| *asked == former).count();
            inner.retiring = Some(Retiring { incarnation: former, line: Arc::downgrade(&line), pending });
        }
        inner.incarnation = incarnation;
        inner.sent = Arc::default();
        inner.last_exit = None;
        // Before anybody is woken: a waker may look at both.
        drop(inner);
        drop(record);
        self.tell_of_record();
        self.tell_waiting();
        self.tell(Life::Opened);
    }

    /// Whether a retiring incarnation has nothing left to answer, and nobody is about to send it anything. `line` is the
    /// supervisor's own.
    pub(crate) fn is_drained(&self, incarnation: u64, line: &Arc<Line>) -> bool {
        let inner = lock(&self.inner);
        let waits = |retiring: &Retiring| retiring.incarnation == incarnation && retiring.pending > 0;
        if inner.retiring.as_ref().is_some_and(waits) {
            return false;
        }
        // A caller that took the socket before the replacement did holds it until its call is sent; no other can get it for
        // that any more. So once ours is the only one, what is sent next is behind all calls.
        let is_last = Arc::strong_count(line) == 1;
        fence(Ordering::Acquire); // with the `Release` in the drop of an `Arc`, which the standard library promises
        is_last
    }

    fn tell(&self, life: Life) {
        if let Some(witness) = &self.witness {
            witness.0(life);
        }
    }

    /// An incarnation has ended: every call that it had ends too.
    pub(crate) fn close(&self, incarnation: u64, how: &Exit) {
        let mut inner = lock(&self.inner);
        let is_last = incarnation >= inner.incarnation;
        if is_last {
            inner.line = None;
            inner.last_exit = Some(how.clone());
        } else if inner.retiring.as_ref().is_some_and(|retiring| retiring.incarnation == incarnation) {
            inner.retiring = None;
        }
        let pending: Vec<_> = inner.pending.extract_if(|_, (asked, _)| *asked == incarnation).collect();
        drop(inner);
        self.callers.wake_all();
        for (_, (_, answer)) in pending {
            answer.give(Err(CallError::Died { name: self.name.clone(), how: how.clone() }));
        }
        if is_last {
            self.tell(Life::Closed(how.clone()));
        }
    }

    /// There will be no further incarnation.
    pub(crate) fn end(&self) {
        let mut inner = lock(&self.inner);
        inner.over = true;
        drop(inner);
        self.tell_waiting();
        self.events.end();
        self.tell(Life::Over);
    }

    /// Brings an answer to whoever waits for it, and says whether the supervisor wants to know that it came. What is none is
    /// given back: it is the supervisor's.
    pub(crate) fn deliver(&self, line: &Line, message: Message) -> Result<bool, Message> {
        let answer = match message.kind {
            Kind::Answer => Ok(message.body),
            Kind::CallFailed => {
                let failure = message.read::<Failure>();
                let Failure { why, trace } =
                    failure.unwrap_or_else(|error| Failure { why: error.to_string(), trace: None });
                Err(CallError::HandlerFailed { name: self.name.clone(), why, trace })
            }
            _ => return Err(message),
        };
        Ok(self.give(line, message.id, answer))
    }

    /// As [`deliver`](Self::deliver), of a message that couldn't be received: if it was an answer, that is its call's error.
    pub(crate) fn deliver_lost(&self, line: &Line, lost: Lost) -> Result<bool, Lost> {
        if !matches!(lost.kind, Kind::Answer | Kind::CallFailed) {
            return Err(lost);
        }
        Ok(self.give(line, lost.id, Err(CallError::BadMessage { name: self.name.clone(), why: lost.why })))
    }

    fn give(&self, line: &Line, id: u64, answer: Result<Packet, CallError>) -> bool {
        let tells = line.count_answer();
        // An answer that nobody waits for any more came too late.
        let mut inner = lock(&self.inner);
        let waiting = inner.take_pending(id);
        let is_last = waiting.as_ref().is_some_and(|(incarnation, _)| inner.has_finished(*incarnation));
        drop(inner);
        if let Some((_, waiting)) = waiting {
            waiting.give(answer);
        }
        tells || is_last
    }
}
