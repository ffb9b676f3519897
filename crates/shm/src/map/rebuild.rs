//! Building a map anew in its other half, without the garbage, and with changes that found no room: one word makes it count.

use std::collections::HashSet;

use super::{
    change::{Order, Write},
    error::MapError,
    half::{Entry, Half, LEAST_SLOTS, NEXT_ORDER_AT, PAID_AT, entry_bytes, log_at},
    memory::{KEPT_BYTES, LEAST_PAID, MOST_KEPT_BYTES, Memory},
};
use crate::{crash, sync::Ordering};

/// Builds it anew with all that is there, and these changes. After an error it is as it was.
pub(super) fn rebuild(memory: &Memory, from: &Half<'_>, writes: &[Write<'_>]) -> Result<(), MapError> {
    let replaced: HashSet<usize> = writes.iter().filter_map(|write| write.found.entry).map(|old| old.at).collect();
    let is_kept = |entry: &Result<Entry, _>| entry.as_ref().map_or(true, |entry| !replaced.contains(&entry.at));
    let mut kept = from.entries().filter(is_kept).collect::<Result<Vec<Entry>, _>>()?;
    // As they came, so that who reads all of them goes through the memory in one direction.
    kept.sort_unstable_by_key(|entry| entry.order);
    build(memory, Some(from), &kept, writes)
}

/// Empties it.
pub(super) fn clear(memory: &Memory) -> Result<(), MapError> {
    build(memory, None, &[], &[])?;
    memory.changed();
    Ok(())
}

fn build(memory: &Memory, from: Option<&Half<'_>>, kept: &[Entry], writes: &[Write<'_>]) -> Result<(), MapError> {
    let sizes = kept.iter().map(Entry::bytes).chain(writes.iter().map(|write| entry_bytes(write.key, write.value)));
    let log_bytes = sizes.fold(0, usize::saturating_add);
    let slots = ((kept.len() + writes.len()) * 2).next_power_of_two().max(LEAST_SLOTS);
    let bytes = log_at(slots).saturating_add(log_bytes);
    if bytes > memory.half_bytes() {
        return Err(MapError::Broken("its entries are more than fit in it"));
    }
    let (old, new) = (memory.active(), 1 - memory.active());
    let paid = pay(memory, new, bytes, log_bytes)?;
    let mut half = Half::make(memory, new, slots, paid);
    crash::point();
    let mut order = from.map_or(Order(0), Order::of);
    let (mut at, stamp) = (half.tail(), memory.next_stamp());
    // Before the index has any: an entry counts as one only before the tail.
    half.advance(bytes);
    for entry in kept {
        if let Some(from) = from {
            let copied = half.copy(at, from, entry);
            half.enter(&copied)?;
            at = copied.end();
        }
    }
    for Write { key, value, hash, found } in writes {
        let entry = half.write(at, key, value, *hash, order.next(found.entry), stamp);
        half.enter(&entry)?;
        at = entry.end();
    }
    half.word(NEXT_ORDER_AT).store(order.0, Ordering::Relaxed);
    crash::point();
    memory.activate(new);
    crash::point();
    give_back(memory, old, paid);
    Ok(())
}

/// Pays for the half that is to be built: for twice what it will have, or, if there isn't that much, for just that. What it has
/// beyond, from when there was more, goes back. Gives how much of it is paid for.
fn pay(memory: &Memory, half: usize, bytes: usize, log_bytes: usize) -> Result<usize, MapError> {
    let has = memory.mapping().word64(memory.half_at(half) + PAID_AT).load(Ordering::Relaxed);
    let has = usize::try_from(has).ok().filter(|has| *has <= memory.half_bytes()).unwrap_or(0);
    let pages = |bytes: usize| bytes.max(LEAST_PAID).next_multiple_of(4096).min(memory.half_bytes());
    let wanted = pages(bytes.saturating_add(log_bytes));
    if has > wanted.max(KEPT_BYTES) {
        memory.give_back(half, wanted);
        crash::point();
        return Ok(wanted);
    }
    let pay = |to: usize| memory.pay(half, has.min(to), to).map(|()| to.max(has));
    Ok(pay(wanted).or_else(|_| pay(pages(bytes)))?)
}

/// Gives the memory of the half that doesn't count any more back, unless it is small, or the next one will need as much.
fn give_back(memory: &Memory, half: usize, new_paid: usize) {
    let paid = memory.mapping().word64(memory.half_at(half) + PAID_AT);
    if paid.load(Ordering::Relaxed) > new_paid.clamp(KEPT_BYTES, MOST_KEPT_BYTES) as u64 {
        // Before it isn't there any more: who takes over from us pays for it again.
        // SYNC POINT J: as in `Memory::activate`.
        paid.store(0, Ordering::Release);
        crash::point();
        memory.give_back(half, 0);
        crash::point();
    }
}
