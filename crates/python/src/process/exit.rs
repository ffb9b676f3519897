//! How a process ended, as Python has it.

use process::Exit;

/// Kind, text and number of an [`Exit`]; `framewire.Exit` is made of them.
pub type Described = (&'static str, String, Option<i32>);

pub fn describe(exit: &Exit) -> Described {
    let kind = match exit {
        Exit::Code(_) => "code",
        Exit::Signal(_) => "signal",
        Exit::Panic(_) => "panic",
        Exit::Failed(_) => "failed",
        Exit::OutOfMemory { .. } => "out_of_memory",
        Exit::Unresponsive => "unresponsive",
        Exit::NotReadyInTime => "not_ready_in_time",
        Exit::LostBeforeReady(_) => "lost_before_ready",
        Exit::Unknown => "unknown",
    };
    (kind, exit.to_string(), exit.number())
}
