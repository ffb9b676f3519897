//! What a child writes to its standard output and error, line by line.

use std::{collections::VecDeque, os::fd::OwnedFd};

use crate::{logs, memory_limit::NO_MEMORY};

/// A line longer than this is cut into several: a child that never ends its line mustn't fill our memory.
const MAX_LINE_BYTES: usize = 8 * 1024;
/// So many go into the report of a death.
const LAST_LINES: usize = 20;
/// One child's flood mustn't keep the others waiting: the rest is read in the next round.
const READS_A_ROUND: usize = 8;

const BUFFER_BYTES: usize = 4096;

/// Whether a stream has more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum More {
    Perhaps,
    Later,
    Never,
}

/// The lines of one incarnation.
#[derive(Debug, Default)]
pub(super) struct Output {
    partial: [Vec<u8>; 2],
    last: VecDeque<String>,
    /// What a line must contain before the process counts as ready.
    awaited: Option<String>,
    has_awaited: bool,
    wanted_memory: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stream {
    Stdout = 0,
    Stderr = 1,
}

impl Output {
    pub(super) fn awaiting(awaited: Option<String>) -> Self {
        Self { awaited, ..Self::default() }
    }

    /// Whether the awaited line has come.
    pub(super) fn has_awaited(&self) -> bool {
        self.has_awaited
    }

    /// Whether an allocator has said that it got none. A stack trace may have come after it, longer than what is kept.
    pub(super) fn wanted_memory(&self) -> bool {
        self.wanted_memory
    }

    /// Reads what is there.
    pub(super) fn read(&mut self, process: &str, stream: Stream, pipe: &OwnedFd) -> More {
        let mut buffer = [0; BUFFER_BYTES];
        for _ in 0..READS_A_ROUND {
            match rustix::io::read(pipe, &mut buffer) {
                Ok(0) => {
                    self.end_line(process, stream);
                    return More::Never;
                }
                Ok(count) => buffer[..count].iter().for_each(|byte| self.put(process, stream, *byte)),
                Err(rustix::io::Errno::INTR) => {}
                Err(rustix::io::Errno::AGAIN) => return More::Later,
                Err(_) => return More::Never,
            }
        }
        More::Perhaps
    }

    /// Reads the rest of a stream whose process has ended: at most what a pipe can hold.
    pub(super) fn finish(&mut self, process: &str, stream: Stream, pipe: &OwnedFd) {
        const PIPE_BYTES: usize = 1 << 20;
        for _ in 0..PIPE_BYTES / (READS_A_ROUND * BUFFER_BYTES) {
            if self.read(process, stream, pipe) != More::Perhaps {
                break;
            }
        }
        self.end_line(process, stream);
    }

    fn put(&mut self, process: &str, stream: Stream, byte: u8) {
        let partial = &mut self.partial[stream as usize];
        if byte != b'\n' {
            partial.push(byte);
        }
        if byte == b'\n' || partial.len() == MAX_LINE_BYTES {
            self.end_line(process, stream);
        }
    }

    fn end_line(&mut self, process: &str, stream: Stream) {
        let line = std::mem::take(&mut self.partial[stream as usize]);
        if line.is_empty() {
            return;
        }
        let line = String::from_utf8_lossy(&line).into_owned();
        logs::output(process, if stream == Stream::Stdout { "stdout" } else { "stderr" }, &line);
        self.has_awaited |= self.awaited.as_ref().is_some_and(|awaited| line.contains(awaited));
        self.wanted_memory |= line.starts_with(NO_MEMORY);
        if self.last.len() == LAST_LINES {
            self.last.pop_front();
        }
        self.last.push_back(line);
    }

    /// The last lines, for the report of its death.
    pub(super) fn take_last(&mut self) -> Vec<String> {
        self.last.drain(..).collect()
    }
}
