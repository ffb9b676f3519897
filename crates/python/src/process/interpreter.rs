//! This interpreter, as what a zygote copies along with itself.

use std::{
    ffi::{OsStr, OsString},
    fmt,
    os::unix::ffi::OsStrExt,
};

use process::{BoxError, Host};
use pyo3::{ffi, prelude::*, types::PyBytes};

/// What the interpreter does around a copy, and what `framewire._zygote.Zygote` does before the first and in each.
pub struct Interpreter {
    zygote: Py<PyAny>,
}

impl Interpreter {
    pub fn new(zygote: Py<PyAny>) -> Self {
        Self { zygote }
    }
}

impl fmt::Debug for Interpreter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Interpreter")
    }
}

impl Host for Interpreter {
    fn load(&mut self) -> Result<(), BoxError> {
        Python::attach(|py| self.zygote.call_method0(py, "load").map(drop).map_err(|error| text(py, &error)))
    }

    fn around(&mut self, copy: &mut dyn FnMut() -> bool) {
        Python::attach(|_| {
            // SAFETY: as `os.fork` does it: this thread has the interpreter's lock, and the interpreter's only thread is this
            // one. Until the lines below, nothing of the interpreter's is called.
            unsafe { ffi::PyOS_BeforeFork() };
            if copy() {
                // SAFETY: this is the copy, in the thread that has called `PyOS_BeforeFork`, with the lock's copy.
                unsafe { ffi::PyOS_AfterFork_Child() };
            } else {
                // SAFETY: this is the thread that has called `PyOS_BeforeFork`, and it has the lock still.
                unsafe { ffi::PyOS_AfterFork_Parent() };
            }
        });
    }

    fn settle(&mut self, changes: &[(OsString, Option<OsString>)]) -> Result<(), BoxError> {
        Python::attach(|py| {
            let bytes = |text: &OsStr| PyBytes::new(py, text.as_bytes());
            let changes: Vec<_> =
                changes.iter().map(|(name, value)| (bytes(name), value.as_deref().map(bytes))).collect();
            self.zygote.call_method1(py, "settle", (changes,)).map(drop).map_err(|error| text(py, &error))
        })
    }
}

fn text(py: Python<'_>, error: &PyErr) -> BoxError {
    error.value(py).to_string().into()
}
