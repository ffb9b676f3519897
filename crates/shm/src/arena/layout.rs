//! Where things stand in an arena.
//!
//! ```text
//! 0       magic, version | bytes | id | next free byte | next member     (a page: the header)
//! 2048    offset and size of blocks that were freed, 256 of them
//! 4096    the member table: 1024 records of 16 bytes
//! 20480   blocks: a head of 128 bytes (size, kind), and then the bytes of an object, 128-byte aligned
//! ```

/// `FWARENA` and the version of this layout, so that another one isn't taken for it.
pub(super) const MAGIC: u64 = u64::from_le_bytes(*b"FWARENA\x01");

pub(super) const MAGIC_AT: usize = 0;
pub(super) const BYTES_AT: usize = 8;
pub(super) const ID_AT: usize = 16;
/// The first byte that no block has taken yet.
pub(super) const NEXT_AT: usize = 128;
/// A record of the table, modulo their number: where the next one who joins begins to look.
pub(super) const NEXT_MEMBER_AT: usize = 256;

pub(super) const FREED_AT: usize = 2048;
/// How many freed blocks are remembered. More than that are lost until the arena goes, which only memory pays for.
pub(super) const FREED: usize = 256;

pub(super) const TABLE_AT: usize = 4096;
/// How many processes can be members at once.
pub(crate) const MAX_MEMBERS: u16 = 1024;
pub(super) const RECORD_BYTES: usize = 16;

pub(super) const BLOCKS_AT: usize = TABLE_AT + MAX_MEMBERS as usize * RECORD_BYTES;
/// Two cache lines, because processors fetch them in pairs: what two objects hold is never in one.
pub(super) const ALIGNMENT: usize = 128;
pub(super) const BLOCK_HEAD_BYTES: usize = ALIGNMENT;

/// The largest arena: block sizes and offsets are remembered in units of [`ALIGNMENT`], in 32 bits.
pub(super) const MAX_BYTES: usize = (u32::MAX as usize) * ALIGNMENT;
