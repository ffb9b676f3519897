//! Findings as lines of a file: standard output, usually.

use std::{
    fs::File,
    io::{self, ErrorKind, Write},
};

use rustix::event::{PollFd, PollFlags, poll};
use serde_json::json;

/// A file that takes lines, whole or not at all.
#[derive(Debug)]
pub struct Lines {
    to: File,
    /// How many it didn't take, since the last one that it took.
    dropped: u64,
    /// Part of a line is written and the rest isn't.
    torn: bool,
}

impl Lines {
    pub fn new(to: File) -> Self {
        Self { to, dropped: 0, torn: false }
    }

    /// Writes one, however long the file takes for it. What an earlier error has cost is told before it. `Ok` also if it is
    /// dropped: a disk that is full may have room again.
    ///
    /// # Errors
    ///
    /// Nobody reads what is written, and nobody ever will.
    pub fn put(&mut self, line: &str) -> io::Result<()> {
        let mut text = String::new();
        if self.torn {
            text.push('\n');
        }
        if self.dropped > 0 {
            text += &format!("{}\n", json!({"dropped": self.dropped}));
        }
        text += &format!("{line}\n");
        match self.write(text.as_bytes()) {
            Ok(()) => (self.dropped, self.torn) = (0, false),
            Err(error) if error.kind() == ErrorKind::BrokenPipe => return Err(error),
            Err(error) => {
                if self.dropped == 0 {
                    tracing::error!("results are lost, as they can't be written to standard output: {error}");
                }
                self.dropped += 1;
            }
        }
        Ok(())
    }

    fn write(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            match self.to.write(bytes) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(count) => {
                    self.torn = true;
                    bytes = &bytes[count..];
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                // Whoever gave us this file doesn't wait for it, and so it doesn't wait for its reader; we do.
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    poll(&mut [PollFd::new(&self.to, PollFlags::OUT)], None)?;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::{
        io::{BufRead, BufReader, pipe},
        os::fd::OwnedFd,
        thread,
    };

    use super::*;

    #[test]
    fn a_pipe_that_does_not_wait_loses_nothing() {
        let (reader, writer) = pipe().unwrap();
        rustix::io::ioctl_fionbio(&writer, true).unwrap();
        let mut lines = Lines::new(OwnedFd::from(writer).into());
        // More than it holds.
        let writing = thread::spawn(move || (0..20_000).for_each(|number| lines.put(&format!("{number}")).unwrap()));
        let read = BufReader::new(reader).lines().map(|line| line.unwrap().parse::<u32>().unwrap());
        assert!(read.eq(0..20_000));
        writing.join().unwrap();
    }

    #[test]
    fn what_a_full_disk_has_cost_is_told() {
        let mut lines = Lines::new(File::options().write(true).open("/dev/full").unwrap());
        lines.put("1").unwrap();
        lines.put("2").unwrap();
        let (reader, writer) = pipe().unwrap();
        lines.to = OwnedFd::from(writer).into();
        lines.put("3").unwrap();
        lines.put("4").unwrap();
        let mut read = BufReader::new(reader).lines().map(Result::unwrap);
        assert_eq!([read.next().unwrap(), read.next().unwrap(), read.next().unwrap()], ["{\"dropped\":2}", "3", "4"]);
    }

    #[test]
    fn a_reader_that_has_gone_is_the_end() {
        let (reader, writer) = pipe().unwrap();
        drop(reader);
        let error = Lines::new(OwnedFd::from(writer).into()).put("1").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::BrokenPipe);
    }
}
