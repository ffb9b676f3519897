//! The child's side: how it becomes what its parent wants, and the loop in which it lives.

mod calls;
mod context;
mod control;
mod emit;
mod event_loop;
pub(crate) mod panics;
pub(crate) mod running;
mod shared;
mod standby;
mod voice;

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    process::ExitCode,
    sync::Arc,
};

use rustix::process::{Pid, Signal, getppid, set_parent_process_death_signal};
use shm::status::StatusPage;

pub(crate) use self::control::Line;
pub use self::{
    context::{Context, Watch},
    event_loop::Turn,
    running::Begun,
    shared::Shared,
    voice::Voice,
};
use self::{control::Inbox, emit::Emitter};
use crate::{
    BoxError, Commands, logs,
    message::{ANY_PROTOCOL, Hello, Kind, Message},
    program::Table,
};

/// Lives as a `P`, from the first message to the last.
pub(crate) fn run<P: Commands>(line: Line, table: Table) -> ExitCode {
    match live::<P>(&line, table) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            line.say_surely(Kind::Failed, &error.to_string());
            ExitCode::FAILURE
        }
    }
}

fn live<P: Commands>(line: &Line, table: Table) -> Result<(), BoxError> {
    // Until it is known who the parent is; nothing has been started yet that this would leave behind.
    set_parent_process_death_signal(Some(Signal::KILL))?;
    let hello: Hello = expect(line, Kind::Hello)?.read()?;
    if getppid().map(Pid::as_raw_pid) != Some(hello.parent) {
        return Err("start: whoever started this process is gone already".into());
    }
    // The second layer of three against outliving the parent; the first is the control thread, which sees the socket
    // end, and the third is the process group, which both take along.
    shm::parent::end_with(hello.parent)?;
    // A parent in another language can't know the number, and a child neither.
    if ![hello.protocol, P::PROTOCOL].contains(&ANY_PROTOCOL) && hello.protocol != P::PROTOCOL {
        return Err(format!("start: parent and child have different commands for {}; use one build", P::KIND).into());
    }
    hello.surroundings.take().map_err(|error| format!("start: could not {error}"))?;
    // What `ps` and `top` show; the kernel keeps 15 bytes.
    rustix::thread::set_name(&std::ffi::CString::new(hello.name.as_str())?)?;
    panics::tell(line.clone());
    logs::forward(line.clone());
    let status = Arc::new(StatusPage::open_part(hello.status.into_owned()?, hello.surroundings.status_part)?);
    let config: P::Config = expect(line, Kind::Config)?.read()?;
    let emitter = Arc::new(Emitter::new(line.clone(), hello.event_credit));
    let inbox = Arc::new(Inbox::new(line.clone(), emitter.clone(), status.clone())?);
    let mut cx = Context::new(hello.name, line.clone(), status, table, emitter.clone(), inbox.clone())?;
    control::listen(inbox.clone()).map_err(|error| format!("start its control thread: {error}"))?;
    let process = catch_unwind(AssertUnwindSafe(|| P::start(config, &mut cx)))
        .map_err(|panic| format!("start: it panicked: {}", panics::text(&*panic)))??;
    line.say_surely(Kind::Ready, &());
    let ended = event_loop::run(process, cx, &inbox);
    emitter.finish();
    ended
}

pub(crate) fn expect(line: &Line, kind: Kind) -> Result<Message, BoxError> {
    let message = line.receive()?;
    if message.kind == kind { Ok(message) } else { Err(format!("start: {:?} came for {kind:?}", message.kind).into()) }
}
