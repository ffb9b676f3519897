//! Another try in a moment, for what no waker tells of: a process whose line is full.

use std::{
    future::Future,
    pin::Pin,
    sync::{Mutex, PoisonError},
    task::{Context, Poll, Waker},
    thread,
    time::Duration,
};

/// Long beside a message, short beside a person.
const MOMENT: Duration = Duration::from_millis(2);

/// Whoever tries again in a moment. While there is nobody, there is no thread.
static WAITING: Mutex<Vec<Waker>> = Mutex::new(Vec::new());

/// Ready in a moment.
#[derive(Default)]
pub struct Moment {
    has_begun: bool,
}

impl Future for Moment {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if self.has_begun {
            return Poll::Ready(());
        }
        self.has_begun = true;
        let mut waiting = WAITING.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.push(cx.waker().clone());
        if waiting.len() == 1 {
            drop(waiting);
            if thread::Builder::new().name("patience".to_owned()).stack_size(64 * 1024).spawn(wake).is_err() {
                wake(); // no thread to be had: this one waits
            }
        }
        Poll::Pending
    }
}

fn wake() {
    thread::sleep(MOMENT); // sleep: the moment itself
    let waiting = std::mem::take(&mut *WAITING.lock().unwrap_or_else(PoisonError::into_inner));
    waiting.into_iter().for_each(Waker::wake);
}
