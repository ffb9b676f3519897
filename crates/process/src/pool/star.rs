//! Calling with a tuple's parts.

use crate::Call;

/// Whatever can be called with a worker and the parts of a tuple: a method of its handle, such as `AdderHandle::add`, or
/// a closure with its types written out. Implemented for up to six parts.
pub trait Star<Handle, Items, R> {
    /// Calls it.
    fn call(&mut self, worker: &Handle, items: Items) -> Call<R>;
}

macro_rules! star {
    ($($kind:ident $name:ident),+) => {
        impl<F, H, R, $($kind),+> Star<H, ($($kind,)+), R> for F
        where
            F: FnMut(&H, $($kind),+) -> Call<R>,
        {
            fn call(&mut self, worker: &H, ($($name,)+): ($($kind,)+)) -> Call<R> {
                self(worker, $($name),+)
            }
        }
    };
}

star!(A a);
star!(A a, B b);
star!(A a, B b, C c);
star!(A a, B b, C c, D d);
star!(A a, B b, C c, D d, E e);
star!(A a, B b, C c, D d, E e, G g);
