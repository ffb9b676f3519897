//! The handle of an arena, and this process's membership behind it.

use std::{
    any::Any,
    collections::HashMap,
    os::fd::AsFd,
    sync::{Arc, Mutex, PoisonError, Weak},
    time::{Duration, Instant},
};

use rustix::{
    fs::fstat,
    rand::{GetRandomFlags, getrandom},
};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::{
    ArenaError, Members, Owner,
    heart::Pulse,
    layout::{BLOCKS_AT, BYTES_AT, ID_AT, MAGIC, MAGIC_AT, MAX_BYTES, NEXT_AT},
    local::Local,
    table,
};
use crate::{
    fork::Birthplace,
    futex::{self, Outcome},
    memory::{self, Mapping, MemoryError, Sealing},
    sync::{AtomicU32, Ordering},
    wire::Passed,
};

/// How long somebody who is blocked by another process sleeps before looking again by itself. The kernel wakes only one of
/// those who sleep for a death, and that one may be stopped; with this and 20 ms for making sure of the death, everybody
/// knows within 50 ms.
pub(crate) const SLICE: Duration = Duration::from_millis(25);

/// Shared memory for objects, and this process's membership in it.
///
/// Clones are the same membership. It can be a field of any message to another process ([`wire`](crate::wire)), which then
/// is a member too; received where it is known already, it is one more handle of the same mapping.
///
/// A handle works only in the process that made or received it: in a forked child it says so ([`crate::fork`]).
#[derive(Clone, Debug)]
pub struct Arena(Arc<Inner>);

pub(super) struct Inner {
    mapping: Mapping,
    memory: Passed,
    id: u64,
    me: Owner,
    pulse: Pulse,
    born: Birthplace,
    /// What this process has of each object, by offset.
    objects: Mutex<HashMap<u64, Weak<dyn Any + Send + Sync>>>,
}

impl std::fmt::Debug for Inner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Inner").field("id", &self.id).field("bytes", &self.mapping.len()).finish_non_exhaustive()
    }
}

impl Arena {
    /// Makes an arena with room for `bytes` of objects, and some 20 KiB more for itself. The memory is paid for at once.
    /// Each object takes 128 bytes more than its size, which is rounded up to 128.
    ///
    /// # Errors
    ///
    /// [`ArenaError::Memory`] if there is too little memory, with the numbers; [`ArenaError::TooLarge`] beyond 512 GiB;
    /// [`ArenaError::TooManyArenas`] and [`ArenaError::Heart`] if this process can't be a member.
    ///
    /// ```
    /// use shm::arena::{Arena, ArenaError};
    /// # fn main() -> Result<(), ArenaError> {
    /// assert!(Arena::create(4096)?.free_bytes() >= 4096);
    /// assert!(matches!(Arena::create(usize::MAX), Err(ArenaError::TooLarge(_))));
    /// # Ok(()) }
    /// ```
    pub fn create(bytes: usize) -> Result<Self, ArenaError> {
        let all = bytes.checked_add(BLOCKS_AT).and_then(|bytes| bytes.checked_next_multiple_of(4096));
        let all = all.filter(|all| *all <= MAX_BYTES).ok_or(ArenaError::TooLarge(bytes))?;
        let (mapping, memory) = memory::create("framewire-arena", all, Sealing::ManyWriters)?;
        let id = random()?;
        mapping.word64(BYTES_AT).store(all as u64, Ordering::Relaxed);
        mapping.word64(ID_AT).store(id, Ordering::Relaxed);
        mapping.word64(NEXT_AT).store(BLOCKS_AT as u64, Ordering::Relaxed);
        mapping.word64(MAGIC_AT).store(MAGIC, Ordering::Release);
        let mut arenas = Local::here().arenas.lock().unwrap_or_else(PoisonError::into_inner);
        let arena = Self::join(mapping, Passed::new(memory), id)?;
        arenas.insert(id, Arc::downgrade(&arena.0));
        Ok(arena)
    }

    /// A number that no other arena has.
    #[must_use]
    pub fn id(&self) -> u64 {
        self.0.id
    }

    /// How large it is, with what it needs for itself.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.0.mapping.len()
    }

    /// The process that these handles belong to.
    #[inline]
    pub(crate) fn born(&self) -> Birthplace {
        self.0.born
    }

    #[inline]
    pub(super) fn mapping(&self) -> &Mapping {
        &self.0.mapping
    }

    /// The word at an offset that [`Place::offset_of`](super::Place::offset_of) gave.
    pub(crate) fn word_at(&self, offset: usize) -> &AtomicU32 {
        self.0.mapping.word32(offset)
    }

    /// What to sleep on for news of a member's death, beside other words: a word, and what it holds while the member lives.
    /// `None` if it is dead, or about to be: then ask [`is_dead`](Members::is_dead).
    pub(crate) fn alive_word(&self, owner: Owner) -> Option<(&AtomicU32, u32)> {
        table::watch(&self.0.mapping, owner)
    }

    /// What this process has of the object at `offset`: one for all its handles, however many it receives. `make` is called if
    /// there is none yet.
    pub(crate) fn object<O: Any + Send + Sync, E>(
        &self,
        offset: u64,
        make: impl FnOnce() -> Result<O, E>,
    ) -> Result<Arc<O>, E> {
        let mut objects = self.0.objects.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = objects.get(&offset).and_then(Weak::upgrade).and_then(|known| known.downcast().ok()) {
            return Ok(known);
        }
        let object = Arc::new(make()?);
        objects.retain(|_, object| object.strong_count() > 0);
        let erased: Arc<dyn Any + Send + Sync> = object.clone();
        objects.insert(offset, Arc::downgrade(&erased));
        Ok(object)
    }

    fn join(mapping: Mapping, memory: Passed, id: u64) -> Result<Self, ArenaError> {
        let heart = Local::here().heart()?;
        let namespace = table::own_namespace();
        let joined = table::for_each_vacant(&mapping, |slot| {
            let claim = || table::claim(&mapping, slot, heart.thread(), namespace);
            heart.link(&memory, table::alive_at(slot), claim).transpose()
        });
        let (me, pulse) = joined.ok_or(ArenaError::TooManyMembers)??;
        Ok(Self(Arc::new(Inner {
            mapping,
            memory,
            id,
            me,
            pulse,
            born: Birthplace::here(),
            objects: Mutex::default(),
        })))
    }

    fn received(sent: Sent) -> Result<Self, ArenaError> {
        let mut arenas = Local::here().arenas.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = arenas.get(&sent.id).and_then(Weak::upgrade) {
            let known = Self(known);
            return if known.is_same_memory(&sent.memory) {
                Ok(known)
            } else {
                drop(arenas); // the drop of `known` may be the last, and wants it
                Err(ArenaError::Alleged("it has the id of another one"))
            };
        }
        let bytes = usize::try_from(sent.bytes).ok().filter(|bytes| (BLOCKS_AT..=MAX_BYTES).contains(bytes));
        let mapping = Mapping::read_write(&sent.memory, bytes.ok_or(ArenaError::Alleged("its size can't be"))?)?;
        let says = [MAGIC_AT, BYTES_AT, ID_AT].map(|at| mapping.word64(at).load(Ordering::Acquire));
        if says != [MAGIC, sent.bytes, sent.id] {
            return Err(ArenaError::Alleged("it isn't one, or of another version of this library"));
        }
        let arena = Self::join(mapping, sent.memory, sent.id)?;
        arenas.insert(sent.id, Arc::downgrade(&arena.0));
        Ok(arena)
    }

    fn is_same_memory(&self, memory: &Passed) -> bool {
        let inode = |memory: &Passed| fstat(memory.as_fd()).map(|stat| (stat.st_dev, stat.st_ino)).ok();
        inode(&self.0.memory).is_some_and(|ours| inode(memory) == Some(ours))
    }
}

impl Members for Arena {
    #[inline]
    fn me(&self) -> Owner {
        self.0.me
    }

    fn is_dead(&self, owner: Owner) -> bool {
        table::is_dead(&self.0.mapping, owner)
    }

    fn wait_for_owner(&self, word: &AtomicU32, expected: u32, owner: Owner, until: Option<Instant>) -> Outcome {
        match self.alive_word(owner) {
            Some(alive) => in_slices(&[(word, expected), alive], until),
            None => Outcome::Woken,
        }
    }

    fn wait_a_while(&self, word: &AtomicU32, expected: u32, until: Option<Instant>) -> Outcome {
        in_slices(&[(word, expected)], until)
    }

    fn wait_for_any(
        &self,
        word: &AtomicU32,
        expected: u32,
        owners: impl Iterator<Item = Owner>,
        until: Option<Instant>,
    ) -> Outcome {
        let mut words = [(word, expected); MOST_WATCHED + 1];
        let mut used = 1;
        for owner in owners.filter(|owner| *owner != self.0.me).take(MOST_WATCHED) {
            let Some(alive) = self.alive_word(owner) else { return Outcome::Woken };
            words[used] = alive;
            used += 1;
        }
        in_slices(&words[..used], until)
    }
}

/// How many deaths a sleep listens for. Each costs the kernel some 0.1 µs to set up; those beyond are seen after a slice.
const MOST_WATCHED: usize = 31;

/// Sleeps for one slice at most. Only the limit itself is told as such.
fn in_slices(words: &[(&AtomicU32, u32)], until: Option<Instant>) -> Outcome {
    let slice = Instant::now() + SLICE;
    match until {
        Some(until) if until <= slice => futex::wait(words, Some(until)),
        _ => {
            futex::wait(words, Some(slice));
            Outcome::Woken
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        if !self.born.is_here() {
            return; // the parent is a member, and stays one
        }
        table::leave(&self.mapping, self.me);
        let local = Local::here();
        if let Ok(heart) = local.heart() {
            heart.release(&self.pulse);
        }
        let mut arenas = local.arenas.lock().unwrap_or_else(PoisonError::into_inner);
        // Meanwhile another thread may have received it anew.
        if arenas.get(&self.id).is_some_and(|known| known.strong_count() == 0) {
            arenas.remove(&self.id);
        }
    }
}

/// An arena in a message.
#[derive(Serialize, Deserialize)]
struct Sent {
    memory: Passed,
    bytes: u64,
    id: u64,
}

impl Serialize for Arena {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.born.check().map_err(|forked| serde::ser::Error::custom(format_args!("could not {forked}")))?;
        Sent { memory: self.0.memory.clone(), bytes: self.bytes() as u64, id: self.0.id }.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Arena {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::received(Sent::deserialize(deserializer)?)
            .map_err(|error| de::Error::custom(format_args!("could not {error}")))
    }
}

fn random() -> Result<u64, ArenaError> {
    let mut bytes = [0; 8];
    let failed = |source: rustix::io::Errno| MemoryError::System { call: "name", bytes: 8, source: source.into() };
    getrandom(&mut bytes, GetRandomFlags::empty()).map_err(failed)?;
    Ok(u64::from_ne_bytes(bytes))
}
