//! Something large that belongs to one process, and is lent to another on demand: pictures, in a ring of shared memory. What
//! is lent stays as it is until it is given back, also if its owner dies.
//!
//! `cargo run -p framewire-process --example shared_resource`

use std::{process::ExitCode, time::Duration};

use process::{BoxError, Context, Process, Program, System, commands};
use shm::{
    doorbell::Doorbell,
    ring::{Info, Policy, Reader, RingOptions, Wish, Writer},
    wire::{Passed, Socket},
};

const BYTES: usize = 640 * 480;
const PATIENCE: Duration = Duration::from_secs(10);

/// Has the memory, and paints in it when it is asked to.
struct Painter {
    pictures: Writer,
}

impl Process for Painter {
    const KIND: &'static str = "painter";
    type Config = ();
    type Event = ();

    fn start((): (), cx: &mut Context<Self>) -> Result<Self, BoxError> {
        let pictures = Writer::create(RingOptions { depth: 2, frame_bytes: BYTES })?;
        // Readers come and go; the painter's event loop wakes for that.
        cx.watch(pictures.port().descriptor()?, |painter, _cx| {
            painter.pictures.port().service();
            Ok(())
        })
        .map(drop)?;
        Ok(Self { pictures })
    }
}

#[commands]
impl Painter {
    /// Somebody wants to see pictures: the other end of `session`. Sockets and files travel in any argument.
    pub fn show(&mut self, session: Passed) -> Result<(), String> {
        let session = session.into_owned().map_err(|error| error.to_string())?;
        self.pictures.port().add(Socket::from_owned(session)).map_err(|error| error.to_string())
    }

    /// Paints one, where it will be seen: it isn't copied.
    pub fn paint(&mut self, colour: u8) -> Result<(), String> {
        self.pictures.port().service(); // who wants to see it is let in first
        let mut picture = self.pictures.reserve(BYTES).map_err(|error| error.to_string())?;
        picture.bytes_mut().fill(colour);
        picture.publish(Info { width: 640, height: 480, ..Info::default() });
        Ok(())
    }
}

fn main() -> ExitCode {
    Program::new().process::<Painter>().run(app)
}

fn app(system: &System) -> Result<(), BoxError> {
    let painter = system.spawn::<Painter>(()).start()?;
    let (ours, theirs) = Socket::pair()?;
    painter.show(Passed::new(theirs.into_owned())).wait()??;
    let mut pictures = Reader::connect(ours, &Doorbell::new()?, Wish { policy: Policy::Latest, leases: 2 })?;

    painter.paint(7).wait()??;
    let lent = pictures.next_for(PATIENCE)?.ok_or("see a picture: none came")?;
    println!("lent: {} bytes of colour {}", lent.bytes().len(), lent.bytes()[0]);
    for colour in 8..20 {
        painter.paint(colour).wait()??; // in other places: this one isn't painted over
    }
    println!("after twelve more it is still of colour {}", lent.bytes()[BYTES - 1]);
    let newest = pictures.next_for(PATIENCE)?.ok_or("see a picture: none came")?;
    println!("the newest is of colour {}", newest.bytes()[0]);
    drop(newest); // that gives it back

    painter.kill();
    println!("the painter: {}", painter.join());
    println!("what it lent is still of colour {}", lent.bytes()[0]);
    Ok(())
}
