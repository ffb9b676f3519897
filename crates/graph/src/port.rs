//! The ends of wires, as constants with a type.

use std::{fmt, marker::PhantomData};

/// What a wire carries: a type that only stands for it.
pub trait Payload: 'static {
    /// For messages.
    const NAME: &'static str;
}

/// Where frames come out of a block.
pub struct OutputPort<T> {
    name: &'static str,
    payload: PhantomData<fn() -> T>,
}

/// Where frames go into a block. Several wires may lead to one.
pub struct InputPort<T> {
    name: &'static str,
    payload: PhantomData<fn(T)>,
}

macro_rules! port {
    ($port:ident) => {
        impl<T: Payload> $port<T> {
            /// Names a port; the names of one block's ports are unique.
            #[must_use]
            pub const fn new(name: &'static str) -> Self {
                Self { name, payload: PhantomData }
            }

            /// Its name.
            #[must_use]
            pub const fn name(&self) -> &'static str {
                self.name
            }
        }

        impl<T> Clone for $port<T> {
            fn clone(&self) -> Self {
                *self
            }
        }

        impl<T> Copy for $port<T> {}

        impl<T: Payload> fmt::Debug for $port<T> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{} of {}", self.name, T::NAME)
            }
        }
    };
}

port!(OutputPort);
port!(InputPort);
