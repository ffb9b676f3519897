//! Which zygote there is, and what is done when there is none.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use shm::{status::StatusPage, wire::SendError};

use super::{
    Blueprint, Ends, Launched, Prepared,
    inherited::{Environment, folder},
    zygote::{Errand, Grave, Signs, Trouble, Zygote},
};
use crate::{BoxError, Executable, logs::later};

/// How long a zygote may take to answer before children are made without it: the supervisor waits so long at most, and once.
/// An answer takes a tenth of a millisecond; on a machine so loaded that it takes a thousand times as long, exec isn't worse.
const PATIENCE: Duration = Duration::from_millis(250);

/// How long it may take if it isn't stuck, but waits for a processor, as when hundreds of its copies start at once. `posix_spawn`,
/// which it replaces, waits without a limit for its child to have one.
const PATIENCE_WITH_A_BUSY_ONE: Duration = Duration::from_secs(5);

/// How long a zygote may take to become one, if whoever waits for it has no more time; children are started by exec meanwhile. A
/// `main` may load much before.
const START_WITHIN: Duration = Duration::from_secs(30);

/// After a zygote that didn't do its work, the next one is tried after so long, and then twice as long, up to the longest.
const FIRST_DELAY: Duration = Duration::from_secs(1);
const LONGEST_DELAY: Duration = Duration::from_secs(60);

/// So many zygotes at once: this program's own, or those of an interpreter, with one choice of modules each. Beyond, the one that
/// wasn't asked for longest ends.
const MOST: usize = 4;

/// A system's zygotes. Clones are the same. They are started and asked from the supervisor's thread alone, whose children they
/// are.
#[derive(Clone, Debug, Default)]
pub(crate) struct Launchers(Arc<Mutex<House>>);

#[derive(Debug, Default)]
struct House {
    /// The one asked last is the last.
    nurseries: Vec<Nursery>,
    /// Of nurseries that aren't there any more.
    graves: Vec<Grave>,
    is_closed: bool,
}

#[derive(Debug)]
struct Nursery {
    /// What becomes its zygote; `None`: this program.
    of: Option<Executable>,
    state: State,
    /// How long it may take to become one.
    start_within: Duration,
    /// How long the last one's failure keeps us from trying again.
    delay: Option<Duration>,
    /// Zygotes that were killed and whose status, or that of a child which nobody took, couldn't be had yet.
    graves: Vec<Grave>,
}

#[derive(Debug, Default)]
enum State {
    #[default]
    None,
    /// It hasn't said yet whether it can be one.
    Young(Zygote),
    Fit(Zygote),
    /// One has failed.
    Off {
        until: Instant,
    },
    /// There can be none.
    Never,
}

impl Launchers {
    /// Has a child made, and sends it its first messages. `None`: it can't be done this way, and the log says why.
    pub(super) fn by_zygote(
        &self,
        blueprint: &Blueprint,
        kind: &str,
        status: &StatusPage,
        event_credit: Option<u64>,
        asked_at: Instant,
    ) -> Result<Option<Launched>, BoxError> {
        let mut house = self.lock();
        let Some(nursery) = house.nursery(blueprint.zygote()) else { return Ok(None) };
        let Some(zygote) = nursery.zygote(asked_at) else { return Ok(None) };
        let (prepared, Ends { line, stdout, stderr }) = Prepared::new()?;
        prepared.say_hello(blueprint, status, event_credit)?;
        let ours = if blueprint.has_our_environment { Environment::now() } else { Environment::default() };
        let variables = zygote.environment.until(&ours, &blueprint.environment);
        let folder = folder(blueprint.folder.as_deref())?;
        let errand = Errand::new(kind, &blueprint.name, line, [stdout.into(), stderr.into(), folder], variables);
        match zygote.ask(errand, PATIENCE, PATIENCE_WITH_A_BUSY_ONE) {
            Ok((pid, pidfd)) => {
                nursery.delay = None;
                // Only now can it begin: one that we don't know of never does. If it has ended already, its supervisor is about
                // to learn how.
                let said = prepared.say_config(blueprint);
                let launched = prepared.launched(pid, pidfd);
                match said {
                    Ok(()) | Err(SendError::Gone) => Ok(Some(launched)),
                    Err(error) => {
                        launched.reap();
                        Err(error.into())
                    }
                }
            }
            Err(trouble @ Trouble::Refused(_)) => {
                later!(warn, process = blueprint.name, "a child is started by exec: the zygote {trouble}");
                Ok(None)
            }
            Err(trouble) => {
                nursery.give_up(&trouble);
                Ok(None)
            }
        }
    }

    /// Starts such a zygote, if there is none, and doesn't wait for it.
    pub(crate) fn prepare(&self, of: &Executable, within: Duration) {
        if let Some(nursery) = self.lock().nursery(Some(of)) {
            nursery.start_within = nursery.start_within.max(within);
            nursery.tend(Instant::now());
        }
    }

    /// How far such a zygote is.
    pub(crate) fn progress(&self, of: &Executable) -> Progress {
        let mut house = self.lock();
        let Some(nursery) = house.nurseries.iter_mut().find(|nursery| nursery.of.as_ref() == Some(of)) else {
            return if house.is_closed { Progress::Over } else { Progress::None };
        };
        nursery.grow(Duration::ZERO);
        match &nursery.state {
            State::None => Progress::None,
            State::Fit(zygote) if zygote.is_over() => Progress::None,
            State::Young(zygote) => zygote.signs().map_or(Progress::Over, Progress::Young),
            State::Fit(_) => Progress::Fit,
            State::Off { .. } | State::Never => Progress::Over,
        }
    }

    /// Ends the zygotes: nobody is started any more.
    pub(crate) fn end(&self) {
        let mut house = self.lock();
        let end = Instant::now() + PATIENCE;
        house.is_closed = true;
        while !house.nurseries.is_empty() {
            house.clear(0);
        }
        house.graves.retain_mut(|grave| !grave.is_closed(end));
    }

    fn lock(&self) -> MutexGuard<'_, House> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How far a zygote is.
#[derive(Debug)]
pub(crate) enum Progress {
    /// There is none yet.
    None,
    /// It is becoming one; what tells of its next sign.
    Young(Signs),
    /// It can be asked.
    Fit,
    /// There can be none now, as the log says: children are started by exec.
    Over,
}

impl House {
    fn nursery(&mut self, of: Option<&Executable>) -> Option<&mut Nursery> {
        self.graves.retain_mut(|grave| !grave.is_closed(Instant::now()));
        if self.is_closed {
            return None;
        }
        let found = self.nurseries.iter().position(|nursery| nursery.of.as_ref() == of);
        let nursery = match found {
            Some(index) => self.nurseries.remove(index),
            None => {
                if self.nurseries.len() >= MOST {
                    // Somebody waits for one that is becoming one, and would have to start it again.
                    let is_over = |nursery: &Nursery| !matches!(nursery.state, State::Young(_));
                    self.clear(self.nurseries.iter().position(is_over)?);
                }
                let (of, state, start_within) = (of.cloned(), State::None, START_WITHIN);
                Nursery { of, state, start_within, delay: None, graves: Vec::new() }
            }
        };
        self.nurseries.push(nursery);
        self.nurseries.last_mut()
    }

    fn clear(&mut self, index: usize) {
        let mut nursery = self.nurseries.remove(index);
        nursery.bury(State::Never);
        self.graves.append(&mut nursery.graves);
    }
}

impl Nursery {
    /// The zygote, if one can be asked.
    fn zygote(&mut self, asked_at: Instant) -> Option<&Zygote> {
        self.tend(asked_at);
        self.grow(PATIENCE);
        match &mut self.state {
            State::Fit(zygote) => Some(zygote),
            State::Young(zygote) => {
                if !std::mem::replace(&mut zygote.is_late, true) {
                    later!(info, "children are started by exec until the zygote is ready");
                }
                None
            }
            _ => None,
        }
    }

    /// Has one, if there can be one; it may have a long way to go. It is wanted since `asked_at`.
    fn tend(&mut self, asked_at: Instant) {
        self.graves.retain_mut(|grave| !grave.is_closed(Instant::now()));
        match &mut self.state {
            State::Fit(zygote) if zygote.is_over() => {
                later!(info, pid = zygote.pid(), "the zygote has ended; there will be another one");
                self.bury(State::None);
            }
            State::Fit(zygote) | State::Young(zygote) => match zygote.is_as_we_were(asked_at) {
                Ok(true) => {}
                // It may have rights that we have given up.
                Ok(false) => {
                    later!(debug, "rights or limits have changed, and so the zygote");
                    self.bury(State::None);
                }
                // Out of descriptors, for example: then nothing is known, and exec will say what is wrong.
                Err(_) => return self.bury(State::None),
            },
            State::Off { until } if *until <= Instant::now() => self.state = State::None,
            _ => {}
        }
        if matches!(self.state, State::None) {
            match Zygote::start(self.of.as_ref()) {
                Ok(zygote) => self.state = State::Young(zygote),
                Err(error) => self.give_up(&Trouble::Broken(error.to_string())),
            }
        }
    }

    /// Hears what a young one says, until it has been there for so long.
    fn grow(&mut self, patience: Duration) {
        if let State::Young(zygote) = &mut self.state {
            match zygote.becomes_fit(zygote.started + patience) {
                Ok(true) => {
                    if let State::Young(zygote) = std::mem::take(&mut self.state) {
                        later!(debug, pid = zygote.pid(), "there is a zygote");
                        self.state = State::Fit(zygote);
                    }
                }
                Ok(false) if zygote.started.elapsed() < self.start_within => {}
                Ok(false) => self.give_up(&Trouble::Silent),
                Err(trouble) => self.give_up(&trouble),
            }
        }
    }

    /// There is none, for a while or for good.
    fn give_up(&mut self, trouble: &Trouble) {
        let next = if let Trouble::Unfit(why) = trouble {
            let told = format!("children are started by exec, since a zygote can't be: {why}");
            // For a program's own it is a way to start sooner; whoever names one wants what it has loaded.
            if self.of.is_some() {
                later!(warn, "{told}");
            } else {
                later!(info, "{told}");
            }
            State::Never
        } else if matches!((trouble, &self.state), (Trouble::Gone, State::Fit(zygote)) if zygote.has_worked.get()) {
            // Somebody has killed it, and nothing says that the next one would fare as badly.
            later!(info, "a child is started by exec: the zygote {trouble}");
            State::None
        } else {
            let delay = self.delay.map_or(FIRST_DELAY, |delay| (2 * delay).min(LONGEST_DELAY));
            later!(warn, "children are started by exec for {delay:?}: the zygote {trouble}");
            self.delay = Some(delay);
            State::Off { until: Instant::now() + delay }
        };
        self.bury(next);
    }

    /// Kills the zygote that there is.
    fn bury(&mut self, next: State) {
        if let State::Young(zygote) | State::Fit(zygote) = std::mem::replace(&mut self.state, next) {
            let mut grave = zygote.kill();
            if !grave.is_closed(Instant::now() + PATIENCE / 10) {
                self.graves.push(grave);
            }
        }
    }
}
