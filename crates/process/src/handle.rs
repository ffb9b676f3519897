//! A process, seen from the one that spawned it.

use std::{sync::Arc, time::Duration};

use serde::{Serialize, de::DeserializeOwned};
use shm::{status::StatusPage, wire::Packet};

use crate::{
    Call, Events, System,
    connection::{Connection, Listener},
};

/// A process under supervision, over all its incarnations. Clones are handles on the same one. Dropping them doesn't
/// end it: it ends with [`stop`](Self::stop), or with its [`System`].
#[derive(Clone, Debug)]
pub struct Handle {
    pub(crate) system: System,
    pub(crate) connection: Arc<Connection>,
    pub(crate) status: Arc<StatusPage>,
}

impl Handle {
    /// Its name, unique in its system.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.connection.name
    }

    /// The page in which it says how it does.
    #[must_use]
    pub fn status(&self) -> &StatusPage {
        &self.status
    }

    /// Puts a command together; the typed handle's methods call this.
    pub fn call<C: Serialize, R: DeserializeOwned>(&self, command: &C) -> Call<R> {
        Call::new(self.connection.clone(), Packet::encode(command).map_err(|error| error.to_string()))
    }

    /// What it says unasked. `E` is the process's `Event`.
    #[must_use]
    pub fn events<E: DeserializeOwned>(&self) -> Events<E> {
        Events::new(self.connection.clone())
    }

    /// Has `hear` called with whatever it says unasked, from now on and over all its incarnations, in place of
    /// [`events`](Self::events). It is called on the supervisor's thread, so it must not wait: put it into a channel.
    pub fn on_event<E: DeserializeOwned>(&self, hear: impl Fn(E) + Send + 'static) {
        let name = self.name().to_owned();
        self.connection.listen(Listener(Box::new(move |event| match event.decode() {
            Ok(event) => hear(event),
            Err(error) => tracing::warn!(process = name, "an event was dropped: could not {error}"),
        })));
    }

    /// Stops it for good: asks, sends SIGTERM to its process group after half of `grace`, and SIGKILL when it is
    /// over. Returns when it is gone.
    pub fn stop(&self, grace: Duration) {
        self.system.stop(&[self.name()], grace);
    }
}
