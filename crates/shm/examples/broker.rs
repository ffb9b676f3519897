//! A supervisor joins two processes that don't know each other: it makes a session, and hands each one an end of it in a
//! message. `kill -9` of one leaves the other; the supervisor could start it again and join them anew.
//!
//! `cargo run -p framewire-shm --example broker`

use std::{
    env,
    error::Error,
    os::fd::AsFd,
    process::{Child, Command, Stdio},
    time::Duration,
};

use serde::{Deserialize, Serialize};
use shm::{
    doorbell::Doorbell,
    ring::{Info, Policy, ReadError, Reader, RingOptions, Wish, Writer},
    wire::{Packet, Passed, Socket},
};

/// What the supervisor tells a process.
#[derive(Serialize, Deserialize)]
struct Assignment {
    what: Role,
    session: Passed,
}

#[derive(Serialize, Deserialize)]
enum Role {
    Camera { frames: u64 },
    Detector { policy: Policy },
}

const PATIENCE: Duration = Duration::from_secs(10);

fn main() -> Result<(), Box<dyn Error>> {
    if env::args().any(|argument| argument == "--worker") { work() } else { supervise() }
}

fn supervise() -> Result<(), Box<dyn Error>> {
    let (camera, detector) = Socket::pair()?;
    let detect = Role::Detector { policy: Policy::DropOldest { depth: 8 } };
    let workers = [start(detect, detector)?, start(Role::Camera { frames: 50 }, camera)?];
    for mut worker in workers {
        let status = worker.wait()?;
        if !status.success() {
            return Err(format!("a worker ended with {status}").into());
        }
    }
    Ok(())
}

fn start(what: Role, session: Socket) -> Result<Child, Box<dyn Error>> {
    let (ours, theirs) = Socket::pair()?;
    let child = Command::new(env::current_exe()?).arg("--worker").stdin(Stdio::from(theirs.into_owned())).spawn()?;
    ours.send(&Packet::encode(&Assignment { what, session: Passed::new(session.into_owned()) })?)?;
    Ok(child)
}

fn work() -> Result<(), Box<dyn Error>> {
    let supervisor = Socket::from_owned(std::io::stdin().as_fd().try_clone_to_owned()?);
    let Assignment { what, session } = supervisor.receive()?.decode()?;
    let session = Socket::from_owned(session.into_owned()?);
    match what {
        Role::Camera { frames } => write(session, frames),
        Role::Detector { policy } => read(session, policy),
    }
}

fn write(session: Socket, frames: u64) -> Result<(), Box<dyn Error>> {
    let mut writer = Writer::create(RingOptions { depth: 8, frame_bytes: 1000 })?;
    writer.port().add(session)?;
    for number in 0..frames {
        writer.port().service(); // lets the detector in when it comes
        let mut slot = writer.reserve(1000)?;
        slot.bytes_mut().fill(number as u8);
        slot.publish(Info::default());
        std::thread::sleep(Duration::from_millis(2)); // sleep: this camera has 500 frames a second
    }
    Ok(())
}

fn read(session: Socket, policy: Policy) -> Result<(), Box<dyn Error>> {
    let mut reader = Reader::connect(session, &Doorbell::new()?, Wish { policy, leases: 1 })?;
    loop {
        match reader.next_for(PATIENCE) {
            Ok(Some(_frame)) => {}
            Ok(None) => return Err("the camera has been silent for 10 s".into()),
            Err(ReadError::WriterGone) => break,
            Err(error) => return Err(error.into()),
        }
    }
    println!("the detector's account: {:?}", reader.counts());
    Ok(())
}
