//! A map that is had: several operations in a row, with nobody between.

use std::fmt;

use super::{
    Map,
    change::{remove, set_all},
    error::MapError,
    half::{Entry, Half},
    memory::Memory,
    rebuild::clear,
};
use crate::lock::Guard;

/// A key and its value.
pub type Pair = (Vec<u8>, Vec<u8>);

/// The map is had; dropped, it is let go of.
///
/// Others wait meanwhile, also for a mere look, and so does this thread if it uses the [`Map`] itself. If this process is
/// killed, each change that was made is there, and those that weren't aren't: changes that belong together are made
/// together by [`set_all`](Self::set_all).
///
/// ```
/// use shm::{arena::Arena, map::{Map, MapError, MapOptions}};
/// # fn main() -> Result<(), MapError> {
/// let map = Map::create(&Arena::create(Map::ARENA_BYTES)?, MapOptions::default())?;
/// let mut guard = map.lock()?;
/// if !guard.contains_key("leader")? {
///     guard.set("leader", b"me")?;
/// }
/// assert!(matches!(map.try_lock(), Err(MapError::Busy)));
/// # Ok(()) }
/// ```
#[must_use = "dropped at once, it lets go of the map at once"]
pub struct MapGuard<'a> {
    memory: &'a Memory,
    guard: Guard<'a, ()>,
}

impl<'a> MapGuard<'a> {
    pub(super) fn new(map: &'a Map, guard: Guard<'a, ()>) -> Self {
        Self { memory: map.memory(), guard }
    }

    /// The map's lock is in good order again.
    pub(super) fn mark_consistent(&mut self) {
        self.guard.mark_consistent();
    }

    pub(super) fn memory(&self) -> &'a Memory {
        self.memory
    }

    /// A copy of a key's value.
    ///
    /// # Errors
    ///
    /// [`MapError::Broken`]. So can all of these.
    pub fn get(&self, key: impl AsRef<[u8]>) -> Result<Option<Vec<u8>>, MapError> {
        self.with(key.as_ref(), |half, entry| half.value_of(entry))
    }

    /// As [`get`](Self::get), with the version that the map had when the value was set. A value that is set later has another
    /// one, also if it is the same.
    ///
    /// # Errors
    ///
    /// [`MapError::Broken`].
    pub fn get_versioned(&self, key: impl AsRef<[u8]>) -> Result<Option<(Vec<u8>, u64)>, MapError> {
        self.with(key.as_ref(), |half, entry| (half.value_of(entry), entry.stamp))
    }

    /// The version that the map had when a key's value was set.
    ///
    /// # Errors
    ///
    /// [`MapError::Broken`].
    pub fn version_of(&self, key: impl AsRef<[u8]>) -> Result<Option<u64>, MapError> {
        self.with(key.as_ref(), |_, entry| entry.stamp)
    }

    /// How long a key's value is.
    ///
    /// # Errors
    ///
    /// [`MapError::Broken`].
    pub fn value_bytes(&self, key: impl AsRef<[u8]>) -> Result<Option<usize>, MapError> {
        self.with(key.as_ref(), |_, entry| entry.value_bytes)
    }

    /// Whether a key has a value.
    ///
    /// # Errors
    ///
    /// [`MapError::Broken`].
    pub fn contains_key(&self, key: impl AsRef<[u8]>) -> Result<bool, MapError> {
        self.with(key.as_ref(), |_, _| ()).map(|found| found.is_some())
    }

    /// Sets a key's value. One that has a value already keeps its place among the others.
    ///
    /// # Errors
    ///
    /// [`MapError::Full`] beyond the declared limit, [`MapError::Memory`] if there is too little; then nothing has changed.
    pub fn set(&mut self, key: impl AsRef<[u8]>, value: &[u8]) -> Result<(), MapError> {
        set_all(self.memory, std::iter::once((key.as_ref(), value)))
    }

    /// Sets many, all or none, whoever dies. Of a key that is there twice the last value counts.
    ///
    /// # Errors
    ///
    /// As [`set`](Self::set).
    pub fn set_all<K: AsRef<[u8]>, V: AsRef<[u8]>>(&mut self, pairs: &[(K, V)]) -> Result<(), MapError> {
        set_all(self.memory, pairs.iter().map(|(key, value)| (key.as_ref(), value.as_ref())))
    }

    /// Takes a key away, and gives the value that it had.
    ///
    /// # Errors
    ///
    /// [`MapError::Broken`].
    pub fn remove(&mut self, key: impl AsRef<[u8]>) -> Result<Option<Vec<u8>>, MapError> {
        let (key, half) = (key.as_ref(), Half::active(self.memory)?);
        let found = half.find(key, self.memory.hash(key))?;
        let value = found.entry.map(|entry| half.value_of(&entry));
        if value.is_some() {
            remove(self.memory, &half, &found);
        }
        Ok(value)
    }

    /// Takes all keys away at once.
    ///
    /// # Errors
    ///
    /// [`MapError::Memory`] if there is too little for the few pages of an empty map; then nothing has changed.
    pub fn clear(&mut self) -> Result<(), MapError> {
        clear(self.memory)
    }

    /// How many keys there are.
    ///
    /// # Errors
    ///
    /// [`MapError::Broken`].
    pub fn len(&self) -> Result<usize, MapError> {
        Half::active(self.memory).map(|half| half.len())
    }

    /// Whether there are no keys.
    ///
    /// # Errors
    ///
    /// [`MapError::Broken`].
    pub fn is_empty(&self) -> Result<bool, MapError> {
        self.len().map(|len| len == 0)
    }

    /// All keys, in the order in which they came.
    ///
    /// # Errors
    ///
    /// [`MapError::Broken`].
    pub fn keys(&self) -> Result<Vec<Vec<u8>>, MapError> {
        self.all(|half, entry| half.key_of(entry))
    }

    /// The key that came last.
    ///
    /// # Errors
    ///
    /// [`MapError::Broken`].
    pub fn last_key(&self) -> Result<Option<Vec<u8>>, MapError> {
        let half = Half::active(self.memory)?;
        let mut last: Option<Entry> = None;
        for entry in half.entries() {
            let entry = entry?;
            last = last.filter(|last| last.order > entry.order).or(Some(entry));
        }
        Ok(last.map(|entry| half.key_of(&entry)))
    }

    /// All keys and their values, in the order in which they came.
    ///
    /// # Errors
    ///
    /// [`MapError::Broken`].
    pub fn entries(&self) -> Result<Vec<Pair>, MapError> {
        self.all(|half, entry| (half.key_of(entry), half.value_of(entry)))
    }

    /// How much all entries take, of [`Map::limit_bytes`].
    ///
    /// # Errors
    ///
    /// [`MapError::Broken`].
    pub fn used_bytes(&self) -> Result<usize, MapError> {
        Half::active(self.memory).map(|half| half.live_bytes())
    }

    fn with<T>(&self, key: &[u8], look: impl FnOnce(&Half<'_>, &Entry) -> T) -> Result<Option<T>, MapError> {
        let half = Half::active(self.memory)?;
        let found = half.find(key, self.memory.hash(key))?;
        Ok(found.entry.map(|entry| look(&half, &entry)))
    }

    fn all<T>(&self, look: impl Fn(&Half<'_>, &Entry) -> T) -> Result<Vec<T>, MapError> {
        let half = Half::active(self.memory)?;
        let mut entries = half.entries().collect::<Result<Vec<_>, _>>()?;
        entries.sort_unstable_by_key(|entry| entry.order);
        Ok(entries.iter().map(|entry| look(&half, entry)).collect())
    }
}

impl fmt::Debug for MapGuard<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MapGuard").finish_non_exhaustive()
    }
}
