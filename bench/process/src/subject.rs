//! The process of the library that is measured.

use process::{BoxError, Context, Process, commands};

pub struct Subject;

impl Process for Subject {
    const KIND: &'static str = "subject";
    type Config = ();
    type Event = ();

    fn start((): (), _cx: &mut Context<Self>) -> Result<Self, BoxError> {
        Ok(Self)
    }
}

#[commands]
impl Subject {
    /// Gives back what it gets.
    pub fn echo(&mut self, number: u64) -> u64 {
        number
    }

    pub fn square(&mut self, number: u64) -> u64 {
        number * number
    }
}
