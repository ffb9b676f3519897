use super::Picture;

/// Puts pictures from order of decoding into order of presentation.
#[derive(Debug, Default)]
pub(super) struct Reorder {
    /// How many pictures may have to be held back.
    depth: usize,
    /// By rising time.
    held: Vec<Picture>,
    /// The time of the last picture that was let go.
    shown_ns: Option<i64>,
}

impl Reorder {
    /// Sets the depth that the stream declares. One that doesn't declare any starts with zero, and learns.
    pub(super) fn declare(&mut self, depth: Option<u32>) {
        if let Some(depth) = depth {
            self.depth = depth as usize;
        }
    }

    /// Takes the next picture in order of decoding, and returns those whose turn has come.
    pub(super) fn push(&mut self, picture: Picture) -> Vec<Picture> {
        // Nothing after a key frame is shown before it, so all that is held is complete.
        let mut ready = if picture.keyframe { self.flush() } else { Vec::new() };
        if self.shown_ns.is_some_and(|shown| picture.pts_ns < shown) {
            // Undeclared B-frames: this one comes too late, the next ones won't.
            self.depth = (self.depth + 1).min(16);
        }
        let at = self.held.partition_point(|held| held.pts_ns <= picture.pts_ns);
        self.held.insert(at, picture);
        let surplus = self.held.len().saturating_sub(self.depth);
        ready.extend(self.held.drain(..surplus));
        self.note(&ready);
        ready
    }

    /// Returns everything that is held.
    pub(super) fn flush(&mut self) -> Vec<Picture> {
        // After a key frame times may begin anew.
        self.shown_ns = None;
        std::mem::take(&mut self.held)
    }

    fn note(&mut self, ready: &[Picture]) {
        if let Some(last) = ready.last() {
            self.shown_ns = Some(last.pts_ns);
        }
    }
}
