//! Lines to the terminal, by a thread of their own: a terminal that stands still (Ctrl-S, a full pipe) or is gone must not
//! hold up whoever supervises.

use std::{
    io::{self, Write, stderr, stdout},
    sync::mpsc::{self, SyncSender},
    thread,
    time::Duration,
};

/// Lines that wait; beyond these, new ones are lost.
const MAX_WAITING: usize = 1024;

/// How long the last lines are waited for.
const LAST_LINES: Duration = Duration::from_millis(200);

enum Print {
    Out(Vec<u8>),
    Err(Vec<u8>),
    Done(SyncSender<()>),
}

/// Where lines are handed over. Clones are the same one.
#[derive(Clone, Debug)]
pub struct Printer {
    sender: SyncSender<Print>,
    /// Standard output is for something else.
    quiet: bool,
}

impl Printer {
    /// Starts the thread. If it is to be `quiet`, what is said goes to standard error, since standard output is for results.
    ///
    /// # Errors
    ///
    /// If there can't be another thread.
    pub fn start(quiet: bool) -> io::Result<Self> {
        let (sender, lines) = mpsc::sync_channel(MAX_WAITING);
        thread::Builder::new().name("printer".to_owned()).spawn(move || {
            for line in lines {
                // Who doesn't want to read it has gone; there is nobody to tell.
                let _ = match line {
                    Print::Out(line) => stdout().write_all(&line).and_then(|()| stdout().flush()),
                    Print::Err(line) => stderr().write_all(&line),
                    Print::Done(done) => done.send(()).map_err(io::Error::other),
                };
            }
        })?;
        Ok(Self { sender, quiet })
    }

    /// Prints a line for whoever started this.
    pub fn say(&self, line: &str) {
        let line = format!("{line}\n").into_bytes();
        let _ = self.sender.try_send(if self.quiet { Print::Err(line) } else { Print::Out(line) });
    }

    /// A writer to standard error, whose writes are lines.
    pub fn to_stderr(&self) -> impl Write + use<> {
        struct ToStderr(Printer);
        impl Write for ToStderr {
            fn write(&mut self, line: &[u8]) -> io::Result<usize> {
                let _ = self.0.sender.try_send(Print::Err(line.to_vec()));
                Ok(line.len())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        ToStderr(self.clone())
    }

    /// Waits for what was said to be printed, but not long.
    pub fn finish(&self) {
        let (done, is_done) = mpsc::sync_channel(1);
        if self.sender.try_send(Print::Done(done)).is_ok() {
            let _ = is_done.recv_timeout(LAST_LINES);
        }
    }
}
