//! What a child's event loop watches for Python, by the numbers under which Python knows it.

use process::Watch;

/// Watches and their numbers.
#[derive(Debug, Default)]
pub struct Watched(Vec<(u64, Watch)>);

impl Watched {
    pub fn add(&mut self, number: u64, watch: Watch) {
        self.0.push((number, watch));
    }

    pub fn remove(&mut self, number: u64) -> Option<Watch> {
        let index = self.0.iter().position(|(known, _)| *known == number)?;
        Some(self.0.swap_remove(index).1)
    }
}
