//! Changes. The caller has the lock.
//!
//! ```text
//! written beyond the tail ─▶ tail ─▶ slot                        one entry: the slot's word is it
//! written beyond the tail ─▶ tail ─▶ batch's begin ─▶ slots ─▶ 0  several: the batch's begin is it, and the rest is done again
//! built in the other half ─▶ active                               when there is no room, or all is cleared
//! ```
//!
//! Before that one store a death leaves garbage, after it the next owner does the rest (`repair.rs`).

use std::collections::HashMap;

use super::{
    error::MapError,
    half::{Entry, Found, Half, NEXT_ORDER_AT, entry_bytes},
    memory::{KEPT_BYTES, Memory},
    rebuild::rebuild,
};
use crate::{crash, sync::Ordering};

/// A value to be set.
pub(super) struct Write<'a> {
    pub key: &'a [u8],
    pub value: &'a [u8],
    pub hash: u64,
    pub found: Found,
}

/// Sets all of these, or, if there is an error, none.
pub(super) fn set_all<'a>(memory: &Memory, pairs: impl Iterator<Item = (&'a [u8], &'a [u8])>) -> Result<(), MapError> {
    let mut half = Half::active(memory)?;
    let writes = found(memory, &half, pairs)?;
    if writes.is_empty() {
        return Ok(());
    }
    let needed = writes.iter().fold(0usize, |sum, write| sum.saturating_add(entry_bytes(write.key, write.value)));
    let replaced: usize = writes.iter().filter_map(|write| write.found.entry).map(|old| old.bytes()).sum();
    let live = half.live_bytes().saturating_sub(replaced).saturating_add(needed);
    if live > memory.limit_bytes() {
        return Err(MapError::Full { needed_bytes: live, limit_bytes: memory.limit_bytes() });
    }
    let fresh = writes.iter().filter(|write| write.found.entry.is_none()).count();
    if !has_room(memory, &mut half, needed, fresh, live)? {
        rebuild(memory, &half, &writes)?;
        memory.changed();
        return Ok(());
    }
    let (start, stamp) = (half.tail(), memory.next_stamp());
    let mut order = Order::of(&half);
    let mut at = start;
    let mut last = None;
    for write in &writes {
        let entry = half.write(at, write.key, write.value, write.hash, order.next(write.found.entry), stamp);
        at = entry.end();
        last = Some(entry);
    }
    half.word(NEXT_ORDER_AT).store(order.0, Ordering::Relaxed);
    crash::point();
    half.advance(at);
    crash::point();
    if let ([write], Some(entry)) = (&writes[..], last) {
        half.publish(&write.found, &entry);
    } else {
        let (batch, end) = memory.batch();
        end.store(at as u64, Ordering::Relaxed);
        crash::point();
        // SYNC POINT J: as in `Memory::activate`.
        batch.store(start as u64, Ordering::Release);
        crash::point();
        publish_batch(memory, &half)?;
    }
    memory.changed();
    Ok(())
}

/// Makes the entries of a batch real that aren't yet, if there is one.
pub(super) fn publish_batch(memory: &Memory, half: &Half<'_>) -> Result<(), MapError> {
    let (batch, end) = memory.batch();
    let inside = |word: u64| usize::try_from(word).unwrap_or(usize::MAX);
    let (mut at, end) = (inside(batch.load(Ordering::Relaxed)), inside(end.load(Ordering::Relaxed)));
    while at != 0 && at < end {
        let entry = half.entry(at)?;
        let found = half.find(&half.key_of(&entry), entry.hash)?;
        if found.entry.is_none_or(|known| known.at != entry.at) {
            half.publish(&found, &entry);
        }
        at = entry.end();
    }
    crash::point();
    // SYNC POINT J: as in `Memory::activate`.
    batch.store(0, Ordering::Release);
    crash::point();
    Ok(())
}

/// Takes an entry away that was found.
pub(super) fn remove(memory: &Memory, half: &Half<'_>, found: &Found) {
    half.unpublish(found);
    // What is mostly garbage is memory that others could have. If there isn't enough to do that now, then later.
    let garbage = half.garbage();
    if garbage > KEPT_BYTES && garbage / 4 > half.live_bytes() {
        let _ = rebuild(memory, half, &[]);
    }
    memory.changed();
}

/// The keys once each, with their last values, and where they are.
fn found<'a>(
    memory: &Memory,
    half: &Half<'_>,
    pairs: impl Iterator<Item = (&'a [u8], &'a [u8])>,
) -> Result<Vec<Write<'a>>, MapError> {
    let mut writes: Vec<Write<'a>> = Vec::with_capacity(1);
    let mut known = HashMap::new();
    for (key, value) in pairs {
        // One alone, which is nearly every time, needs no table.
        if let [first] = &writes[..]
            && known.is_empty()
        {
            known.insert(first.key, 0);
        }
        if let Some(index) = known.get(key).copied() {
            let write: &mut Write<'_> = &mut writes[index];
            write.value = value;
            continue;
        }
        if !writes.is_empty() {
            known.insert(key, writes.len());
        }
        let hash = memory.hash(key);
        writes.push(Write { key, value, hash, found: half.find(key, hash)? });
    }
    Ok(writes)
}

/// Whether a half has room for so many bytes and new keys, if need be after paying for it. It hasn't, if there is so much
/// garbage in it that it is better built anew.
fn has_room(memory: &Memory, half: &mut Half<'_>, needed: usize, fresh: usize, live: usize) -> Result<bool, MapError> {
    let end = half.tail() + needed;
    // A quarter of the slots is never used, so that a search ends soon.
    if half.used().saturating_add(fresh).saturating_mul(4) > half.slots() * 3 || end > memory.half_bytes() {
        return Ok(false);
    }
    if end <= half.paid() {
        return Ok(true);
    }
    // As much garbage as there is life: then building costs as much as what has been written since the last time.
    if half.garbage() >= live {
        return Ok(false);
    }
    let pages = |bytes: usize| bytes.next_multiple_of(4096).min(memory.half_bytes());
    let (more, least) = (pages(end.max(half.paid() * 2)), pages(end));
    let pay = |to| memory.pay(memory.active(), half.paid(), to).map(|()| to);
    let paid = pay(more).or_else(|_| pay(least))?;
    crash::point();
    half.has_paid(paid);
    crash::point();
    Ok(true)
}

/// In which order keys came.
pub(super) struct Order(pub u64);

impl Order {
    pub(super) fn of(half: &Half<'_>) -> Self {
        Self(half.word(NEXT_ORDER_AT).load(Ordering::Relaxed))
    }

    /// That of the value which is replaced, or a new one.
    pub(super) fn next(&mut self, old: Option<Entry>) -> u64 {
        old.map_or_else(
            || {
                self.0 = self.0.wrapping_add(1);
                self.0
            },
            |old| old.order,
        )
    }
}
