//! The writer of a ring. `framewire.Writer` (`framewire/ring.py`) is what users see.

use std::sync::{Mutex, MutexGuard, PoisonError, TryLockError};

use pyo3::{exceptions::PyValueError, prelude::*};
use shm::{
    ring::{Address, Allow, Info, Ring, RingOptions, Served, Writer},
    wire::{Passed, Socket},
};

use super::{error as errors, layout, policy::Arguments, reader::Reader, service::Service};
use crate::{
    codec::lent::Lent,
    error::{self, Class},
    wait,
};

/// The writing end of a ring: it lends a slot, and publishes it.
#[pyclass(frozen, module = "framewire._core")]
pub(crate) struct RingWriter(Mutex<Option<State>>);

struct State {
    served: Vec<Served>,
    service: Option<Service>,
    writer: Writer,
    /// How many bytes the slot has that is lent now.
    lent: Option<usize>,
}

impl RingWriter {
    fn with<R>(&self, with: impl FnOnce(&mut State) -> PyResult<R>) -> PyResult<R> {
        with(
            self.lock()?.as_mut().ok_or_else(|| {
                Class::ClosedError.says("could not write to the ring: this writer was closed".to_owned())
            })?,
        )
    }

    fn lock(&self) -> PyResult<MutexGuard<'_, Option<State>>> {
        match self.0.try_lock() {
            Ok(state) => Ok(state),
            Err(TryLockError::Poisoned(state)) => Ok(PoisonError::into_inner(state)),
            Err(TryLockError::WouldBlock) => {
                let text = "could not use a writer from two threads at once: a ring has one writer";
                Err(Class::Error.says(text.to_owned()))
            }
        }
    }
}

#[pymethods]
impl RingWriter {
    #[new]
    #[pyo3(signature = (depth, frame_bytes, budget_bytes = None))]
    fn new(depth: u32, frame_bytes: usize, budget_bytes: Option<u64>) -> PyResult<Self> {
        let options = RingOptions { depth, frame_bytes };
        let writer = Writer::create_within(options, budget_bytes.unwrap_or(u64::MAX));
        let writer = writer.map_err(|error| errors::write(&error))?;
        Ok(Self(Mutex::new(Some(State { served: Vec::new(), service: None, writer, lent: None }))))
    }

    /// Lend a slot of `size` bytes, as writable memory. One at a time.
    fn reserve(&self, py: Python<'_>, size: usize) -> PyResult<Lent> {
        self.with(|state| {
            if state.lent.is_some() {
                let text = "could not reserve a frame: the last one is still being written; leave its `with` first";
                return Err(Class::Error.says(text.to_owned()));
            }
            // A reader with the policy "block" may keep it waiting for long.
            let (mut listen, mut raised) = (wait::listener(py)?, None);
            let go_on = || listen().map_err(|error| raised = Some(error)).is_ok();
            let parked = py.detach(|| state.writer.reserve_while(size, go_on).map(shm::ring::Slot::park));
            if let Some(error) = raised {
                return Err(error);
            }
            let parked = parked.map_err(|error| errors::write(&error))?;
            state.lent = Some(size);
            // SAFETY: the value itself keeps the bytes mapped, and Rust doesn't touch them any more.
            Ok(unsafe { Lent::new(parked.start(), parked.len(), true, parked) })
        })
    }

    /// Publish the slot as an array of that shape; its number.
    #[pyo3(signature = (shape, item, format, pts_ns, captured_ns, wall_ns, flags))]
    #[expect(clippy::too_many_arguments, reason = "what a frame says of itself")]
    fn publish(
        &self,
        shape: Vec<usize>,
        item: &str,
        format: Option<&str>,
        pts_ns: i64,
        captured_ns: i64,
        wall_ns: i64,
        flags: u32,
    ) -> PyResult<u64> {
        let mut info = Info { pts_ns, captured_ns, wall_ns, flags, ..Info::default() };
        layout::describe(&mut info, &shape, item, format)?;
        let bytes =
            shape.iter().try_fold(layout::item_bytes(item).unwrap_or(1), |all, length| all.checked_mul(*length));
        self.with(|state| {
            if state.lent != bytes {
                return Err(PyValueError::new_err("could not publish a frame: it isn't of the size that was reserved"));
            }
            state.lent = None;
            let slot = state
                .writer
                .resume()
                .ok_or_else(|| Class::Error.says("could not publish a frame: none was reserved".to_owned()))?;
            Ok(slot.publish(info))
        })
    }

    /// Check what `publish` will be told, before a slot is filled for nothing.
    #[staticmethod]
    fn check(shape: Vec<usize>, item: &str, format: Option<&str>) -> PyResult<usize> {
        layout::describe(&mut Info::default(), &shape, item, format)?;
        let bytes =
            shape.iter().try_fold(layout::item_bytes(item).unwrap_or(1), |all, length| all.checked_mul(*length));
        bytes.ok_or_else(|| PyValueError::new_err("could not make a frame that large"))
    }

    /// Give the slot up: nobody sees it.
    fn give_up(&self) -> PyResult<()> {
        self.with(|state| {
            state.lent = None;
            drop(state.writer.resume());
            Ok(())
        })
    }

    /// A new reader, to be used here or passed on.
    #[pyo3(signature = (policy, leases, depth, n, hz, block_timeout, detach))]
    #[expect(clippy::too_many_arguments, reason = "Python's keywords")]
    fn reader(
        &self,
        policy: &str,
        leases: u32,
        depth: Option<u32>,
        n: Option<u32>,
        hz: Option<f64>,
        block_timeout: Option<f64>,
        detach: bool,
    ) -> PyResult<Reader> {
        let wish = Arguments { policy, depth, n, hz, timeout: block_timeout, detach, leases }.wish()?;
        self.with(|state| {
            let failed = |error: std::io::Error| error::system("let a reader in", &error);
            if state.service.is_none() {
                state.service = Some(Service::start(state.writer.port()).map_err(failed)?);
            }
            let (ours, theirs) = Socket::pair().map_err(failed)?;
            state.writer.port().add(ours).map_err(|error| errors::write(&error))?;
            Ok(Reader::apart(Passed::new(theirs.into_owned()), wish))
        })
    }

    /// Let readers in at an address.
    fn serve(&self, address: &str, allow: &Bound<'_, PyAny>) -> PyResult<()> {
        if matches!(address, "" | "@") {
            let text = "could not serve a ring at no address: give \"@name\", or the path of a socket to be made";
            return Err(PyValueError::new_err(text));
        }
        let allow = match allow.extract::<&str>() {
            Ok("user") => Allow::SameUser,
            Ok("anyone") => Allow::Anyone,
            _ => Allow::Users(allow.extract().map_err(|_| {
                PyValueError::new_err("could not serve a ring: allow is \"user\", \"anyone\" or a list of user ids")
            })?),
        };
        let Ok(address) = address.parse::<Address>();
        self.with(|state| {
            state.served.push(Ring::serve(&state.writer, &address, allow).map_err(errors::meet)?);
            Ok(())
        })
    }

    /// How many frames were published.
    #[getter]
    fn published(&self) -> PyResult<u64> {
        self.with(|state| Ok(state.writer.published()))
    }

    /// How many readers have joined.
    #[getter]
    fn readers(&self) -> PyResult<usize> {
        self.with(|state| Ok(state.writer.port().readers()))
    }

    /// End the ring: readers are told when they have read what is left.
    fn close(&self, py: Python<'_>) -> PyResult<()> {
        let state = self.lock()?.take();
        py.detach(|| drop(state));
        Ok(())
    }
}
