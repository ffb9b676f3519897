//! The protocols under every interleaving that the memory model allows, with a death at each of their points, and controls
//! that must fail. That a sleeper isn't woken is a deadlock, which loom reports.

#![expect(clippy::unwrap_used, reason = "a test's unwrap is an assertion")]

mod barrier;
mod condition;
mod event;
mod mutex;
mod rwlock;
mod semaphore;

use std::{cell::Cell, time::Instant};

use loom::{cell::UnsafeCell, sync::Arc};

use crate::{
    arena::{Members, Owner},
    crash::doomed,
    futex::{self, Outcome},
    sync::{AtomicU32, Ordering},
};

/// Explores `model` with at most so many preemptions: two find nearly everything, and each more costs ten times the time.
pub(crate) fn explore(preemptions: usize, model: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = builder.preemption_bound.or(Some(preemptions));
    builder.check(model);
}

/// Explores a model with a death at each of a protocol's points in turn, of which there are fewer than `points`, and checks
/// that there were deaths at all.
fn explore_deaths(preemptions: usize, points: u32, model: impl Fn(u32) + Clone + Sync + Send + 'static) {
    let mut deadly = 0;
    for point in 0..points {
        let before = DEATHS.with(Cell::get);
        let model = model.clone();
        explore(preemptions, move || model(point));
        deadly += u32::from(DEATHS.with(Cell::get) > before);
    }
    assert!(deadly >= 4, "only {deadly} points were met");
    assert!(deadly < points, "there may be more points than {points}");
}

std::thread_local! {
    /// Loom runs all threads of a model on the test's own.
    static DEATHS: Cell<u64> = const { Cell::new(0) };
}

/// Checks that a broken protocol has an interleaving in which somebody sleeps for ever. Loom reports that by a panic in the
/// middle of its own work, which ends the process: so it is done in one of its own, which runs the test of this `name` again.
pub(crate) fn must_deadlock(module: &str, name: &str, model: impl Fn() + Sync + Send + 'static) {
    const CONTROL: &str = "SHM_TEST_CONTROL";
    if std::env::var_os(CONTROL).is_some() {
        explore(3, model);
        return;
    }
    let test = format!("{}::{name}", module.split_once("::").unwrap().1);
    let mut again = std::process::Command::new(std::env::current_exe().unwrap());
    let ended = again.args(["--exact", &test, "--nocapture"]).env(CONTROL, "1").output().unwrap();
    let told = String::from_utf8_lossy(&ended.stderr);
    assert!(!ended.status.success() && told.contains("deadlock; threads"), "{:?} {told}", ended.status);
}

/// Who lives.
pub(crate) struct World {
    dead: [AtomicU32; 3],
    deaths: AtomicU32,
    /// What the locks protect: loom checks that nobody reads or writes it while another one writes.
    value: UnsafeCell<u32>,
}

impl World {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            dead: std::array::from_fn(|_| AtomicU32::new(0)),
            deaths: AtomicU32::new(0),
            value: UnsafeCell::new(0),
        })
    }

    /// Some time after a death whoever sleeps in slices looks again; and again, after whatever others did meanwhile who
    /// hadn't heard of it yet. Without a death a model mustn't need this.
    fn slices_end(&self) {
        self.deaths.fetch_add(1, Ordering::Release);
        futex::death();
    }

    fn add(&self, more: u32) {
        // SAFETY: loom itself checks that nothing overlaps this; that is what these tests are for.
        self.value.with_mut(|value| unsafe { *value += more });
    }

    fn value(&self) -> u32 {
        // SAFETY: as in `add`.
        self.value.with(|value| unsafe { *value })
    }
}

/// A process of one thread.
pub(crate) struct Member {
    world: Arc<World>,
    me: Owner,
    /// How many deaths there had been when it last went to sleep.
    seen: Cell<u32>,
}

impl Member {
    pub(crate) fn new(world: &Arc<World>, slot: u16) -> Self {
        Self { world: world.clone(), me: Owner::new(slot, 1).unwrap(), seen: Cell::new(0) }
    }

    /// Lives up to a point, and then is dead. Says whether it came to the end before.
    pub(crate) fn live(&self, points: u32, life: impl FnOnce()) -> bool {
        let survived = doomed::live(points, life);
        if !survived {
            self.die();
        }
        survived
    }

    fn die(&self) {
        DEATHS.with(|deaths| deaths.set(deaths.get() + 1));
        self.world.dead[usize::from(self.me.slot())].store(1, Ordering::Release);
        self.world.slices_end();
    }
}

impl Members for Member {
    fn me(&self) -> Owner {
        self.me
    }

    fn is_dead(&self, owner: Owner) -> bool {
        self.world.dead[usize::from(owner.slot())].load(Ordering::Acquire) != 0
    }

    fn wait_for_owner(&self, word: &AtomicU32, expected: u32, owner: Owner, until: Option<Instant>) -> Outcome {
        let dead = (&self.world.dead[usize::from(owner.slot())], 0);
        let seen = self.seen.replace(self.world.deaths.load(Ordering::Relaxed));
        futex::wait(&[(word, expected), dead, (&self.world.deaths, seen)], until)
    }

    fn wait_a_while(&self, word: &AtomicU32, expected: u32, until: Option<Instant>) -> Outcome {
        // A slice ends some time after a death: so after each there is one more look.
        let seen = self.seen.replace(self.world.deaths.load(Ordering::Relaxed));
        futex::wait(&[(word, expected), (&self.world.deaths, seen)], until)
    }
}

/// A limit, which in loom's world may pass at once.
fn soon() -> Option<Instant> {
    Some(Instant::now())
}
