//! What a reader takes, by name.

use std::time::Duration;

use pyo3::{exceptions::PyValueError, prelude::*};
use shm::ring::{Late, Policy, Wish};

/// "latest"; "drop-oldest" (`depth`); "every" (`n`); "max-rate" (`hz`); "block" (`timeout` seconds, `late`).
#[derive(Default)]
pub(super) struct Arguments<'a> {
    pub policy: &'a str,
    pub depth: Option<u32>,
    pub n: Option<u32>,
    pub hz: Option<f64>,
    pub timeout: Option<f64>,
    pub detach: bool,
    pub leases: u32,
}

impl Arguments<'_> {
    pub(super) fn wish(&self) -> PyResult<Wish> {
        let refuse = |why: String| Err(PyValueError::new_err(format!("could not make a reader: {why}")));
        let policy = match self.policy {
            "latest" => Policy::Latest,
            "drop-oldest" => Policy::DropOldest { depth: self.depth.unwrap_or(u32::MAX) },
            "every" => Policy::Every { n: self.n.unwrap_or(1) },
            "max-rate" => match self.hz {
                Some(hz) if hz > 1e-9 && hz.is_finite() => Policy::max_rate(hz),
                hz => return refuse(format!("the policy \"max-rate\" needs hz, frames a second; it was given {hz:?}")),
            },
            "block" => {
                let timeout = Duration::try_from_secs_f64(self.timeout.unwrap_or(1.0));
                let Ok(timeout) = timeout else { return refuse(format!("{:?} seconds are no time", self.timeout)) };
                Policy::Block { timeout, late: if self.detach { Late::Detach } else { Late::Drop } }
            }
            other => {
                return refuse(format!(
                    "there is no policy {other:?}; there are \"latest\", \"drop-oldest\", \"every\", \"max-rate\" and \"block\""
                ));
            }
        };
        Ok(Wish { policy, leases: self.leases })
    }
}
