//! The handle of a map.

use std::{sync::Arc, time::Duration};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de, ser};

use super::{
    error::MapError,
    guard::{MapGuard, Pair},
    half::{Half, LEAST_SLOTS},
    memory::{KIND, LEAST_PAID, Memory, ROOT_BYTES},
    repair::repair,
};
use crate::{
    arena::{Address, Arena},
    lock::{Guard, Lock, LockError},
    wire::Passed,
};

/// What a map is made with.
#[derive(Clone, Debug)]
pub struct MapOptions {
    /// How much all entries may take: each its key and its value, each rounded up to 8 bytes, and 40 more. It costs addresses
    /// only; memory is taken as entries come: up to five times what they take, if they were changed often.
    pub limit_bytes: usize,
}

impl Default for MapOptions {
    /// 64 MiB.
    fn default() -> Self {
        Self { limit_bytes: 64 << 20 }
    }
}

/// Keys and values, both bytes, between processes. See the [module](super).
///
/// Clones are the same map. It can be a field of any message to another process ([`wire`](crate::wire)). Each method may be
/// called by any number of threads and processes at once; each is one step to all others.
#[derive(Clone, Debug)]
pub struct Map(Arc<Shared>);

/// What this process has of a map, for all its handles.
#[derive(Debug)]
struct Shared {
    lock: Lock<()>,
    memory: Memory,
}

impl Map {
    /// How much room a map takes in its arena. Its entries are elsewhere.
    pub const ARENA_BYTES: usize = 1024;

    /// Makes one without entries.
    ///
    /// # Errors
    ///
    /// [`MapError::Limit`] for a limit that can't be, [`MapError::Arena`] if the arena has no room for it,
    /// [`MapError::Memory`] if there is too little, [`MapError::Forked`] in a forked child.
    ///
    /// ```
    /// use shm::{arena::Arena, map::{Map, MapError, MapOptions}};
    /// # fn main() -> Result<(), MapError> {
    /// let arena = Arena::create(Map::ARENA_BYTES)?;
    /// let map = Map::create(&arena, MapOptions { limit_bytes: 4096 })?;
    /// map.set("small", &[1; 1000])?;
    /// assert!(matches!(map.set("large", &[1; 4000]), Err(MapError::Full { limit_bytes: 4096, .. })));
    /// assert_eq!(map.len()?, 1);
    /// assert!(matches!(Map::create(&arena, MapOptions { limit_bytes: 0 }), Err(MapError::Limit(0))));
    /// # Ok(()) }
    /// ```
    pub fn create(arena: &Arena, options: MapOptions) -> Result<Self, MapError> {
        let memory = Memory::create(arena, options.limit_bytes)?;
        Half::make(&memory, 0, LEAST_SLOTS, LEAST_PAID);
        let lock = Lock::create(arena, ())?;
        let offset = memory.root().address().offset;
        arena.object(offset, || Ok(Shared { lock, memory })).map(Self)
    }

    /// Waits until nobody else has it.
    ///
    /// # Errors
    ///
    /// [`MapError::Forked`] in a forked child, [`MapError::Broken`].
    pub fn lock(&self) -> Result<MapGuard<'_>, MapError> {
        self.guard(self.0.lock.lock())
    }

    /// As [`lock`](Self::lock), for at most `limit`.
    ///
    /// # Errors
    ///
    /// As there, and [`MapError::TimedOut`].
    pub fn lock_for(&self, limit: Duration) -> Result<MapGuard<'_>, MapError> {
        self.guard(self.0.lock.lock_for(limit))
    }

    /// Has it if nobody else does.
    ///
    /// # Errors
    ///
    /// As [`lock`](Self::lock), and [`MapError::Busy`].
    pub fn try_lock(&self) -> Result<MapGuard<'_>, MapError> {
        self.guard(self.0.lock.try_lock())
    }

    fn guard<'a>(&'a self, locked: Result<Guard<'a, ()>, LockError<Guard<'a, ()>>>) -> Result<MapGuard<'a>, MapError> {
        match locked {
            Ok(guard) => Ok(MapGuard::new(self, guard)),
            Err(LockError::OwnerDied(guard)) => {
                let mut guard = MapGuard::new(self, guard);
                repair(guard.memory())?;
                guard.mark_consistent();
                Ok(guard)
            }
            Err(LockError::TimedOut) => Err(MapError::TimedOut),
            Err(LockError::Busy | LockError::Crowded(_)) => Err(MapError::Busy),
            Err(LockError::Forked(forked)) => Err(MapError::Forked(forked)),
            Err(LockError::System(error)) => Err(MapError::System(error)),
        }
    }

    /// A copy of a key's value.
    ///
    /// # Errors
    ///
    /// [`MapError::Forked`] in a forked child, [`MapError::Broken`]. So can all of these.
    pub fn get(&self, key: impl AsRef<[u8]>) -> Result<Option<Vec<u8>>, MapError> {
        self.lock()?.get(key)
    }

    /// Whether a key has a value.
    ///
    /// # Errors
    ///
    /// As [`get`](Self::get).
    pub fn contains_key(&self, key: impl AsRef<[u8]>) -> Result<bool, MapError> {
        self.lock()?.contains_key(key)
    }

    /// Sets a key's value. One that has a value already keeps its place among the others.
    ///
    /// # Errors
    ///
    /// As [`get`](Self::get); [`MapError::Full`] beyond the declared limit; [`MapError::Memory`] if there is too little. Then
    /// nothing has changed.
    pub fn set(&self, key: impl AsRef<[u8]>, value: &[u8]) -> Result<(), MapError> {
        self.lock()?.set(key, value)
    }

    /// Sets many, all or none, whoever dies. Of a key that is there twice the last value counts.
    ///
    /// # Errors
    ///
    /// As [`set`](Self::set).
    pub fn set_all<K: AsRef<[u8]>, V: AsRef<[u8]>>(&self, pairs: &[(K, V)]) -> Result<(), MapError> {
        self.lock()?.set_all(pairs)
    }

    /// Takes a key away, and gives the value that it had.
    ///
    /// # Errors
    ///
    /// As [`get`](Self::get).
    pub fn remove(&self, key: impl AsRef<[u8]>) -> Result<Option<Vec<u8>>, MapError> {
        self.lock()?.remove(key)
    }

    /// Takes all keys away at once.
    ///
    /// # Errors
    ///
    /// As [`get`](Self::get), and [`MapError::Memory`] if there is too little for the few pages of an empty map.
    pub fn clear(&self) -> Result<(), MapError> {
        self.lock()?.clear()
    }

    /// How many keys there are.
    ///
    /// # Errors
    ///
    /// As [`get`](Self::get).
    pub fn len(&self) -> Result<usize, MapError> {
        self.lock()?.len()
    }

    /// Whether there are no keys.
    ///
    /// # Errors
    ///
    /// As [`get`](Self::get).
    pub fn is_empty(&self) -> Result<bool, MapError> {
        self.lock()?.is_empty()
    }

    /// All keys, in the order in which they came.
    ///
    /// # Errors
    ///
    /// As [`get`](Self::get).
    pub fn keys(&self) -> Result<Vec<Vec<u8>>, MapError> {
        self.lock()?.keys()
    }

    /// All keys and their values as at one moment, in the order in which they came.
    ///
    /// # Errors
    ///
    /// As [`get`](Self::get).
    pub fn entries(&self) -> Result<Vec<Pair>, MapError> {
        self.lock()?.entries()
    }

    /// Replaces a key's value by what `next` makes of it (`None`: there is none), and gives what that is.
    ///
    /// `next` runs while nobody waits for it: if somebody else changed the value meanwhile, it is asked again, with the new
    /// one. So it may be called several times, and may use the map.
    ///
    /// # Errors
    ///
    /// As [`set`](Self::set).
    pub fn update(
        &self,
        key: impl AsRef<[u8]>,
        mut next: impl FnMut(Option<Vec<u8>>) -> Option<Vec<u8>>,
    ) -> Result<Option<Vec<u8>>, MapError> {
        let key = key.as_ref();
        loop {
            let (old, version) = self.lock()?.get_versioned(key)?.unzip();
            let new = next(old);
            if self.compare_and_set(key, version, new.as_deref())? {
                return Ok(new);
            }
        }
    }

    /// Replaces a key's value (by `None`: takes it away) if it still has that version, as
    /// [`get_versioned`](MapGuard::get_versioned) gave it (`None`: if it has no value). Says whether it did.
    ///
    /// # Errors
    ///
    /// As [`set`](Self::set).
    pub fn compare_and_set(
        &self,
        key: impl AsRef<[u8]>,
        version: Option<u64>,
        value: Option<&[u8]>,
    ) -> Result<bool, MapError> {
        let (key, mut guard) = (key.as_ref(), self.lock()?);
        if guard.version_of(key)? != version {
            return Ok(false);
        }
        match value {
            Some(value) => guard.set(key, value)?,
            None => drop(guard.remove(key)?),
        }
        Ok(true)
    }

    /// How much all entries may take.
    #[must_use]
    pub fn limit_bytes(&self) -> usize {
        self.memory().limit_bytes()
    }

    pub(super) fn check(&self) -> Result<(), MapError> {
        Ok(self.memory().root().arena().born().check()?)
    }

    pub(super) fn memory(&self) -> &Memory {
        &self.0.memory
    }
}

/// A map in a message.
#[derive(Serialize, Deserialize)]
struct Sent {
    lock: Lock<()>,
    root: Address,
    memory: Passed,
}

impl Serialize for Map {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.check().map_err(|error| ser::Error::custom(format_args!("could not {error}")))?;
        let memory = self.memory();
        let (root, descriptor) = (memory.root().address(), memory.descriptor().clone());
        Sent { lock: self.0.lock.clone(), root, memory: descriptor }.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Map {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Sent { lock, root: address, memory } = Sent::deserialize(deserializer)?;
        let root = address.open(KIND, ROOT_BYTES)?;
        let made =
            address.arena.object(address.offset, || Memory::open(root, memory).map(|memory| Shared { lock, memory }));
        made.map(Self).map_err(|error| de::Error::custom(format_args!("could not {error}")))
    }
}
