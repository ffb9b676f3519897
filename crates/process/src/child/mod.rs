//! The child's side: how it becomes what its parent wants, and the loop in which it lives.

mod context;
mod control;
mod event_loop;

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
};
use crate::{
    BoxError, Commands, logs,
    message::{Hello, Kind, Message},
};

/// Lives as a `P`, from the first message to the last.
pub(crate) fn run<P: Commands>() -> ExitCode {
    let line = match Line::take_over_stdin() {
        Ok(line) => line,
        Err(error) => {
            eprintln!("error: could not start as a {}: {error}; it is started by framewire, not by hand", P::KIND);
            return ExitCode::FAILURE;
        }
    };
    match live::<P>(&line) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            line.say_surely(Kind::Failed, &error.to_string());
            ExitCode::FAILURE
        }
    }
}

fn live<P: Commands>(line: &Line) -> Result<(), BoxError> {
    // The second layer of three against outliving the parent; the first is the control thread, which sees the socket
    // end, and the third the process group's end.
    set_parent_process_death_signal(Some(Signal::KILL))?;
    let hello: Hello = expect(line, Kind::Hello)?.read()?;
    if getppid().map(Pid::as_raw_pid) != Some(hello.parent) {
        return Err("start: whoever started this process is gone already".into());
    }
    if hello.protocol != P::PROTOCOL {
        return Err(format!("start: parent and child have different commands for {}; use one build", P::KIND).into());
    }
    // What `ps` and `top` show; the kernel keeps 15 bytes.
    rustix::thread::set_name(&std::ffi::CString::new(hello.name.as_str())?)?;
    tell_of_panics(line.clone());
    logs::forward(line.clone());
    let status = Arc::new(StatusPage::open(hello.status.into_owned()?)?);
    let config: P::Config = expect(line, Kind::Config)?.read()?;
    let inbox = control::listen(line.clone())?;
    let mut cx = Context::new(hello.name, line.clone(), status)?;
    let process = catch_unwind(AssertUnwindSafe(|| P::start(config, &mut cx)))
        .map_err(|panic| format!("start: it panicked: {}", panic_text(&*panic)))??;
    line.say_surely(Kind::Ready, &());
    event_loop::run(process, cx, &inbox)
}

fn expect(line: &Line, kind: Kind) -> Result<Message, BoxError> {
    let message = line.receive()?;
    if message.kind == kind { Ok(message) } else { Err(format!("start: {:?} came for {kind:?}", message.kind).into()) }
}

/// A panic is told to the parent as it happens: what is caught is an error of one call, what isn't is how we died.
fn tell_of_panics(line: Line) {
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        let place = panic.location().map_or_else(String::new, |place| format!(" at {place}"));
        line.say(Kind::Panic, 0, &format!("{}{place}", panic_text(panic.payload())));
        usual(panic);
    }));
}

pub(crate) fn panic_text(payload: &(dyn std::any::Any + Send)) -> String {
    let text = payload.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| payload.downcast_ref::<String>().cloned()).unwrap_or_else(|| "no message".to_owned())
}
