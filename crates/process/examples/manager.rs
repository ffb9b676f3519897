//! One thread that waits for everything: the answers of N workers, a socket, a clock, and the order to stop.
//!
//! `cargo run -p framewire-process --example manager`

use std::{
    io::{Read, Write},
    os::unix::net::UnixStream,
    process::ExitCode,
    thread,
    time::Duration,
};

use process::{Asked, BoxError, Context, Process, Program, Select, System, commands};

struct Worker;

impl Process for Worker {
    const KIND: &'static str = "worker";
    type Config = ();
    type Event = ();

    fn start((): (), _cx: &mut Context<Self>) -> Result<Self, BoxError> {
        Ok(Self)
    }
}

#[commands]
impl Worker {
    /// Multiplies it with itself.
    pub fn square(&mut self, number: u64) -> u64 {
        number * number
    }
}

const WORKERS: usize = 4;

fn main() -> ExitCode {
    Program::new().process::<Worker>().run(app)
}

fn app(system: &System) -> Result<(), BoxError> {
    let worker = |index| system.spawn::<Worker>(()).name(format!("worker.{index}")).start();
    let workers = (0..WORKERS).map(worker).collect::<Result<Vec<_>, _>>()?;
    let mut select = Select::new()?;
    let (mut socket, theirs) = UnixStream::pair()?;
    let (commands, tick) = (select.watch(theirs.try_clone()?)?, select.interval(Duration::from_millis(20))?);
    let mut theirs = theirs;
    let mut asked: Vec<Asked<u64>> =
        (0..).zip(&workers).map(|(number, worker)| select.call(worker.square(number))).collect();

    // Somebody else writes to the socket, and says when it is enough.
    let stopper = select.stopper();
    let other = thread::spawn(move || {
        let written = socket.write_all(b"hello");
        thread::sleep(Duration::from_millis(100)); // sleep: that is how long this example runs
        stopper.stop();
        written
    });

    while let Some(ready) = select.wait(Duration::from_secs(10))? {
        for key in ready {
            if key == tick {
                println!("tick");
            } else if key == commands {
                let mut bytes = [0; 16];
                let count = theirs.read(&mut bytes)?;
                println!("the socket says {:?}", String::from_utf8_lossy(&bytes[..count]));
            } else if let Some(index) = asked.iter().position(|asked| asked.key() == key) {
                let asked = asked.swap_remove(index);
                if let Some(answer) = select.answer(&asked) {
                    println!("a worker says {}", answer?);
                }
            }
        }
    }
    println!("stopped");
    other.join().map_err(|_| "hear of the other thread")??;
    Ok(())
}
