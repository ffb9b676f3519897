//! The pool's side of one worker: the other end of its bench.

use shm::{
    lane::{Broken, Entry, Lane, Position, Reader, Sleep, Writer},
    wire::{EncodeError, Packet, Passed, ReceiveError, SendError, Socket},
};

use super::{
    offer::{AWAY, LANE_BYTES, MAX_SMALL_BYTES, Offer, Trailer},
    task::Task,
};
use crate::{
    BoxError,
    message::{Kind, Message},
};

/// What a pool shares with one incarnation of a worker.
#[derive(Debug)]
pub(super) struct Desk {
    pub socket: Socket,
    tasks: Writer,
    results: Reader,
}

/// What became of a task that was to be sent.
#[derive(Debug)]
pub(super) enum Sent {
    /// It lies before the worker.
    There(Position),
    /// There is no room now.
    NoRoom,
    /// It can't be sent to anybody.
    Never(String),
    /// The worker is gone, or has gone mad.
    Lost,
}

/// A result as it came.
#[derive(Debug)]
pub(super) struct Report {
    pub id: u64,
    pub tag: u32,
    pub took_ns: u64,
    /// `None`: in the room that [`Desk::result`] was given.
    pub large: Option<Packet>,
}

impl Desk {
    /// Makes one, and the message that offers it to the worker.
    pub(super) fn set_up(max_memory: Option<u64>) -> Result<(Self, Packet), BoxError> {
        let (socket, theirs) = Socket::pair()?;
        let (tasks, tasks_memory) = Lane::create(LANE_BYTES)?;
        let (results, results_memory) = Lane::create(LANE_BYTES)?;
        let offer = Offer {
            socket: Passed::new(theirs.into_owned()),
            tasks: Passed::new(tasks_memory),
            results: Passed::new(results_memory),
            max_memory,
        };
        let encoded: Result<Packet, EncodeError> = Message::encode(Kind::Pool, 0, &offer);
        Ok((Self { socket, tasks: tasks.writer(), results: results.reader() }, encoded?))
    }

    /// Lays a task before the worker. It isn't woken by this.
    pub(super) fn send(&mut self, id: u64, task: &mut Task) -> Sent {
        let command = &mut task.command;
        let small = command.descriptors.is_empty() && command.bytes.len() <= MAX_SMALL_BYTES;
        let (tag, body) = if small {
            (0, command.bytes.as_slice())
        } else {
            match self.tasks.has_room(0, 0) {
                Ok(true) => {}
                Ok(false) => return Sent::NoRoom,
                Err(_) => return Sent::Lost,
            }
            // The trailer comes off again: the task may have to be sent once more.
            let content = command.bytes.len();
            Trailer { id, tag: 0, took_ns: 0 }.append(&mut command.bytes);
            let sent = self.socket.try_send(command);
            command.bytes.truncate(content);
            match sent {
                Ok(()) => (AWAY, &[][..]),
                Err(SendError::Full) => return Sent::NoRoom,
                Err(SendError::Gone) => return Sent::Lost,
                Err(error) => return Sent::Never(error.to_string()),
            }
        };
        match self.tasks.push(Entry { id, tag, note: 0 }, body) {
            Ok(Some(position)) => Sent::There(position),
            Ok(None) => Sent::NoRoom,
            Err(Broken { .. }) => Sent::Lost,
        }
    }

    /// Takes a task back that the worker hasn't begun.
    pub(super) fn take_back(&self, position: Position) -> bool {
        self.tasks.take_back(position)
    }

    /// Wakes the worker if it sleeps.
    pub(super) fn wake(&self) {
        if self.tasks.reader() != Sleep::Awake && self.tasks.wake() {
            // Full: then there is plenty to wake it. Gone: its end will be heard of.
            let _ = self.socket.try_send(&Packet::default());
        }
    }

    /// The next result in the lane; its content goes into `room`.
    pub(super) fn result(&mut self, room: &mut Vec<u8>) -> Result<Option<Report>, Broken> {
        let Some(Entry { id, tag, note }) = self.results.begin(room)? else { return Ok(None) };
        self.results.finish();
        Ok(Some(Report { id, tag, took_ns: note, large: None }))
    }

    /// The next result in the socket; bells are skipped.
    ///
    /// # Errors
    ///
    /// [`ReceiveError::Empty`] if there is none now.
    pub(super) fn large_result(&self) -> Result<Report, ReceiveError> {
        loop {
            let mut answer = self.socket.try_receive()?;
            if let Some(Trailer { id, tag, took_ns }) = Trailer::cut(&mut answer.bytes) {
                return Ok(Report { id, tag, took_ns, large: Some(answer) });
            }
        }
    }

    /// The pool is about to sleep. `false`: there is a result.
    #[must_use = "a result may be there already"]
    pub(super) fn sleep(&self, how: Sleep) -> bool {
        self.results.sleep(how)
    }

    /// The pool looks by itself again.
    pub(super) fn awake(&self) {
        self.results.awake();
    }
}
