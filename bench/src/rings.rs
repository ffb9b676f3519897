//! The rings between the two processes: frames there, small answers back.

use std::time::Duration;

use framewire_bench::{Outcome, picture};
use serde::{Deserialize, Serialize};
use shm::{
    doorbell::Doorbell,
    ring::{Frame, Policy, Reader, RingOptions, Wish, Writer},
    wire::{Passed, Socket},
};

/// Longer than anything here takes: the other side is stuck.
const LIMIT: Duration = Duration::from_secs(20);

/// What an answer takes: a word.
pub const ANSWER_BYTES: usize = 8;

/// One side's ends: what it writes and what it reads.
pub struct Ends {
    pub writer: Writer,
    pub reader: Reader,
}

/// The other side's ends, on their way to it.
#[derive(Debug, Serialize, Deserialize)]
pub struct Sessions {
    /// To read frames by.
    frames: Passed,
    /// To let the reader of answers in by.
    answers: Passed,
}

impl Ends {
    /// Makes the ring of frames, and asks to join that of answers.
    pub fn of_writer(depth: u32) -> Outcome<(Self, Sessions)> {
        let writer = Writer::create(RingOptions { depth, frame_bytes: picture::BYTES })?;
        let (frames, frames_theirs) = Socket::pair()?;
        let (answers, answers_theirs) = Socket::pair()?;
        writer.port().add(frames)?;
        let reader = join(answers)?;
        let [frames, answers] = [frames_theirs, answers_theirs].map(|end| Passed::new(end.into_owned()));
        Ok((Self { writer, reader }, Sessions { frames, answers }))
    }

    /// Makes the ring of answers, lets the writer's side in, and asks to join the ring of frames.
    pub fn of_reader(sessions: Sessions) -> Outcome<Self> {
        let writer = Writer::create(RingOptions { depth: 1, frame_bytes: ANSWER_BYTES })?;
        writer.port().add(Socket::from_owned(sessions.answers.into_owned()?))?;
        writer.port().service();
        Ok(Self { writer, reader: join(Socket::from_owned(sessions.frames.into_owned()?))? })
    }

    /// The next frame, after a sleep.
    pub fn next(&mut self) -> Outcome<Frame> {
        let frame = self.reader.next_for(LIMIT)?;
        Ok(frame.ok_or("get an answer from the other process: it has been silent for 20 s")?)
    }
}

fn join(session: Socket) -> Outcome<Reader> {
    Ok(Reader::connect(session, &Doorbell::new()?, Wish { policy: Policy::Latest, leases: 1 })?)
}
