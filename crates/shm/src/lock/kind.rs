//! The kinds of objects, as arenas record them (`b"LO"` and a number), and how their handles travel.

const fn kind(number: u32) -> u32 {
    0x4c4f_0000 | number
}

pub(super) const LOCK: u32 = kind(1);
pub(super) const RLOCK: u32 = kind(2);
pub(super) const RWLOCK: u32 = kind(3);
pub(super) const CONDITION: u32 = kind(4);
pub(super) const SEMAPHORE: u32 = kind(5);
pub(super) const EVENT: u32 = kind(6);
pub(super) const BARRIER: u32 = kind(7);
pub(super) const ARRAY: u32 = kind(8);

/// Lets a handle that is a field `place` travel in messages. What arrives is checked by its `opened`.
macro_rules! travels {
    ($handle:ident $(<$of:ident>)?, $kind:expr, $min_bytes:expr) => {
        impl $(<$of>)? serde::Serialize for $handle $(<$of>)? {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                self.place.address().serialize(serializer)
            }
        }

        impl<'de, $($of: bytemuck::Pod)?> serde::Deserialize<'de> for $handle $(<$of>)? {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let address = crate::arena::Address::deserialize(deserializer)?;
                Self::opened(address.open($kind, $min_bytes)?).ok_or_else(|| {
                    serde::de::Error::custom("could not use an object that another process sent: it isn't whole")
                })
            }
        }

        impl $(<$of>)? Clone for $handle $(<$of>)? {
            fn clone(&self) -> Self {
                Self { place: self.place.clone() $(, of: std::marker::PhantomData::<fn() -> $of>)? }
            }
        }

        impl $(<$of>)? std::fmt::Debug for $handle $(<$of>)? {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.debug_struct(stringify!($handle)).field("place", &self.place).finish_non_exhaustive()
            }
        }
    };
}
pub(super) use travels;
