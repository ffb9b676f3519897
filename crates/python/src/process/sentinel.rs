//! A descriptor that tells of a process's end, and of nothing else.

use std::{
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Wake, Waker},
};

use process::Ended;

/// Wakes `bell` when the process has ended for good.
pub fn ring_at_end(ended: Ended, bell: Waker) {
    Arc::new(AtEnd { ended: Mutex::new(Some(ended)), bell }).wake();
}

/// Looks at each change of the process whether that was its end; nobody polls a descriptor's future. The process's record keeps it
/// until then, and it keeps the record, but no handle: whoever only waits doesn't own the process.
struct AtEnd {
    ended: Mutex<Option<Ended>>,
    bell: Waker,
}

impl Wake for AtEnd {
    fn wake(self: Arc<Self>) {
        let waker = Waker::from(self.clone());
        let mut ended = self.ended.lock().unwrap_or_else(PoisonError::into_inner);
        let is_over = |ended: &mut Ended| Pin::new(ended).poll(&mut Context::from_waker(&waker)).is_ready();
        if ended.as_mut().is_some_and(is_over) {
            *ended = None;
            self.bell.wake_by_ref();
        }
    }
}
