//! A process of which thousands of calls run at once.

use std::collections::HashMap;

use futures::channel::oneshot;
use process::{BoxError, Context, Process, Shared, commands};

#[derive(Default)]
pub struct Wide {
    held: HashMap<u64, oneshot::Sender<u64>>,
    running: usize,
}

impl Process for Wide {
    const KIND: &'static str = "wide";
    type Config = ();
    type Event = ();
    const CONCURRENT_CALLS: usize = 20_000;

    fn start((): (), _cx: &mut Context<Self>) -> Result<Self, BoxError> {
        Ok(Self::default())
    }
}

struct Counted(Shared<Wide>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.with(|wide| wide.running -= 1);
    }
}

#[commands]
impl Wide {
    /// Gives the key and what it is answered with.
    pub async fn hold(this: Shared<Self>, key: u64) -> Option<(u64, u64)> {
        let (sender, answered) = oneshot::channel();
        this.with(|wide| {
            wide.running += 1;
            wide.held.insert(key, sender)
        });
        let _counted = Counted(this);
        answered.await.ok().map(|with| (key, with))
    }

    /// Answers these, each with its key's square.
    pub fn release(&mut self, keys: Vec<u64>) {
        for key in keys {
            if let Some(held) = self.held.remove(&key) {
                let _ = held.send(key * key);
            }
        }
    }

    pub fn running(&mut self) -> usize {
        self.running
    }
}
