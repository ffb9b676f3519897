//! What else there is to do when a zygote copies itself, if this program runs inside of something: an interpreter.

use std::{ffi::OsString, fmt};

use shm::clone::{self, CloneError, Twin};

use crate::BoxError;

/// An interpreter that this program runs in, and that is copied with it. See [`Program::host`](crate::Program::host).
pub trait Host: fmt::Debug + Send {
    /// In the zygote, before the first copy: loads what all copies are to have.
    ///
    /// # Errors
    ///
    /// Why there can be no zygote; children are started without one then.
    fn load(&mut self) -> Result<(), BoxError>;

    /// Does what there is to do before a copy; calls `copy`, once, which returns in both and says whether this is the copy; and
    /// does what there is to do after it, in either.
    fn around(&mut self, copy: &mut dyn FnMut() -> bool);

    /// In a copy: these variables of its environment have changed, those without a value are gone.
    ///
    /// # Errors
    ///
    /// Why the copy can't go on. Completes "could not …".
    fn settle(&mut self, changes: &[(OsString, Option<OsString>)]) -> Result<(), BoxError>;
}

/// There is none: the program is all.
#[derive(Debug)]
pub(crate) struct NoHost;

impl Host for NoHost {
    fn load(&mut self) -> Result<(), BoxError> {
        Ok(())
    }

    fn around(&mut self, copy: &mut dyn FnMut() -> bool) {
        copy();
    }

    fn settle(&mut self, _changes: &[(OsString, Option<OsString>)]) -> Result<(), BoxError> {
        Ok(())
    }
}

/// Copies this process, with its host.
pub(super) fn twin(host: &mut dyn Host) -> Result<Twin, CloneError> {
    let mut twin = None;
    host.around(&mut || matches!(twin.insert(clone::twin()), Ok(Twin::Copy(_))));
    twin.unwrap_or_else(|| Err(CloneError::Library("the host of this program didn't copy it")))
}
