//! The pictures that a block keeps, so that there is a lease for the next one.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use blocks::Analyser;
use pyo3::{intern, prelude::*};

use crate::ring::Leases;

/// Of each camera, by its name.
#[derive(Debug, Default)]
pub(super) struct Kept {
    /// With the ring that they are in: leases of one that is no more are nobody's loss.
    of: HashMap<String, (u64, Leases)>,
    /// When garbage was collected last without any use.
    in_vain: Option<Instant>,
    told: bool,
}

/// A collection can take a tenth of a second where a large model is loaded: not for each picture, if it is of no use.
const IN_VAIN_AGAIN_AFTER: Duration = Duration::from_secs(1);

impl Kept {
    /// Those of one camera, of the ring that this picture is in.
    pub(super) fn of(&mut self, camera: &str, picture: &graph::Frame) -> Leases {
        let epoch = picture.epoch();
        if self.of.get(camera).is_none_or(|(known, _)| *known != epoch) {
            self.of.insert(camera.to_owned(), (epoch, Leases::default()));
        }
        self.of.get(camera).map(|(_, leases)| leases.clone()).unwrap_or_default()
    }

    /// Whether the block may have another picture beside these, also if only garbage holds too many of them: an exception that
    /// is kept in a variable holds its traceback, that the function, and that the picture. Nothing but a collection frees those.
    pub(super) fn have_room(&mut self, py: Python<'_>, leases: &Leases) -> PyResult<bool> {
        let is_full = || leases.count() >= Analyser::LEASES as usize;
        if !is_full() {
            return Ok(true);
        }
        if self.in_vain.is_some_and(|then| then.elapsed() < IN_VAIN_AGAIN_AFTER) {
            return Ok(false);
        }
        let collect = py.import(intern!(py, "gc"))?.getattr(intern!(py, "collect"))?;
        // The young first: that is quick, and pictures are young.
        for generation in 0..=2 {
            collect.call1((generation,))?;
            if !is_full() {
                self.tell_once();
                return Ok(true);
            }
        }
        self.in_vain = Some(Instant::now());
        Ok(false)
    }

    fn tell_once(&mut self) {
        if !std::mem::replace(&mut self.told, true) {
            tracing::warn!(
                "it keeps pictures in objects that hold each other, such as an exception in a variable of the function that \
                 caught it; they were freed by collecting garbage, which takes time"
            );
        }
    }
}

/// Why a picture can't be looked at.
pub(super) fn no_room(camera: &str, leases: &Leases) -> String {
    format!(
        "all {} pictures of {camera} that a block may hold at once are held: {}. Let go of them and of all that is made of them \
         (a slice, a list, a thread's queue, an exception), or keep a copy: frame.copy()",
        Analyser::LEASES,
        leases.listed()
    )
}
