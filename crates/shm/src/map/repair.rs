//! What the next owner of the lock does when the last one died with it: the rest.

use super::{change::publish_batch, error::MapError, half::Half, half::PAID_AT, memory::Memory};
use crate::{crash, sync::Ordering};

/// Puts the map in order. It may be killed in here too, and be done again.
pub(super) fn repair(memory: &Memory) -> Result<(), MapError> {
    let half = Half::active(memory)?;
    publish_batch(memory, &half)?;
    half.recount()?;
    // Memory that the dead may have paid for and not noted.
    let (active, other) = (memory.active(), 1 - memory.active());
    memory.give_back(active, half.paid());
    crash::point();
    // SYNC POINT J: as in `Memory::activate`.
    memory.mapping().word64(memory.half_at(other) + PAID_AT).store(0, Ordering::Release);
    crash::point();
    memory.give_back(other, 0);
    crash::point();
    // It may have changed something and told nobody.
    memory.changed();
    Ok(())
}
