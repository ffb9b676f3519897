//! The process that most of these tests start.

use std::{
    collections::HashMap,
    fs::File,
    io::Write,
    time::{Duration, Instant},
};

use futures::{channel::oneshot, future};
use process::{BoxError, Context, Process, Shared, commands};
use serde::{Deserialize, Serialize};
use shm::wire::Passed;

#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Config {
    /// Where its stop writes that it came to it, and what it found.
    pub last_words: Option<Passed>,
}

/// What it has counted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// The keys of all that began, in this order.
    pub begun: Vec<u64>,
    /// How many run now.
    pub running: usize,
    /// How many ran at once at most.
    pub most: usize,
}

pub struct Subject {
    config: Config,
    counts: Counts,
    held: HashMap<u64, oneshot::Sender<()>>,
    timers: tokio::runtime::Handle,
    inner: Option<SubjectHandle>,
    kept: Option<Shared<Self>>,
}

impl Process for Subject {
    const KIND: &'static str = "subject";
    type Config = Config;
    type Event = u64;
    const CONCURRENT_CALLS: usize = 8;

    fn start(config: Config, _cx: &mut Context<Self>) -> Result<Self, BoxError> {
        // Somebody else's runtime, on a thread of its own.
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
        let timers = runtime.handle().clone();
        std::thread::spawn(move || runtime.block_on(future::pending::<()>()));
        let (counts, held) = (Counts::default(), HashMap::new());
        Ok(Self { config, counts, held, timers, inner: None, kept: None })
    }

    fn stop(self) {
        if let Some(kept) = self.kept {
            kept.with(|_| ());
        }
        if let Some(words) = self.config.last_words {
            let mut file = File::from(words.into_owned().unwrap());
            file.write_all(format!("stopped with {}", self.counts.running).as_bytes()).unwrap();
        }
    }
}

/// Counts a call as running for as long as it is there: its destructor uses the process too.
struct Counted(Shared<Subject>);

impl Counted {
    fn new(this: &Shared<Subject>, key: u64) -> Self {
        this.with(|subject| {
            let counts = &mut subject.counts;
            counts.begun.push(key);
            counts.running += 1;
            counts.most = counts.most.max(counts.running);
        });
        Self(this.clone())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.with(|subject| subject.counts.running -= 1);
    }
}

/// Panics when it goes.
struct Grudge;

impl Drop for Grudge {
    fn drop(&mut self) {
        panic!("dropped");
    }
}

#[commands]
impl Subject {
    /// Ends when it is released, or dropped.
    pub async fn hold(this: Shared<Self>, key: u64) -> u64 {
        let _counted = Counted::new(&this, key);
        let (sender, released) = oneshot::channel();
        this.with(|subject| subject.held.insert(key, sender));
        let _ = released.await;
        key * 2
    }

    /// Lets a held call end. Whether there was one.
    pub fn release(&mut self, key: u64) -> bool {
        self.held.remove(&key).is_some_and(|held| held.send(()).is_ok())
    }

    pub fn counts(&mut self) -> Counts {
        self.counts.clone()
    }

    pub fn ping(&mut self, number: u64) -> u64 {
        number
    }

    /// Ends after so long, by a timer of the other runtime; gives how many ran when it did.
    pub async fn nap(this: Shared<Self>, milliseconds: u64) -> u64 {
        let _counted = Counted::new(&this, milliseconds);
        let nap = async move { tokio::time::sleep(Duration::from_millis(milliseconds)).await };
        this.with(|subject| subject.timers.clone()).spawn(nap).await.unwrap();
        this.with(|subject| subject.counts.running as u64)
    }

    /// Awaits something, then panics. Its arguments are named as what the dispatcher may use.
    pub async fn panic_later(this: Shared<Self>, process: String, cx: u64) -> u64 {
        let _counted = Counted::new(&this, cx);
        yield_now().await;
        panic!("{process}")
    }

    /// Is held, and panics when dropped.
    pub async fn hold_a_grudge(this: Shared<Self>, key: u64) -> u64 {
        let _grudge = Grudge;
        Self::hold(this, key).await
    }

    /// Computes for so long, without awaiting anything.
    pub async fn spin(_this: Shared<Self>, milliseconds: u64) {
        let end = Instant::now() + Duration::from_millis(milliseconds);
        while Instant::now() < end {
            std::hint::spin_loop();
        }
    }

    /// Wakes itself all the time, until it is released; gives how often.
    pub async fn toss_and_turn(this: Shared<Self>, key: u64) -> u64 {
        let mut held = Box::pin(Self::hold(this, key));
        let mut times = 0;
        future::poll_fn(|cx| {
            times += 1;
            cx.waker().wake_by_ref();
            held.as_mut().poll(cx)
        })
        .await;
        times
    }

    /// Awaits and says events, by turns.
    pub async fn count(this: Shared<Self>, to: u64) {
        for number in 1..=to {
            yield_now().await;
            this.with_context(|_, cx| cx.emit(&number));
        }
    }

    /// Whether a handler is told that it is cancelled, which only a plain one can be.
    pub async fn is_cancelled(this: Shared<Self>) -> bool {
        yield_now().await;
        this.with_context(|_, cx| cx.is_cancelled())
    }

    pub async fn reenter(this: Shared<Self>) {
        this.with(|_| this.with(|_| ()));
    }

    /// Keeps a `Shared` of itself beyond its stop, where it uses it.
    pub async fn keep(this: Shared<Self>) {
        this.with(|subject| subject.kept = Some(this.clone()));
    }

    /// Has a subject of its own double a number, as many times as there are further levels.
    pub async fn double_below(this: Shared<Self>, number: u64, levels: u32) -> Result<u64, String> {
        if levels == 0 {
            return Ok(number);
        }
        let inner = Self::inner(&this)?;
        inner.double_below(number * 2, levels - 1).await.map_err(|error| error.to_string())?
    }

    /// Asks a subject of its own, which asks back before it can answer: both have a call in flight then.
    pub async fn converse(this: Shared<Self>, key: u64) -> Result<u64, String> {
        let inner = Self::inner(&this)?;
        let asked_back = async {
            let events = inner.events::<u64>();
            let key = events.next().await.map_err(|error| error.to_string())?.ok_or("it says nothing")?;
            inner.release(key).await.map_err(|error| error.to_string())
        };
        let (answer, asked_back) = future::join(inner.ask_back(key).into_future(), asked_back).await;
        if asked_back? { answer.map_err(|error| error.to_string()) } else { Err("nobody held".to_owned()) }
    }

    /// Says its key, and ends when it is released.
    pub async fn ask_back(this: Shared<Self>, key: u64) -> u64 {
        let mut said = false;
        let mut held = Box::pin(Self::hold(this.clone(), key));
        future::poll_fn(|cx| {
            let ended = held.as_mut().poll(cx);
            if !std::mem::replace(&mut said, true) {
                this.with_context(|_, cx| cx.emit(&key)); // it can be released from now on
            }
            ended
        })
        .await
    }

    fn inner(this: &Shared<Self>) -> Result<SubjectHandle, String> {
        this.with_context(|subject, cx| {
            if subject.inner.is_none() {
                let system = cx.system().map_err(|error| error.to_string())?;
                let inner = system.spawn::<Self>(Config::default()).name(format!("{}.inner", cx.name()));
                subject.inner = Some(inner.start().map_err(|error| error.to_string())?);
            }
            subject.inner.clone().ok_or_else(|| "no inner".to_owned())
        })
    }
}

/// Lets others go first.
async fn yield_now() {
    let mut first = true;
    future::poll_fn(|cx| {
        if std::mem::take(&mut first) {
            cx.waker().wake_by_ref();
            return std::task::Poll::Pending;
        }
        std::task::Poll::Ready(())
    })
    .await;
}
