//! How a queue is made.

use super::{QueueError, memory::Memory};

/// What a queue shall be able to hold. All of its memory is taken at once; [`bytes`](Self::bytes) says how much.
///
/// ```
/// use shm::queue::QueueOptions;
/// let options = QueueOptions { capacity: 100, ..QueueOptions::default() };
/// assert!(options.bytes()? > 100 * options.inline_bytes);
/// # Ok::<(), shm::queue::QueueError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueueOptions {
    /// How many items may wait. A put beyond that waits itself.
    pub capacity: usize,
    /// How many items can be out, leased or returned, before they take room from those that wait. `None`: as many as
    /// `capacity`. A lease is never refused; if more than these are out, then fewer can be put.
    pub leases: Option<usize>,
    /// Items up to this size stand beside their bookkeeping; larger ones take blocks of 4 KiB. Each item that can be there
    /// costs this much, whether it is there or not.
    pub inline_bytes: usize,
    /// How many bytes there are for larger items together, in blocks of 4 KiB; also the size of the largest.
    pub large_bytes: usize,
    /// How many items with descriptors in them ([`wire::Passed`](crate::wire::Passed), and whatever has such: arenas, locks, queues,
    /// rings' sessions, files) there can be until they are acknowledged; at most 200. 0: such items are refused. A put of one more
    /// waits, as for room. Each slot costs each process that has the queue one descriptor; an odd number costs one more.
    pub descriptor_slots: usize,
    /// After how many deliveries without an acknowledgement an item is given up and becomes a dead letter; 0: never. It is
    /// for items that kill whoever takes them.
    pub max_deliveries: u32,
    /// How many dead letters are kept. While there are so many, items are delivered on, however often: none is thrown away.
    pub dead_letters: usize,
    /// What [`get`](super::Queue::get) means.
    pub acknowledge: Acknowledge,
}

/// When an item that [`get`](super::Queue::get) gave counts as dealt with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Acknowledge {
    /// As soon as it is returned: as Python's `Queue`. If the process dies then, the item goes with it.
    #[default]
    OnReturn,
    /// By [`task_done`](super::Queue::task_done): as Python's `JoinableQueue`. If the process dies before, another gets the
    /// item.
    ByTaskDone,
}

impl Default for QueueOptions {
    fn default() -> Self {
        Self {
            capacity: 1024,
            leases: None,
            inline_bytes: 256,
            large_bytes: 256 * 1024,
            descriptor_slots: 0,
            max_deliveries: 5,
            dead_letters: 64,
            acknowledge: Acknowledge::OnReturn,
        }
    }
}

impl QueueOptions {
    /// How many bytes of an arena such a queue takes.
    ///
    /// # Errors
    ///
    /// As [`Queue::create`](super::Queue::create) for the options themselves.
    pub fn bytes(&self) -> Result<usize, QueueError> {
        // What an arena needs for an object, and for its alignment.
        Memory::bytes_for(self).map(|bytes| bytes + 256)
    }
}
