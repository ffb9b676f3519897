//! What all classes of queues are: a queue of values, and what this handle has of it.

use std::{
    os::fd::{AsFd, AsRawFd},
    sync::{Mutex, PoisonError},
};

use pyo3::{exceptions::PyValueError, prelude::*};
use shm::{
    arena::Arena,
    doorbell::Doorbell,
    queue::{Acknowledge, GetError, JoinError, PutError, Queue, QueueOptions, Ringing, TaskDoneError},
};

use super::{error as errors, lease::Lease};
use crate::{
    codec::{Codec, Value, passing},
    error::{self, Class},
    later::{self, Ended},
    sync::arena_error,
    wait::{self, Limit},
};

pub(super) struct Options {
    pub maxsize: i64,
    pub large_bytes: usize,
    pub descriptor_slots: Option<usize>,
    pub max_deliveries: u32,
    pub dead_letters: usize,
}

impl Options {
    /// How many may wait where the standard library has no limit: memory is paid for when the queue is made, some 1.5 MB for so many.
    const UNLIMITED: usize = 4096;
    /// How many items with large arrays or shared objects may be under way: each costs every process a descriptor.
    const SLOTS: usize = 16;

    fn build(self, acknowledge: Acknowledge) -> QueueOptions {
        let capacity = usize::try_from(self.maxsize).ok().filter(|size| *size > 0).unwrap_or(Self::UNLIMITED);
        QueueOptions {
            capacity,
            large_bytes: self.large_bytes,
            descriptor_slots: self.descriptor_slots.unwrap_or(capacity.min(Self::SLOTS)),
            max_deliveries: self.max_deliveries,
            dead_letters: self.dead_letters,
            acknowledge,
            ..QueueOptions::default()
        }
    }
}

pub(super) struct Shared {
    queue: Queue<Value>,
    codec: Codec,
    bell: Mutex<Option<(Doorbell, Ringing)>>,
}

impl Shared {
    pub(super) fn create(options: Options, codec: &str, acknowledge: Acknowledge) -> PyResult<Self> {
        let codec = match codec {
            "pickle" => Codec::Pickle,
            "msgpack" => Codec::MessagePack,
            other => {
                let text = format!("could not make a queue with codec={other:?}: \"pickle\" or \"msgpack\"");
                return Err(PyValueError::new_err(text));
            }
        };
        let options = options.build(acknowledge);
        let bytes = options.bytes().map_err(|error| errors::create(&error))?;
        let arena = Arena::create(bytes).map_err(|error| arena_error(&error))?;
        let queue = Queue::create(&arena, options).map_err(|error| errors::create(&error))?;
        Ok(Self { queue, codec, bell: Mutex::default() })
    }

    pub(super) fn put(&self, object: &Bound<'_, PyAny>, limit: Limit) -> PyResult<()> {
        let py = object.py();
        let item = match self.queue.try_put(Value::of(object, self.codec)?) {
            Ok(()) => return Ok(()),
            Err(PutError::Full(item)) => item,
            Err(error) => return Err(errors::put(error)),
        };
        let mut left = Some(item);
        let attempt = |limit| {
            let item = left.take()?;
            let put = match limit {
                None => self.queue.put(item),
                Some(limit) => self.queue.put_for(item, limit),
            };
            match put {
                Err(PutError::Full(item)) => {
                    left = Some(item);
                    None
                }
                put => Some(put),
            }
        };
        match wait::wait(py, limit, attempt)? {
            Some(put) => put.map_err(errors::put),
            None => Err(error::standard("queue", "Full", None)),
        }
    }

    pub(super) fn get<'py>(&self, py: Python<'py>, limit: Limit) -> PyResult<Bound<'py, PyAny>> {
        let got = match self.queue.try_get() {
            Err(GetError::Empty) => wait::wait(py, limit, |limit| {
                some(match limit {
                    None => self.queue.get(),
                    Some(limit) => self.queue.get_for(limit),
                })
            })?
            .unwrap_or(Err(GetError::Empty)),
            got => got,
        };
        self.arm()?;
        got.map_err(errors::get)?.into_object(py)
    }

    pub(super) fn lease(&self, py: Python<'_>, limit: Limit) -> PyResult<Lease> {
        let leased = wait::wait(py, limit, |limit| {
            some(match limit {
                None => self.queue.lease(),
                Some(limit) => self.queue.lease_for(limit),
            })
        })?
        .unwrap_or(Err(GetError::Empty));
        self.arm()?;
        Lease::of(py, leased.map_err(errors::get)?)
    }

    pub(super) fn take_dead_letter(&self, py: Python<'_>) -> PyResult<Option<Lease>> {
        self.queue.take_dead_letter().map_err(errors::get)?.map(|letter| Lease::of(py, letter)).transpose()
    }

    pub(super) fn put_async<'py>(&self, object: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        let (queue, item) = (self.queue.clone(), Value::of(object, self.codec)?);
        later::run(object.py(), async move {
            let put = queue.put_async(item).await;
            Box::new(|py: Python<'_>| put.map(|()| py.None()).map_err(errors::put)) as Ended
        })
    }

    pub(super) fn get_async<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let queue = self.queue.clone();
        later::run(py, async move {
            let got = queue.get_async().await;
            Box::new(|py: Python<'_>| got.map_err(errors::get)?.into_object(py).map(Bound::unbind)) as Ended
        })
    }

    pub(super) fn lease_async<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let queue = self.queue.clone();
        later::run(py, async move {
            let leased = queue.lease_async().await;
            Box::new(|py: Python<'_>| Ok(Py::new(py, Lease::of(py, leased.map_err(errors::get)?)?)?.into_any()))
                as Ended
        })
    }

    pub(super) fn is_empty(&self) -> PyResult<bool> {
        self.count(|queue| queue.len()).map(|waiting| waiting == 0)
    }

    pub(super) fn count(&self, count: impl FnOnce(&Queue<Value>) -> usize) -> PyResult<usize> {
        self.check()?;
        Ok(count(&self.queue))
    }

    pub(super) fn close(&self) -> PyResult<()> {
        self.queue.close().map_err(error::forked)
    }

    pub(super) fn task_done(&self) -> PyResult<()> {
        self.queue.task_done().map_err(|error| match error {
            TaskDoneError::Forked(forked) => error::forked(forked),
            error => PyValueError::new_err(format!("could not {error}")),
        })
    }

    pub(super) fn join(&self, py: Python<'_>, limit: Limit) -> PyResult<()> {
        let attempt = |limit| {
            let joined = match limit {
                None => self.queue.join(),
                Some(limit) => self.queue.join_for(limit),
            };
            match joined {
                Err(JoinError::TimedOut { .. }) => None,
                joined => Some(joined),
            }
        };
        match wait::wait(py, limit, attempt)? {
            Some(Ok(())) => Ok(()),
            Some(Err(JoinError::Forked(forked))) => Err(error::forked(forked)),
            _ => Err(Class::TimeoutError.could_not(JoinError::TimedOut { unfinished: self.queue.unfinished() })),
        }
    }

    pub(super) fn fileno(&self) -> PyResult<i32> {
        {
            let mut bell = self.bell();
            if bell.is_none() {
                let made = Doorbell::new().map_err(|error| error::system("make a doorbell", &error))?;
                let ringing = self.queue.ring_for_items(&made).map_err(watch_error)?;
                *bell = Some((made, ringing));
            }
        }
        Ok(self.bell().as_ref().map_or(-1, |(bell, _)| bell.as_fd().as_raw_fd()))
    }

    /// The bell, if anybody asked for it, tells what is so now, and what comes.
    fn arm(&self) -> PyResult<()> {
        if let Some((bell, ringing)) = &mut *self.bell() {
            bell.quiet();
            *ringing = self.queue.ring_for_items(bell).map_err(watch_error)?;
        }
        Ok(())
    }

    pub(super) fn leave(&self) -> PyResult<(usize, bool)> {
        self.check()?;
        Ok((passing::leave("queue", &self.queue)?, self.codec == Codec::MessagePack))
    }

    pub(super) fn arrive(number: usize, plain: bool) -> PyResult<Self> {
        let codec = if plain { Codec::MessagePack } else { Codec::Pickle };
        Ok(Self { queue: passing::arrive("queue", number)?, codec, bell: Mutex::default() })
    }

    pub(super) fn state(&self) -> String {
        if self.queue.check().is_err() {
            return "of another process".to_owned();
        }
        let closed = if self.queue.is_closed() { ", closed" } else { "" };
        format!("{} of {} waiting{closed}", self.queue.len(), self.queue.capacity())
    }

    fn check(&self) -> PyResult<()> {
        self.queue.check().map_err(error::forked)
    }

    fn bell(&self) -> std::sync::MutexGuard<'_, Option<(Doorbell, Ringing)>> {
        self.bell.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// `None` for what a longer wait may change.
fn some<T>(got: Result<T, GetError>) -> Option<Result<T, GetError>> {
    if matches!(got, Err(GetError::Empty)) { None } else { Some(got) }
}

fn watch_error(error: std::io::Error) -> PyErr {
    error::system("watch a queue", &error)
}
