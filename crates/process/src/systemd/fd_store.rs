//! What outlives this process: values with descriptors in them, kept by systemd until the service's next start.
//!
//! A value is packed as a message into a socket pair, and both ends are given to systemd, in one message, under one name. So
//! it is there whole or not at all, whatever its number of descriptors; their order and names (which systemd doesn't
//! promise to keep together) don't matter, nor does systemd's habit of keeping one descriptor only once, which would tear two
//! values of one arena apart. Who reads it only peeks: if it dies, its successor finds the same.

use std::{
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    sync::PoisonError,
    time::Duration,
};

use serde::{Serialize, de::DeserializeOwned};
use shm::wire::{DecodeError, EncodeError, Packet, ReceiveError, SendError, Socket};

use super::Service;

/// How long systemd may take to make room in its queue. It isn't the supervisor that waits.
const TAKEN_WITHIN: Duration = Duration::from_secs(5);

/// Before the names of what is kept here, which end with a number. What an application names itself has none.
const PREFIX: &str = "framewire.";

/// Systemd's limit of 255 bytes, less what is put around a name.
const MAX_NAME_BYTES: usize = 200;

/// A value can't be kept.
#[derive(Debug, thiserror::Error)]
pub enum KeepError {
    /// Systemd takes no such name.
    #[error("keep {0:?} across a restart: a name is of letters, digits and - . _, at most {MAX_NAME_BYTES} of them")]
    Name(String),
    /// It isn't a message.
    #[error("keep {name} across a restart: could not {source}")]
    Encode {
        /// Its name.
        name: String,
        /// What is wrong with it.
        source: EncodeError,
    },
    /// It has too many descriptors, or is too large.
    #[error("keep {name} across a restart: could not {source}")]
    Pack {
        /// Its name.
        name: String,
        /// Why not.
        source: SendError,
    },
    /// The unit allows fewer.
    #[error(
        "keep {name} across a restart: systemd keeps {most} descriptors of this unit, and {needed} would be needed, two for \
         each value; raise its FileDescriptorStoreMax"
    )]
    StoreFull {
        /// Its name.
        name: String,
        /// What systemd says it keeps.
        most: usize,
        /// How many there would be.
        needed: usize,
    },
    /// Systemd didn't take it, or this process has no descriptor left.
    #[error("hand {name} to systemd: {source}")]
    System {
        /// Its name.
        name: String,
        /// What the kernel said.
        source: std::io::Error,
    },
}

/// What was kept can't be had.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// It is something else.
    #[error(
        "take {name} over from this service's last run: could not {source}; if this program was changed meanwhile, use another \
         name, or stop the service for a moment (systemctl stop), which empties the store"
    )]
    Decode {
        /// Its name.
        name: String,
        /// What is wrong with it.
        source: DecodeError,
    },
    /// This process can't take it.
    #[error("take {name} over from this service's last run: could not {source}")]
    Receive {
        /// Its name.
        name: String,
        /// Why not.
        source: ReceiveError,
    },
    /// It has no descriptor left.
    #[error("take {name} over from this service's last run: {source}")]
    System {
        /// Its name.
        name: String,
        /// What the kernel said.
        source: std::io::Error,
    },
}

impl Service {
    /// Has systemd keep a value until the service is started again, however this process ends: a
    /// [queue](shm::queue::Queue) with all that is in it, an arena, a lock, a listening socket, anything that can be a
    /// [message](shm::wire). It replaces what was kept under that name. Gives whether there is a systemd to keep it; whether
    /// it does is the unit's `FileDescriptorStoreMax`: two for each value, and two more while one is being replaced.
    ///
    /// What is kept is the shared memory itself, not a copy: what is put into a queue later is kept as well. Once is
    /// enough, also over many restarts; stopping the service ends it.
    ///
    /// # Errors
    ///
    /// See [`KeepError`]. What was kept under that name before stays then. Systemd tells nobody that its store is full before
    /// version 254.
    pub fn keep<T: Serialize>(&self, name: &str, value: &T) -> Result<bool, KeepError> {
        check(name)?;
        let Some(manager) = &self.0.manager else { return Ok(false) };
        let packet = Packet::encode(value).map_err(|source| KeepError::Encode { name: name.to_owned(), source })?;
        let system = |source| KeepError::System { name: name.to_owned(), source };
        let (shelf, other) = Socket::pair().map_err(system)?;
        other.try_send(&packet).map_err(|source| KeepError::Pack { name: name.to_owned(), source })?;

        let mut kept = self.0.kept.lock().unwrap_or_else(PoisonError::into_inner);
        // Of this run only the last one is there still; of earlier ones there may be several.
        let inherited = self.0.system.inherited().names();
        let older: Vec<u64> = match kept.get(name) {
            Some(last) => vec![*last],
            None => generations(&inherited, name).collect(),
        };
        let generation = older.iter().max().map_or(0, |older| older + 1);
        // For a moment there are both.
        let needed = stored_of(|name| kept.contains_key(name), kept.len(), &inherited) + 2;
        check_room(name, std::env::var("FDSTORE").ok(), needed)?;
        // Both ends, or the message would hang up in systemd's hands, which then throws it away (before version 246 also if
        // it is told not to look).
        let text = format!("FDSTORE=1\nFDPOLL=0\nFDNAME={}", stored(name, generation));
        manager.socket.hand_over(&text, &[shelf.as_fd(), other.as_fd()], TAKEN_WITHIN).map_err(system)?;
        kept.insert(name.to_owned(), generation);
        // Only now: whoever starts between these two lines takes the later one.
        for older in older {
            let text = format!("FDSTOREREMOVE=1\nFDNAME={}", stored(name, older));
            manager.socket.hand_over(&text, &[], TAKEN_WITHIN).map_err(system)?;
        }
        Ok(true)
    }

    /// What an earlier run of the service [kept](Self::keep) under this name; `None` if there was none. It is still kept, for
    /// the next run.
    ///
    /// The processes of the earlier run are gone. What they had leased of a queue is delivered again, before
    /// everything else, and what waited comes in the order in which it was put.
    ///
    /// # Errors
    ///
    /// See [`RestoreError`]. It is kept all the same.
    pub fn restore<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>, RestoreError> {
        let inherited = self.0.system.inherited();
        let names = inherited.names();
        let mut generations: Vec<u64> = generations(&names, name).collect();
        generations.sort_unstable();
        generations.dedup();
        // The latest that is whole: of one that found no room, systemd may have one end.
        for generation in generations.into_iter().rev() {
            let ends = inherited.copies(&stored(name, generation));
            let ends = ends.map_err(|source| RestoreError::System { name: name.to_owned(), source })?;
            for end in ends {
                match Socket::from_owned(end).try_peek() {
                    Ok(packet) => {
                        let value = packet.decode();
                        return value
                            .map(Some)
                            .map_err(|source| RestoreError::Decode { name: name.to_owned(), source });
                    }
                    Err(ReceiveError::Empty | ReceiveError::Gone) => {}
                    Err(source) => return Err(RestoreError::Receive { name: name.to_owned(), source }),
                }
            }
        }
        Ok(None)
    }

    /// Has systemd keep a plain descriptor under this name, as any program may take it: after a restart it is among
    /// [`descriptors`](Self::descriptors). One that is kept already is kept once; another one of the same name beside it.
    ///
    /// # Errors
    ///
    /// As [`keep`](Self::keep).
    pub fn keep_descriptor(&self, name: &str, descriptor: impl AsFd) -> Result<bool, KeepError> {
        check(name)?;
        let Some(manager) = &self.0.manager else { return Ok(false) };
        let text = format!("FDSTORE=1\nFDNAME={name}");
        let handed: [BorrowedFd<'_>; 1] = [descriptor.as_fd()];
        let failed = |source| KeepError::System { name: name.to_owned(), source };
        manager.socket.hand_over(&text, &handed, TAKEN_WITHIN).map_err(failed)?;
        Ok(true)
    }

    /// Ends the keeping of what has this name.
    ///
    /// # Errors
    ///
    /// [`KeepError::Name`], and [`KeepError::System`] if systemd doesn't hear it.
    pub fn forget(&self, name: &str) -> Result<(), KeepError> {
        check(name)?;
        let Some(manager) = &self.0.manager else { return Ok(()) };
        let mut kept = self.0.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let names = self.0.system.inherited().names();
        let ours = generations(&names, name).chain(kept.remove(name)).map(|generation| stored(name, generation));
        for name in ours.chain([name.to_owned()]) {
            let text = format!("FDSTOREREMOVE=1\nFDNAME={name}");
            let told = manager.socket.hand_over(&text, &[], TAKEN_WITHIN);
            told.map_err(|source| KeepError::System { name, source })?;
        }
        // Or a later `restore` in this run would find it.
        for name in names.iter().filter(|stored| generation(stored, name).is_some()) {
            self.0.system.inherited().named(name);
        }
        Ok(())
    }

    /// The descriptors that systemd left open under this name: the listening sockets of a `.socket` unit with
    /// `FileDescriptorName=`, and what was [kept](Self::keep_descriptor). They are handed out once, and don't go to children.
    /// What kind of descriptor each is, is to be looked at before it is used.
    #[must_use]
    pub fn descriptors(&self, name: &str) -> Vec<OwnedFd> {
        self.0.system.inherited().named(name)
    }
}

fn check(name: &str) -> Result<(), KeepError> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
    let is_good = !name.is_empty() && name.len() <= MAX_NAME_BYTES && name.bytes().all(is_plain);
    // What has the prefix would be taken for a value of ours.
    if is_good && !name.starts_with(PREFIX) { Ok(()) } else { Err(KeepError::Name(name.to_owned())) }
}

/// `most` is what systemd says since version 254.
fn check_room(name: &str, most: Option<String>, needed: usize) -> Result<(), KeepError> {
    match most.and_then(|most| most.parse().ok()) {
        Some(most) if most < needed => Err(KeepError::StoreFull { name: name.to_owned(), most, needed }),
        _ => Ok(()),
    }
}

/// How many descriptors are in the store: two for each value kept in this run, and those of earlier runs that weren't kept anew.
/// Others' are not counted: what a `.socket` unit has given has such names too, and isn't in it.
fn stored_of(is_kept: impl Fn(&str) -> bool, kept: usize, inherited: &[String]) -> usize {
    let name = |stored: &String| Some(stored.strip_prefix(PREFIX)?.rsplit_once('.')?.0.to_owned());
    2 * kept + inherited.iter().filter_map(name).filter(|name| !is_kept(name)).count()
}

fn stored(name: &str, generation: u64) -> String {
    format!("{PREFIX}{name}.{generation}")
}

fn generation(stored: &str, name: &str) -> Option<u64> {
    stored.strip_prefix(PREFIX)?.strip_prefix(name)?.strip_prefix('.')?.parse().ok()
}

fn generations<'n>(names: &'n [String], name: &'n str) -> impl Iterator<Item = u64> + use<'n> {
    names.iter().filter_map(|stored| generation(stored, name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_told_apart() {
        assert_eq!(generation("framewire.jobs.12", "jobs"), Some(12));
        assert_eq!(generation("framewire.jobs.x.12", "jobs"), None, "that is another one");
        assert_eq!(generation(&stored("jobs.1", 3), "jobs.1"), Some(3));
        assert_eq!(generation("jobs", "jobs"), None);
    }

    #[test]
    fn what_earlier_runs_have_left_is_in_the_store_until_it_is_kept_anew() {
        let inherited = ["framewire.a.0", "framewire.a.0", "framewire.b.x.7", "http", "a"].map(str::to_owned);
        assert_eq!(stored_of(|_| false, 0, &inherited), 3);
        assert_eq!(stored_of(|name| name == "a", 1, &inherited), 3);
        assert_eq!(stored_of(|name| ["a", "b.x", "c"].contains(&name), 3, &inherited), 6);
    }

    #[test]
    fn names_that_systemd_would_refuse_are_refused_first() {
        for bad in ["", "a:b", "a b", "a\nREADY=1", "framewire.x", &"x".repeat(201)] {
            assert!(check(bad).unwrap_err().to_string().contains("letters, digits"), "{bad:?}");
        }
        assert!(check("jobs-1_b.c").is_ok());
    }

    #[test]
    fn a_store_that_is_too_small_is_told_where_systemd_tells() {
        assert!(check_room("jobs", None, 100).is_ok());
        assert!(check_room("jobs", Some("4".to_owned()), 4).is_ok());
        let told = check_room("jobs", Some("4".to_owned()), 6).unwrap_err().to_string();
        assert!(told.contains("keeps 4") && told.contains("FileDescriptorStoreMax"), "{told}");
    }
}
