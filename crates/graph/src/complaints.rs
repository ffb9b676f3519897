//! What goes wrong again and again, said once.

use std::collections::HashMap;

/// What was complained of last, of each thing that something is wrong with.
#[derive(Debug, Default)]
pub(crate) struct Complaints(HashMap<String, String>);

/// A process has some wires, and their names change now and then; after so many, saying something twice is the lesser evil.
const MOST: usize = 256;

impl Complaints {
    /// Whether it is to be said that this is wrong: not if that was the last that was said of it.
    pub(crate) fn is_new(&mut self, of: &str, why: &str) -> bool {
        if self.0.get(of).is_some_and(|said| said == why) {
            return false;
        }
        if self.0.len() >= MOST {
            self.0.clear();
        }
        self.0.insert(of.to_owned(), why.to_owned());
        true
    }

    /// It is well now; whether anything was wrong before.
    pub(crate) fn over(&mut self, of: &str) -> bool {
        self.0.remove(of).is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_is_said_once_until_it_was_over_and_something_else_at_once() {
        let mut complaints = Complaints::default();
        assert!(!complaints.over("a"));
        assert!(complaints.is_new("a", "full") && complaints.is_new("b", "full"));
        assert!(!complaints.is_new("a", "full"));
        assert!(complaints.is_new("a", "closed") && complaints.is_new("a", "full"));
        assert!(complaints.over("a") && !complaints.over("a"));
        assert!(complaints.is_new("a", "full") && !complaints.is_new("b", "full"));
    }

    #[test]
    fn it_stays_small_whatever_is_wrong() {
        let mut complaints = Complaints::default();
        (0..10 * MOST).for_each(|number| assert!(complaints.is_new(&number.to_string(), "wrong")));
        assert!(complaints.0.len() <= MOST);
    }
}
