//! Says what the block is at while it takes long over its start or a picture: the thread that would say so is the one that is
//! busy.

use std::{
    fmt,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant},
};

use graph::{BoxError, StatusPage, Text};
use signal_hook::low_level::raise;

/// A second look at whoever works.
pub(super) struct Watch(Arc<Inner>);

struct Inner {
    state: Mutex<State>,
    /// Something is worked at, and it isn't looked at it.
    begun: Condvar,
    page: Arc<StatusPage>,
}

#[derive(Default)]
struct State {
    at: Option<Work>,
    /// What else is wrong, to be shown again when it goes on.
    trouble: String,
    /// Nothing was worked at when it was looked at last: it is looked at again when something is.
    sleeps: bool,
    is_over: bool,
}

/// What is worked at.
struct Work {
    what: What,
    since: Instant,
    /// How long it may take, before the process is taken for one that hangs.
    limit: Duration,
    told: bool,
    traced: bool,
}

/// What takes its time.
#[derive(Clone, Debug)]
pub(super) enum What {
    /// Loading the file of this name.
    Start(String),
    /// One picture of this camera.
    Picture(String),
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Start(file) => write!(f, "loading {file}"),
            Self::Picture(camera) => write!(f, "at one picture of {camera}"),
        }
    }
}

impl What {
    /// By what it is given more time.
    fn option(&self) -> &'static str {
        match self {
            Self::Start(_) => "--ready-within",
            Self::Picture(_) => "--responsive-within",
        }
    }
}

/// After this part of what it may take, it is said that it takes long.
const LONG: u32 = 4;

/// And after three of four it is likely to be killed: then it is written where it is.
const TOO_LONG: f64 = 0.75;

/// How often it is looked at, while something is worked at. It costs some microseconds.
const LOOK_EVERY: Duration = Duration::from_millis(250);

impl Watch {
    /// Begins to watch. At `trace`, a signal, the interpreter writes where in Python all threads are (`faulthandler.register`).
    pub(super) fn begin(page: Arc<StatusPage>, trace: i32) -> Result<Self, BoxError> {
        let inner = Arc::new(Inner { state: Mutex::default(), begun: Condvar::new(), page });
        let watched = inner.clone();
        thread::Builder::new().name("watch".to_owned()).spawn(move || watched.watch(trace))?;
        Ok(Self(inner))
    }

    /// This is worked at until what this gives is dropped; it may take so long, or as long as it likes.
    pub(super) fn at(&self, what: What, limit: Option<Duration>) -> Working {
        let mut state = self.0.lock();
        state.at = limit.map(|limit| Work { what, since: Instant::now(), limit, told: false, traced: false });
        if state.at.is_some() && std::mem::take(&mut state.sleeps) {
            self.0.begun.notify_one();
        }
        Working(self.0.clone())
    }

    /// Shows what is wrong with pictures.
    pub(super) fn show(&self, trouble: String) {
        self.0.page.set_text(Text::Trouble, &trouble);
        self.0.lock().trouble = trouble;
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.0.lock().is_over = true;
        self.0.begun.notify_one();
    }
}

/// Something is worked at.
#[must_use = "dropped, the work is over"]
pub(super) struct Working(Arc<Inner>);

impl Drop for Working {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        if state.at.take().is_some_and(|work| work.told) {
            self.0.page.set_text(Text::Trouble, &state.trouble);
        }
    }
}

impl Inner {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn watch(&self, trace: i32) {
        let mut state = self.lock();
        while !state.is_over {
            let Some(work) = &mut state.at else {
                state.sleeps = true;
                state = self.begun.wait(state).unwrap_or_else(PoisonError::into_inner);
                continue;
            };
            let look_again = LOOK_EVERY.min(work.limit / LONG);
            let is_stuck = self.look(work);
            drop(state);
            if is_stuck {
                // To this very thread: it has no Python in it, so nothing is interrupted, and the handler needs no GIL.
                if let Err(error) = raise(trace) {
                    tracing::warn!("could not write where it is: {error}");
                }
            }
            thread::sleep(look_again); // sleep: nobody tells it, so that a picture costs no wake-up
            state = self.lock();
        }
    }

    /// Says how long it takes, if that is long; gives whether it is to be written where it is.
    fn look(&self, work: &mut Work) -> bool {
        let (Work { what, limit, .. }, long) = (&*work, work.since.elapsed());
        if long < *limit / LONG {
            return false;
        }
        let says = format!(
            "it has been {what} for {:.1} s; after {:.1} s it counts as hanging and is ended. If it needs so long, give it more: {}",
            long.as_secs_f64(),
            limit.as_secs_f64(),
            what.option(),
        );
        self.page.set_text(Text::Trouble, &says);
        if !std::mem::replace(&mut work.told, true) {
            tracing::warn!("{says}");
        }
        long >= work.limit.mul_f64(TOO_LONG) && !std::mem::replace(&mut work.traced, true)
    }
}
