//! Commands that wait for something else, many at once, in one process with one thread for its state.
//!
//! `cargo run -p framewire-process --example async_calls`

use std::{
    process::ExitCode,
    time::{Duration, Instant},
};

use futures::{executor::block_on, future::join_all};
use process::{BoxError, Context, Process, Program, Shared, System, commands};
use tokio::{runtime, time::sleep};

/// Fetches pages.
struct Fetcher {
    /// Any runtime will do, or none: this process's own loop runs the commands, and is woken by whatever they await.
    runtime: runtime::Handle,
    fetched: u32,
}

impl Process for Fetcher {
    const KIND: &'static str = "fetcher";
    type Config = ();
    type Event = String;
    /// Further calls wait until one of these has ended.
    const CONCURRENT_CALLS: usize = 50;

    fn start((): (), _cx: &mut Context<Self>) -> Result<Self, BoxError> {
        let driver = runtime::Builder::new_current_thread().enable_time().build()?;
        let runtime = driver.handle().clone();
        std::thread::spawn(move || driver.block_on(std::future::pending::<()>()));
        Ok(Self { runtime, fetched: 0 })
    }
}

#[commands]
impl Fetcher {
    /// A page's text. While it comes, other pages do, and plain commands are answered.
    pub async fn fetch(this: Shared<Self>, page: u32) -> Result<String, String> {
        let runtime = this.with(|fetcher| fetcher.runtime.clone());
        let text = runtime.spawn(download(page)).await.map_err(|error| error.to_string())??;
        // Nobody else has the process until this closure ends.
        this.with_context(|fetcher, cx| {
            fetcher.fetched += 1;
            if fetcher.fetched.is_multiple_of(40) {
                cx.emit(&format!("{} pages so far", fetcher.fetched));
            }
        });
        Ok(text)
    }

    /// How many have come.
    pub fn fetched(&self) -> u32 {
        self.fetched
    }
}

/// It stands for a server that takes its time.
async fn download(page: u32) -> Result<String, String> {
    sleep(Duration::from_millis(100)).await;
    if page == 13 { Err("there is no page 13".to_owned()) } else { Ok(format!("page {page}")) }
}

fn main() -> ExitCode {
    Program::new().process::<Fetcher>().run(app)
}

fn app(system: &System) -> Result<(), BoxError> {
    let fetcher = system.spawn::<Fetcher>(()).start()?;
    fetcher.on_event(|event: String| println!("it says: {event}"));
    let begun = Instant::now();
    let pages = block_on(join_all((0..100).map(|page| fetcher.fetch(page).into_future())));
    println!("{} answers after {:?}, one after the other it would be 10 s", pages.len(), begun.elapsed());
    for (page, answer) in pages.into_iter().enumerate() {
        match answer? {
            Ok(text) if page == 99 => println!("the last: {text}"),
            Ok(_) => {}
            Err(error) => println!("page {page}: {error}"),
        }
    }
    // Whoever doesn't wait any longer ends the command too: it is dropped where it awaits.
    let given_up = fetcher.fetch(100).wait_for(Duration::from_millis(10));
    println!("in a hurry: {}", given_up.map_or_else(|error| format!("could not {error}"), |_| "it came".to_owned()));
    println!("{} pages came", fetcher.fetched().wait()?);
    Ok(())
}
