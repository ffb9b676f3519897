//! A parent hands its child a ring: the child inherits the session as a descriptor, here its standard input.
//!
//! `cargo run -p framewire-shm --example inherit`

use std::{
    env,
    error::Error,
    os::fd::AsFd,
    process::{Command, Stdio},
    time::Duration,
};

use shm::{
    doorbell::Doorbell,
    ring::{Info, Late, Policy, ReadError, Reader, RingOptions, Wish, Writer},
    wire::Socket,
};

const FRAMES: u64 = 100;
const PATIENCE: Duration = Duration::from_secs(10);

fn main() -> Result<(), Box<dyn Error>> {
    if env::args().any(|argument| argument == "--child") { child() } else { parent() }
}

fn parent() -> Result<(), Box<dyn Error>> {
    let mut writer = Writer::create(RingOptions { depth: 8, frame_bytes: 100_000 })?;
    let (ours, theirs) = Socket::pair()?;
    writer.port().add(ours)?;
    let child = Command::new(env::current_exe()?).arg("--child").stdin(Stdio::from(theirs.into_owned())).spawn();
    let mut child = child?;
    // Whoever has an event loop watches `port().descriptor()` instead.
    while writer.port().readers() == 0 && child.try_wait()?.is_none() {
        writer.port().service();
        std::thread::sleep(Duration::from_millis(1)); // sleep: until the child has asked to join
    }
    for number in 0..FRAMES {
        // It waits for the child as long as the child lives, and not a moment longer.
        let mut slot = writer.reserve(100_000)?;
        slot.bytes_mut().fill(number as u8);
        slot.publish(Info::default());
    }
    drop(writer); // the child reads what is left, and then is told
    let status = child.wait()?;
    if status.success() { Ok(()) } else { Err(format!("the child ended with {status}").into()) }
}

fn child() -> Result<(), Box<dyn Error>> {
    let session = Socket::from_owned(std::io::stdin().as_fd().try_clone_to_owned()?);
    let policy = Policy::Block { timeout: Duration::MAX, late: Late::Drop };
    let mut reader = Reader::connect(session, &Doorbell::new()?, Wish { policy, leases: 1 })?;
    loop {
        match reader.next_for(PATIENCE) {
            Ok(Some(frame)) => assert!(frame.bytes().iter().all(|byte| *byte == (frame.sequence() - 1) as u8)),
            Ok(None) => return Err("the parent has been silent for 10 s".into()),
            Err(ReadError::WriterGone) => break,
            Err(error) => return Err(error.into()),
        }
    }
    println!("the child read {} of {FRAMES} frames", reader.counts().read);
    Ok(())
}
