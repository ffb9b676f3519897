//! The whole life of a ring, with both ends in one process.

use std::{
    error::Error,
    fs,
    future::Future,
    pin::pin,
    process, ptr,
    sync::Arc,
    task::{Context, Poll, Wake, Waker},
    thread::{self, Thread},
    time::{Duration, Instant},
};

use rustix::{
    io::read,
    process::{PTracer, set_ptracer},
    stdio::stdin,
};
use shm::{
    doorbell::Doorbell,
    memory,
    ring::{Address, Allow, Info, Late, Policy, ReadError, Reader, Ring, RingOptions, Wish, Writer},
    status::{Number, StatusPage, StatusView},
    wait::WaitSet,
    wire::{Packet, Socket},
};

/// Set for a process that shall live; its value says what to leak.
pub const ROLE: &str = "SHM_TEST_LIFE";
/// What it says when it waits to begin.
pub const READY: &str = "ready to live";
/// Its exit codes, other than 0.
pub const LEAK: i32 = 3;
const SLEPT: i32 = 4;

type Outcome<T = ()> = Result<T, Box<dyn Error + Send + Sync>>;

/// Longer than anything here takes; a wake-up that is lost takes as long.
const LIMIT: Duration = Duration::from_secs(3);

#[derive(Debug, thiserror::Error)]
#[error("slept through {0}")]
struct Slept(&'static str);

/// Not a test of its own: what the process runs.
#[test]
fn process() {
    let Some(leak) = std::env::var_os(ROLE) else { return };
    let _ = set_ptracer(PTracer::Any);
    println!("{READY}");
    let _ = read(stdin(), &mut [0; 1]);
    let before = left();
    let outcome = live();
    match leak.to_str() {
        Some("descriptor") => std::mem::forget(Doorbell::new()),
        Some("mapping") => std::mem::forget(memory::create("framewire-t", 4096, memory::Sealing::OneWriter).unwrap().0),
        _ => {}
    }
    let after = left();
    if before != after {
        eprintln!("left: {after:?} and not {before:?}, after {outcome:?}");
        process::exit(LEAK);
    }
    match outcome {
        Ok(()) => eprintln!("all of it"),
        Err(error) => {
            eprintln!("{error}");
            if error.is::<Slept>() {
                process::exit(SLEPT);
            }
        }
    }
    process::exit(0);
}

/// All open descriptors and mapped memfds, but for the one epoll that futures keep for good.
fn left() -> Vec<String> {
    // The fault may be ours: then the next attempt is without.
    (0..3).find_map(|_| look().ok()).expect("a look at what is open")
}

fn look() -> std::io::Result<Vec<String>> {
    let descriptors = fs::read_dir("/proc/self/fd")?.flatten();
    let descriptors = descriptors.filter_map(|entry| fs::read_link(entry.path()).ok());
    let mut all: Vec<String> = descriptors.map(|target| target.to_string_lossy().into_owned()).collect();
    if let Some(watcher) = all.iter().position(|target| target.contains("eventpoll")) {
        all.remove(watcher);
    }
    let maps = fs::read_to_string("/proc/self/maps")?;
    all.extend(maps.lines().filter_map(|line| Some(line[line.find("/memfd:")?..].to_owned())));
    all.sort();
    Ok(all)
}

fn live() -> Outcome {
    by_socket()?;
    by_address()?;
    messages()
}

const SMALL: usize = 5000;
const LARGE: usize = 30_000;

fn by_socket() -> Outcome {
    let mut writer = Writer::create(RingOptions { depth: 2, frame_bytes: SMALL })?;
    let mut set = WaitSet::new()?;
    let (timeout, late) = (LIMIT, Late::Detach);
    // What the other policies do makes no calls of their own.
    let policies = [
        Policy::MaxRate { period: Duration::from_nanos(1) },
        Policy::DropOldest { depth: 2 },
        Policy::Block { timeout, late },
    ];
    let mut readers = Vec::new();
    for policy in policies {
        readers.push(join(&writer, set.bell(), policy)?);
    }
    publish(&mut writer, SMALL)?;
    for reader in &mut readers {
        reader.try_next()?.ok_or("nothing was published")?;
    }
    let held = readers[1].try_next()?;
    // To larger frames, until nothing stands in the smaller segment.
    for _ in 0..12 {
        publish(&mut writer, LARGE)?;
        for reader in &mut readers {
            reader.try_next()?;
        }
    }
    let mut blocking = readers.pop().ok_or("the last one blocks")?;
    let mut all = readers.swap_remove(1);
    blocked(&mut writer, &mut blocking)?;
    drop(blocking);
    asleep(&mut writer, &mut all)?;
    awaited(&mut writer, &mut all)?;
    let key = set.add(all)?;
    publish(&mut writer, SMALL)?;
    if !set.wait(LIMIT)?.contains(&key) {
        return Err(Slept("a set's frame").into());
    }
    while set.try_next(key)?.is_some() {}
    // A reader that is late is let go.
    let patience = Duration::from_millis(1);
    let mut late = join(&writer, set.bell(), Policy::Block { timeout: patience, late })?;
    for _ in 0..4 {
        publish(&mut writer, SMALL)?;
    }
    while !matches!(late.try_next(), Err(ReadError::WriterGone)) {
        late.service()?;
    }
    drop(late);
    // A reader that leaves, and the writer's end.
    readers.clear();
    writer.port().service();
    drop((writer, held));
    set.wait(LIMIT)?;
    Ok(())
}

/// A writer that waits for a reader, and is released when that takes a frame.
fn blocked(writer: &mut Writer, reader: &mut Reader) -> Outcome {
    while reader.try_next()?.is_some() {}
    for _ in 0..2 {
        publish(writer, SMALL)?;
    }
    thread::scope(|scope| {
        let taking = thread::Builder::new().spawn_scoped(scope, || {
            thread::sleep(Duration::from_millis(5)); // sleep: so that the writer usually waits already
            reader.try_next().map(|frame| frame.is_some())
        });
        let taking = taking.map_err(|error| format!("start a thread: {error}"))?;
        let begun = Instant::now();
        let published = publish(writer, SMALL);
        let took = taking.join().map_err(|_| "the reader panicked")?;
        published?;
        if took? && begun.elapsed() >= LIMIT {
            return Err(Slept("a frame that was taken").into());
        }
        Ok(())
    })
}

/// A reader that sleeps until there is a frame.
fn asleep(writer: &mut Writer, reader: &mut Reader) -> Outcome {
    while reader.try_next()?.is_some() {}
    thread::scope(|scope| {
        let publishing = thread::Builder::new().spawn_scoped(scope, || {
            thread::sleep(Duration::from_millis(5)); // sleep: so that the reader usually sleeps already
            publish(writer, SMALL)
        });
        let publishing = publishing.map_err(|error| format!("start a thread: {error}"))?;
        let frame = reader.next_for(LIMIT);
        publishing.join().map_err(|_| "the writer panicked")??;
        frame?.map(drop).ok_or(Slept("a frame").into())
    })
}

/// The same, as a future.
fn awaited(writer: &mut Writer, reader: &mut Reader) -> Outcome {
    while reader.try_next()?.is_some() {}
    thread::scope(|scope| {
        let publishing = thread::Builder::new().spawn_scoped(scope, || {
            thread::sleep(Duration::from_millis(5)); // sleep: so that the reader usually waits already
            publish(writer, SMALL)
        });
        let publishing = publishing.map_err(|error| format!("start a thread: {error}"))?;
        let frame = wait_for(reader.next());
        publishing.join().map_err(|_| "the writer panicked")??;
        frame.ok_or(Slept("a future's frame"))?.map(drop)?;
        Ok(())
    })
}

fn wait_for<F: Future>(future: F) -> Option<F::Output> {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let (mut future, end) = (pin!(future), Instant::now() + LIMIT);
    while Instant::now() < end {
        if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return Some(output);
        }
        thread::park_timeout(end.saturating_duration_since(Instant::now()));
    }
    None
}

fn by_address() -> Outcome {
    let name = format!("shm-life-{}", process::id());
    let path = std::env::temp_dir().join(&name);
    // As a killed process leaves it.
    let stale = std::os::unix::net::UnixListener::bind(&path);
    drop(stale.map_err(|error| format!("socket, bind, listen: {error}"))?);
    let _gone = Gone(&path);
    for address in [Address::Path(path.clone()), Address::Abstract(name)] {
        let mut writer = Writer::create(RingOptions { depth: 2, frame_bytes: 100 })?;
        let served = Ring::serve(&writer, &address, Allow::SameUser)?;
        let wish = Wish { policy: Policy::DropOldest { depth: 2 }, leases: 1 };
        let mut reader = Ring::connect(&address, Allow::SameUser, wish, LIMIT)?;
        publish(&mut writer, 100)?;
        reader.next_for(LIMIT)?.ok_or(Slept("a frame from an address"))?;
        drop(served);
    }
    Ok(())
}

struct Gone<'p>(&'p std::path::Path);

impl Drop for Gone<'_> {
    fn drop(&mut self) {
        let _ = fs::remove_file(self.0);
    }
}

/// What else goes between processes: a large message, and a status page.
fn messages() -> Outcome {
    let (one, other) = Socket::pair()?;
    let page = StatusPage::create()?;
    let large = "x".repeat(100_000);
    one.send(&Packet::encode(&(&large, page.read_only()?, page.writable()?))?)?;
    let (text, view, writable) = other.receive()?.decode::<(String, _, shm::wire::Passed)>()?;
    let (view, child) = (StatusView::open(&view)?, StatusPage::open(writable.into_owned()?)?);
    child.add(Number::FramesIn, 7);
    let arrived = text == large && view.get(Number::FramesIn) == 7 && !ptr::eq(&page, &child);
    arrived.then_some(()).ok_or("something else arrived than was sent".into())
}

fn join(writer: &Writer, bell: &Doorbell, policy: Policy) -> Outcome<Reader> {
    let (ours, theirs) = Socket::pair()?;
    writer.port().add(ours)?;
    let mut reader = Reader::connect(theirs, bell, Wish { policy, leases: 2 })?;
    let end = Instant::now() + LIMIT;
    while !reader.is_joined() {
        writer.port().service();
        reader.try_next()?;
        if Instant::now() > end {
            return Err(Slept("the answer to a wish").into());
        }
    }
    Ok(reader)
}

fn publish(writer: &mut Writer, bytes: usize) -> Outcome {
    let mut slot = writer.reserve(bytes)?;
    slot.bytes_mut().fill(7);
    slot.publish(Info::default());
    writer.port().service();
    Ok(())
}
