//! Who listens to what is found: each has a queue of its own, so that one who is slow costs nobody else anything.

use std::{
    collections::VecDeque,
    fmt,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak},
};

use axum::extract::ws::Utf8Bytes;
use tokio::sync::Notify;

/// Findings that wait for a listener that lags; it then misses the oldest, and is told how many. Eight cameras with
/// 25 pictures a second fill it in five seconds.
const WAITING: usize = 1024;
/// And so many bytes of them.
const WAITING_BYTES: usize = 32 << 20;

/// One finding, ready to be sent.
#[derive(Debug)]
pub struct Told {
    pub camera: String,
    pub block: String,
    pub line: Utf8Bytes,
}

/// What a listener hears next.
#[derive(Debug)]
pub enum Heard {
    Told(Arc<Told>),
    /// It was too slow for so many that came before.
    Missed(u64),
}

/// All who listen. Clones are the same.
#[derive(Clone, Debug, Default)]
pub struct Audience(Arc<Mutex<Vec<Weak<Listener>>>>);

/// One of them. It goes when it is dropped.
pub struct Listener {
    wants: Box<dyn Fn(&Told) -> bool + Send + Sync>,
    queue: Mutex<Queue>,
    /// Something came: for a thread, and for a task.
    thread: Condvar,
    task: Notify,
}

#[derive(Debug, Default)]
struct Queue {
    waiting: VecDeque<Arc<Told>>,
    bytes: usize,
    missed: u64,
}

impl Audience {
    /// Somebody more, who hears what they want of all that is told from now on.
    pub fn join(&self, wants: impl Fn(&Told) -> bool + Send + Sync + 'static) -> Arc<Listener> {
        let queue = Mutex::new(Queue::default());
        let (thread, task) = (Condvar::new(), Notify::new());
        let listener = Arc::new(Listener { wants: Box::new(wants), queue, thread, task });
        locked(&self.0).push(Arc::downgrade(&listener));
        listener
    }

    /// Whether nobody listens.
    pub fn is_empty(&self) -> bool {
        let mut listeners = locked(&self.0);
        listeners.retain(|listener| listener.strong_count() > 0);
        listeners.is_empty()
    }

    /// Tells all who want it.
    pub fn tell(&self, told: Told) {
        let told = Arc::new(told);
        for listener in locked(&self.0).iter().filter_map(Weak::upgrade).filter(|listener| (listener.wants)(&told)) {
            locked(&listener.queue).put(told.clone());
            listener.thread.notify_one();
            listener.task.notify_one();
        }
    }
}

impl Listener {
    /// Waits on this thread, which is the only one that does.
    pub fn wait(&self) -> Heard {
        let mut queue = locked(&self.queue);
        loop {
            if let Some(heard) = queue.next() {
                return heard;
            }
            queue = self.thread.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// The same in a task. It can be dropped at any time; nothing is lost.
    pub async fn hear(&self) -> Heard {
        loop {
            let next = locked(&self.queue).next();
            match next {
                Some(heard) => return heard,
                // One that came since we looked has left its permit.
                None => self.task.notified().await,
            }
        }
    }
}

impl Queue {
    fn put(&mut self, told: Arc<Told>) {
        self.bytes += told.line.len();
        self.waiting.push_back(told);
        while self.waiting.len() > WAITING || self.bytes > WAITING_BYTES {
            let Some(oldest) = self.waiting.pop_front() else { break };
            self.bytes -= oldest.line.len();
            self.missed += 1;
        }
    }

    fn next(&mut self) -> Option<Heard> {
        if self.missed > 0 {
            return Some(Heard::Missed(std::mem::take(&mut self.missed)));
        }
        let told = self.waiting.pop_front()?;
        self.bytes -= told.line.len();
        Some(Heard::Told(told))
    }
}

impl fmt::Debug for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Listener").field("queue", &self.queue).finish_non_exhaustive()
    }
}

/// Nothing that is done under these locks panics.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(block: &str, line: &str) -> Told {
        Told { camera: "door".into(), block: block.into(), line: line.into() }
    }

    fn missed(listener: &Listener) -> u64 {
        match listener.wait() {
            Heard::Missed(count) => count,
            Heard::Told(told) => panic!("{told:?}"),
        }
    }

    #[test]
    fn each_hears_what_it_wants_and_misses_only_its_own() {
        let audience = Audience::default();
        let (people, all) = (audience.join(|told| told.block == "people"), audience.join(|_| true));
        for number in 0..WAITING + 5 {
            audience.tell(told("motion", &number.to_string()));
        }
        audience.tell(told("people", "1"));
        assert!(matches!(people.wait(), Heard::Told(told) if told.line.as_str() == "1"), "it missed nothing");
        assert_eq!(missed(&all), 6);
        assert!(matches!(all.wait(), Heard::Told(told) if told.line.as_str() == "6"));
        drop((people, all));
        assert!(audience.is_empty());
    }

    #[test]
    fn a_slow_one_has_no_more_than_so_many_bytes_waiting() {
        let audience = Audience::default();
        let slow = audience.join(|_| true);
        let line = "x".repeat(WAITING_BYTES / 4);
        for _ in 0..10 {
            audience.tell(told("people", &line));
        }
        assert_eq!(locked(&slow.queue).waiting.len(), 4);
        assert_eq!(missed(&slow), 6);
        audience.tell(told("people", &"x".repeat(WAITING_BYTES + 1)));
        assert_eq!(missed(&slow), 5, "one that is more by itself is missed too");
        assert_eq!(locked(&slow.queue).bytes, 0);
    }

    #[tokio::test]
    async fn a_task_hears_what_comes_while_it_sleeps() {
        let audience = Audience::default();
        let listener = audience.join(|_| true);
        let hears = tokio::spawn(async move { listener.hear().await });
        tokio::task::yield_now().await;
        audience.tell(told("people", "1"));
        assert!(matches!(hears.await.unwrap(), Heard::Told(_)));
    }
}
