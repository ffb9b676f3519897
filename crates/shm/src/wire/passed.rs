//! A descriptor as a field of a message.

use std::{
    cell::RefCell,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    sync::Arc,
};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de, ser};

use crate::call;

/// An open descriptor that can be a field of any message.
///
/// It serialises as an index; the descriptor itself goes beside the bytes (`SCM_RIGHTS`). Outside of a
/// [`Packet`](super::Packet) it can't be serialised: that is an error, not a number that means nothing elsewhere.
#[derive(Clone, Debug)]
pub struct Passed(Arc<OwnedFd>);

impl Passed {
    /// Wraps a descriptor for the way.
    #[must_use]
    pub fn new(descriptor: impl Into<OwnedFd>) -> Self {
        Self(Arc::new(descriptor.into()))
    }

    /// A descriptor of one's own.
    ///
    /// # Errors
    ///
    /// If it is shared with a clone and the process has no descriptor left to copy it.
    pub fn into_owned(self) -> std::io::Result<OwnedFd> {
        Arc::try_unwrap(self.0).or_else(|shared| shared.try_clone()).map_err(call::failed("fcntl"))
    }
}

impl AsFd for Passed {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

thread_local! {
    /// What the message being encoded on this thread takes along.
    static LEAVING: RefCell<Option<Vec<Passed>>> = const { RefCell::new(None) };
    /// What the message being decoded on this thread brought.
    static ARRIVED: RefCell<Option<Vec<Passed>>> = const { RefCell::new(None) };
}

/// What was there before a message came in between; put back also if that panics.
struct Outer(&'static std::thread::LocalKey<RefCell<Option<Vec<Passed>>>>, Option<Vec<Passed>>);

impl Drop for Outer {
    fn drop(&mut self) {
        // Not `set`, which costs several times as much.
        self.0.with(|slot| slot.replace(self.1.take()));
    }
}

/// Runs `encode` and gives the descriptors that it met.
pub(super) fn collecting<T>(encode: impl FnOnce() -> T) -> (T, Vec<Passed>) {
    let _outer = Outer(&LEAVING, LEAVING.replace(Some(Vec::new())));
    let done = encode();
    (done, LEAVING.take().unwrap_or_default())
}

/// Runs `decode` with `descriptors` at hand.
pub(super) fn supplying<T>(descriptors: Vec<Passed>, decode: impl FnOnce() -> T) -> T {
    let _outer = Outer(&ARRIVED, ARRIVED.replace(Some(descriptors)));
    decode()
}

impl Serialize for Passed {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let index = LEAVING.with_borrow_mut(|leaving| {
            let leaving = leaving.as_mut()?;
            // Clones are one descriptor: a message with a hundred objects of one arena takes it along once.
            let known = leaving.iter().position(|known| Arc::ptr_eq(&known.0, &self.0));
            if known.is_none() {
                leaving.push(self.clone());
            }
            u32::try_from(known.unwrap_or(leaving.len() - 1)).ok()
        });
        match index {
            Some(index) => serializer.serialize_u32(index),
            None => Err(ser::Error::custom("a descriptor can travel only in a message between processes")),
        }
    }
}

impl<'de> Deserialize<'de> for Passed {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let index = u32::deserialize(deserializer)?;
        ARRIVED
            .with_borrow(|arrived| arrived.as_ref()?.get(index as usize).cloned())
            .ok_or_else(|| de::Error::custom(format_args!("descriptor {index} didn't come with the message")))
    }
}
