//! The ends of wires, as constants with a type.

use std::{borrow::Cow, fmt, marker::PhantomData};

/// What a wire carries: a type that only stands for it.
pub trait Payload: 'static {
    /// For messages.
    const NAME: &'static str;
}

/// Where frames come out of a block.
pub struct OutputPort<T> {
    name: Cow<'static, str>,
    payload: PhantomData<fn() -> T>,
}

/// Where frames go into a block. Several wires may lead to one.
pub struct InputPort<T> {
    name: Cow<'static, str>,
    payload: PhantomData<fn(T)>,
}

macro_rules! port {
    ($port:ident) => {
        impl<T: Payload> $port<T> {
            /// Names a port; the names of one block's ports are unique.
            #[must_use]
            pub const fn new(name: &'static str) -> Self {
                Self { name: Cow::Borrowed(name), payload: PhantomData }
            }

            /// Its name.
            #[must_use]
            pub fn name(&self) -> &str {
                &self.name
            }
        }

        impl<T> Clone for $port<T> {
            fn clone(&self) -> Self {
                Self { name: self.name.clone(), payload: PhantomData }
            }
        }

        impl<T: Payload> fmt::Debug for $port<T> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{} of {}", self.name, T::NAME)
            }
        }
    };
}

/// Between an output's name and its variant.
const OF_WHICH: char = '/';

impl<T: Payload> OutputPort<T> {
    /// One of several variants of an output, made as somebody wants it ([`Block::wanted`](crate::Block::wanted)): the same
    /// pictures at another size, say. What the text means is the block's own affair.
    ///
    /// ```
    /// # use graph::{OutputPort, Payload};
    /// # enum Picture {}
    /// # impl Payload for Picture { const NAME: &'static str = "pictures"; }
    /// let pictures: OutputPort<Picture> = OutputPort::new("pictures");
    /// let small = pictures.variant("gray8 320x180");
    /// assert_eq!(small.name(), "pictures/gray8 320x180");
    /// assert_eq!(pictures.variant_in(small.name()), Some("gray8 320x180"));
    /// ```
    #[must_use]
    pub fn variant(&self, variant: &str) -> Self {
        Self { name: Cow::Owned(variant_of(&self.name, variant)), payload: PhantomData }
    }

    /// The variant that `name` is of this output, if it is one; that of the plain output is empty.
    #[must_use]
    pub fn variant_in<'n>(&self, name: &'n str) -> Option<&'n str> {
        let rest = name.strip_prefix(&*self.name)?;
        if rest.is_empty() { Some(rest) } else { rest.strip_prefix(OF_WHICH) }
    }
}

/// The name of a variant.
pub(crate) fn variant_of(output: &str, variant: &str) -> String {
    format!("{output}{OF_WHICH}{variant}")
}

port!(OutputPort);
port!(InputPort);
