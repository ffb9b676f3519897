//! Says what the block is at while it takes long over one picture: the thread that would say so is the one that is busy.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant},
};

use graph::{BoxError, StatusPage, Text};
use signal_hook::low_level::raise;

/// A second look at whoever looks at pictures.
pub(super) struct Watch {
    state: Arc<Mutex<State>>,
    page: Arc<StatusPage>,
}

#[derive(Default)]
struct State {
    /// Whose picture is looked at, and since when.
    at: Option<(String, Instant)>,
    /// What else is wrong, to be shown again when it goes on.
    trouble: String,
    told: bool,
    traced: bool,
}

/// After this part of what it may take, it is said that it takes long.
const LONG: u32 = 4;

/// And after three of four it is likely to be killed: then it is written where it is.
const TOO_LONG: f64 = 0.75;

/// How often it is looked at. It costs some microseconds.
const LOOK_EVERY: Duration = Duration::from_millis(250);

impl Watch {
    /// Begins to watch; `limit` is how long a picture may take, before the process is taken for one that hangs. At `trace`, a
    /// signal, the interpreter writes where in Python all threads are (`faulthandler.register`).
    pub(super) fn begin(page: Arc<StatusPage>, limit: Option<Duration>, trace: i32) -> Result<Self, BoxError> {
        let state = Arc::new(Mutex::new(State::default()));
        if let Some(limit) = limit {
            let (state, page) = (state.clone(), page.clone());
            thread::Builder::new().name("watch".to_owned()).spawn(move || {
                loop {
                    thread::sleep(LOOK_EVERY.min(limit / LONG)); // sleep: nobody tells it, so that a picture costs no wake-up
                    look(&state, &page, limit, trace);
                }
            })?;
        }
        Ok(Self { state, page })
    }

    /// It looks at a picture until what this gives is dropped.
    pub(super) fn at(&self, camera: &str) -> Looking {
        let mut state = lock(&self.state);
        state.at = Some((camera.to_owned(), Instant::now()));
        (state.told, state.traced) = (false, false);
        Looking(self.state.clone(), self.page.clone())
    }

    /// Shows what is wrong with pictures.
    pub(super) fn show(&self, trouble: String) {
        self.page.set_text(Text::Trouble, &trouble);
        lock(&self.state).trouble = trouble;
    }
}

/// A picture is looked at.
#[must_use = "dropped, the picture is over"]
pub(super) struct Looking(Arc<Mutex<State>>, Arc<StatusPage>);

impl Drop for Looking {
    fn drop(&mut self) {
        let mut state = lock(&self.0);
        state.at = None;
        if state.told {
            self.1.set_text(Text::Trouble, &state.trouble);
        }
    }
}

fn look(state: &Mutex<State>, page: &StatusPage, limit: Duration, trace: i32) {
    let mut state = lock(state);
    let Some((camera, since)) = &state.at else { return };
    let (camera, long) = (camera.clone(), since.elapsed());
    if long < limit / LONG {
        return;
    }
    let says = format!(
        "it has been at one picture of {camera} for {:.1} s; after {:.1} s it counts as hanging and is started anew. If it needs so \
         long, give it more: --responsive-within",
        long.as_secs_f64(),
        limit.as_secs_f64()
    );
    page.set_text(Text::Trouble, &says);
    if !std::mem::replace(&mut state.told, true) {
        tracing::warn!("{says}");
    }
    if long >= limit.mul_f64(TOO_LONG) && !std::mem::replace(&mut state.traced, true) {
        drop(state);
        // To this very thread: it has no Python in it, so nothing is interrupted, and the handler needs no GIL.
        if let Err(error) = raise(trace) {
            tracing::warn!("could not write where it is: {error}");
        }
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}
