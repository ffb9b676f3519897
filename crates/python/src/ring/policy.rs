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
                Some(hz) => {
                    return refuse(format!("the policy \"max-rate\" needs hz, frames a second, and {hz} is none"));
                }
                None => return refuse("the policy \"max-rate\" needs hz, frames a second".to_owned()),
            },
            "block" => {
                let seconds = self.timeout.unwrap_or(1.0);
                let Ok(timeout) = Duration::try_from_secs_f64(seconds) else {
                    return refuse(format!("block_timeout is {seconds} seconds, which is no time"));
                };
                Policy::Block { timeout, late: if self.detach { Late::Detach } else { Late::Drop } }
            }
            other => {
                return refuse(format!(
                    "there is no policy {other:?}; there are \"latest\", \"drop-oldest\", \"every\", \"max-rate\" and \"block\""
                ));
            }
        };
        let options = [
            ("depth", "drop-oldest", self.depth.is_some()),
            ("n", "every", self.n.is_some()),
            ("hz", "max-rate", self.hz.is_some()),
            ("block_timeout", "block", self.timeout.is_some()),
            ("detach", "block", self.detach),
        ];
        if let Some((option, of, _)) = options.iter().find(|(_, of, given)| *given && *of != self.policy) {
            return refuse(format!("{option} is for the policy {of:?}, and this is {:?}", self.policy));
        }
        Ok(Wish { policy, leases: self.leases })
    }
}
