//! The supervisor of this interpreter's processes.

use std::{ffi::OsString, sync::Arc, sync::Mutex, sync::PoisonError, thread, time::Duration};

use process::{Executable, Starting as Begun, System as Supervisor};
use pyo3::{exceptions::PyOSError, prelude::*, types::PyBytes};
use shm::wire::Raw;

use super::{
    birthplace::Birthplace,
    child::{PythonHandle, PythonProcess},
    failure,
    handle::Handle,
    log, message,
    options::{Options, seconds},
};
use crate::{
    codec::{self, Codec},
    wait::{self, Limit},
};

/// How long a thread parks at most: it is unparked when there is something.
const FAR: Duration = Duration::from_secs(3600);

/// A supervisor: its thread starts processes, watches and stops them.
#[pyclass(frozen, module = "framewire._core")]
pub struct System {
    supervisor: Supervisor,
    home: Birthplace,
}

/// A process that was started and may not be ready yet. Dropped, it is stopped.
#[pyclass(frozen, module = "framewire._core")]
pub struct Starting {
    begun: Mutex<Option<Begun<PythonHandle>>>,
    is_python: bool,
    home: Birthplace,
}

impl System {
    pub fn supervisor(&self, py: Python<'_>) -> PyResult<&Supervisor> {
        self.home.check(py)?;
        Ok(&self.supervisor)
    }
}

#[pymethods]
impl System {
    #[new]
    fn new() -> PyResult<Self> {
        log::forward();
        let supervisor = Supervisor::for_host()
            .map_err(|error| PyOSError::new_err(format!("could not start a supervisor: {error}")))?;
        Ok(Self { supervisor, home: Birthplace::here() })
    }

    /// Starts a process: `preparation` is what a Python child takes first, `None` for a program in another language. With the
    /// command of a `zygote` it is a copy of that, if there can be one.
    fn begin(
        &self,
        py: Python<'_>,
        command: Vec<OsString>,
        zygote: Option<Vec<OsString>>,
        preparation: Option<&Bound<'_, PyBytes>>,
        configuration: &Bound<'_, PyAny>,
        options: Options,
    ) -> PyResult<Starting> {
        let supervisor = self.supervisor(py)?;
        let configuration = match preparation {
            Some(preparation) => message::prepared(preparation.as_bytes(), codec::dumps(configuration, Codec::Pickle)?),
            None => codec::dumps(configuration, Codec::MessagePack)?,
        };
        let executable = executable(py, supervisor, command, zygote, options.ready_within)?;
        let spawn = supervisor.spawn::<PythonProcess>(Raw::new(configuration)).executable(executable);
        let begun = options.apply(spawn)?.begin().map_err(|error| failure::start(py, &error))?;
        Ok(Starting { begun: Mutex::new(Some(begun)), is_python: preparation.is_some(), home: self.home })
    }

    /// Stops all processes and starts no more; they are gone when this returns.
    fn stop_all(&self, py: Python<'_>, grace: f64) -> PyResult<()> {
        let supervisor = self.supervisor(py)?.clone();
        let grace = seconds("grace", grace)?;
        let (done, waiting) = (Arc::new(()), thread::current());
        let gone = Arc::downgrade(&done);
        // A thread of its own, so that the wait can be interrupted.
        thread::Builder::new().name("stop".to_owned()).stack_size(128 * 1024).spawn(move || {
            supervisor.stop_all(grace);
            drop(done);
            waiting.unpark();
        })?;
        wait::wait(py, Limit::Never, |limit| {
            if gone.strong_count() > 0 {
                thread::park_timeout(limit.unwrap_or(FAR));
            }
            (gone.strong_count() == 0).then_some(())
        })
        .map(drop)
    }
}

/// What becomes a child: a command, or a copy of what another command has become, which is waited for, but not for ever.
pub fn executable(
    py: Python<'_>,
    supervisor: &Supervisor,
    command: Vec<OsString>,
    zygote: Option<Vec<OsString>>,
    within: f64,
) -> PyResult<Executable> {
    let of = |command: Vec<OsString>| {
        let mut words = command.into_iter();
        Executable::new(words.next().unwrap_or_default()).args(words)
    };
    let executable = of(command);
    let Some(zygote) = zygote else { return Ok(executable) };
    let executable = executable.copied_from(of(zygote));
    let patience = seconds("ready_within", within)?;
    // However that goes, the child can be started.
    wait::wait(py, Limit::seconds(Some(within))?, |limit| {
        supervisor.zygote_is_ready(&executable, patience, limit.unwrap_or(FAR))
    })?;
    Ok(executable)
}

#[pymethods]
impl Starting {
    /// A handle on it already.
    fn handle(&self, py: Python<'_>) -> PyResult<Handle> {
        self.home.check(py)?;
        let begun = self.begun.lock().unwrap_or_else(PoisonError::into_inner);
        let begun = begun.as_ref().ok_or_else(|| failure::forked(py))?;
        Ok(Handle::new(begun.handle().clone(), self.is_python, self.home))
    }

    /// Waits until it is ready.
    fn wait(&self, py: Python<'_>) -> PyResult<Handle> {
        self.home.check(py)?;
        let ready = wait::wait(py, Limit::Never, |limit| {
            let begun = self.begun.lock().unwrap_or_else(PoisonError::into_inner);
            begun.as_ref().map_or(Some(None), |begun| begun.wait_for(limit.unwrap_or(FAR)).map(Some))
        });
        match ready {
            Ok(Some(Some(Ok(handle)))) => Ok(Handle::new(handle.0, self.is_python, self.home)),
            Ok(Some(Some(Err(error)))) => Err(failure::start(py, &error)),
            Ok(_) => Err(failure::forked(py)),
            Err(interrupted) => {
                // Nobody will have a handle on it.
                drop(self.begun.lock().unwrap_or_else(PoisonError::into_inner).take());
                Err(interrupted)
            }
        }
    }
}
