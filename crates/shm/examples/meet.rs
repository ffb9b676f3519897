//! Two programs that have nothing to do with each other meet at an address.
//!
//! In one terminal `cargo run -p framewire-shm --example meet -- write @front-door`, in as many others as you like
//! `cargo run -p framewire-shm --example meet -- read @front-door`. Kill any of them, and start it again. An address is a path, or
//! an abstract name that begins with `@`.

use std::{
    error::Error,
    time::{Duration, Instant},
};

use shm::ring::{Address, Allow, Info, Policy, ReadError, Ring, RingOptions, Wish, Writer};

const WIDTH: u32 = 640;
const HEIGHT: u32 = 480;
const USAGE: &str = "usage: meet write|read ADDRESS [FRAMES]";

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let frames = arguments.get(2).map_or(Ok(u64::MAX), |frames| frames.parse())?;
    match &arguments[..] {
        [side, address, ..] if side == "write" => write(&address.parse()?, frames),
        [side, address, ..] if side == "read" => read(&address.parse()?, frames),
        _ => Err(USAGE.into()),
    }
}

fn write(address: &Address, frames: u64) -> Result<(), Box<dyn Error>> {
    let bytes = (WIDTH * HEIGHT) as usize;
    let mut writer = Writer::create(RingOptions { depth: 4, frame_bytes: bytes })?;
    let _open = Ring::serve(&writer, address, Allow::SameUser)?;
    println!("writing at {address}");
    let begun = Instant::now();
    for frame in 0..frames {
        let mut slot = writer.reserve(bytes)?;
        slot.bytes_mut().fill(frame as u8); // a camera's driver or a decoder would write here
        slot.publish(Info {
            pts_ns: begun.elapsed().as_nanos() as i64,
            width: WIDTH,
            height: HEIGHT,
            strides: [WIDTH, 0, 0, 0],
            ..Info::default()
        });
        std::thread::sleep(Duration::from_millis(40)); // sleep: this camera has 25 frames a second
    }
    Ok(())
}

fn read(address: &Address, frames: u64) -> Result<(), Box<dyn Error>> {
    // Never more than ten frames a second, and two may be held at once: the newest, and the one before it.
    let wish = Wish { policy: Policy::max_rate(10.0), leases: 2 };
    let patience = Duration::from_secs(10);
    let mut reader = Ring::connect(address, Allow::SameUser, wish, patience)?;
    let (mut read, mut previous) = (0, None);
    while read < frames {
        match reader.next_for(patience) {
            Ok(Some(frame)) => {
                read += 1;
                println!("frame {} of {}x{}", frame.sequence(), frame.info().width, frame.info().height);
                previous = Some(frame);
            }
            Ok(None) => println!("nothing for {patience:?}"),
            // A restarted writer makes a new ring: join that one.
            Err(ReadError::WriterGone) => reader = Ring::connect(address, Allow::SameUser, wish, patience)?,
            Err(error) => return Err(error.into()),
        }
    }
    drop(previous);
    println!("{:?}", reader.counts());
    Ok(())
}
