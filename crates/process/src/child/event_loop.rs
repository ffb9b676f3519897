//! The loop of a child: commands, doorbell, watched descriptors, one after the other.

use std::{
    mem::MaybeUninit,
    panic::{AssertUnwindSafe, catch_unwind},
};

use rustix::{
    event::{Timespec, epoll},
    io::Errno,
};
use shm::wire::{Packet, SendError};

use super::{Context, control::Inbox, panics};
use crate::{
    BoxError, Commands,
    message::{Failure, Kind, Message},
    pool::Bench,
};

/// Token of the process's doorbell.
pub(super) const BELL: u64 = 0;
/// Token of the parent's messages.
const INBOX: u64 = 1;
/// Token of a pool's bell.
const POOL: u64 = u64::MAX;
/// The first token of what the process watches.
pub(super) const FIRST_WATCH: u64 = 2;

/// What a process wants after a [turn](crate::Process::turn).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// Another turn: there is more to do.
    Again,
    /// To sleep until something happens; everything that could ring is armed.
    Sleep,
}

/// Runs until the parent says stop, or something fails.
pub(super) fn run<P: Commands>(mut process: P, mut cx: Context<P>, inbox: &Inbox) -> Result<(), BoxError> {
    epoll::add(&cx.epoll, &inbox.bell, epoll::EventData::new_u64(INBOX), epoll::EventFlags::IN)?;
    let mut bench: Option<Bench> = None;
    loop {
        while let Some(message) = inbox.next() {
            cx.progress();
            match message.kind {
                Kind::Stop => {
                    process.stop();
                    cx.stop_children();
                    return Ok(());
                }
                Kind::Call => answer(&mut process, &mut cx, &message)?,
                Kind::Pool => {
                    let joined = bench.insert(Bench::join(&message)?);
                    epoll::add(&cx.epoll, joined, epoll::EventData::new_u64(POOL), epoll::EventFlags::IN)?;
                }
                other => tracing::warn!("the parent said {other:?} to a running process"),
            }
        }
        let mut turn = process.turn(&mut cx)?;
        if let Some(bench) = &mut bench
            && bench.work(&mut process, &mut cx)? == Turn::Again
        {
            turn = Turn::Again;
        }
        cx.progress();
        wait(&mut process, &mut cx, inbox, turn)?;
    }
}

fn wait<P: Commands>(process: &mut P, cx: &mut Context<P>, inbox: &Inbox, turn: Turn) -> Result<(), BoxError> {
    let no_wait = Timespec { tv_sec: 0, tv_nsec: 0 };
    let limit = (turn == Turn::Again).then_some(&no_wait);
    let mut events = [MaybeUninit::<epoll::Event>::uninit(); 32];
    cx.sleeps(turn == Turn::Sleep);
    let waited = epoll::wait(&cx.epoll, &mut events, limit);
    cx.sleeps(false);
    let (ready, _) = match waited {
        Ok(ready) => ready,
        Err(Errno::INTR) => return Ok(()),
        Err(errno) => return Err(format!("wait for something to do: {errno}").into()),
    };
    for event in ready {
        match event.data.u64() {
            BELL => cx.bell().quiet(),
            INBOX => inbox.bell.quiet(),
            POOL => {} // the bench looks at its line itself
            token => {
                // An earlier callback of this round may have ended this watch.
                let callback = cx.watched.iter().find(|watched| watched.token == token);
                if let Some(callback) = callback.map(|watched| watched.callback.clone()) {
                    callback(process, cx)?;
                }
            }
        }
    }
    Ok(())
}

fn answer<P: Commands>(process: &mut P, cx: &mut Context<P>, message: &Message) -> Result<(), BoxError> {
    let plain = |error: &dyn std::fmt::Display| Failure { why: format!("could not {error}"), trace: None };
    let done = match message.read::<P::Command>() {
        // A panic in a handler is the error of that call. What it may have left half done is the handler's own.
        Ok(command) => catch_unwind(AssertUnwindSafe(|| process.dispatch(command, cx)))
            .map_err(|panic| panics::failure(&*panic))
            .and_then(|answer| answer.map_err(|error| plain(&error))),
        Err(error) => Err(plain(&error)),
    };
    let line = cx.line();
    let answered = match done {
        Ok(answer) => line.answer(Kind::Answer, message.id, answer),
        Err(failure) => line.answer(Kind::CallFailed, message.id, Packet::encode(&failure)?),
    };
    match answered {
        Ok(()) => Ok(()),
        Err(SendError::Gone) => Err("answer a call: the parent is gone".into()),
        // It could not be sent as it is (too many descriptors, no memory): that is this call's error too.
        Err(error) => {
            let failure = Failure { why: format!("its answer could not be sent: could not {error}"), trace: None };
            Ok(line.answer(Kind::CallFailed, message.id, Packet::encode(&failure)?)?)
        }
    }
}
