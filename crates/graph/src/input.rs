//! The inputs of a block, from inside.

use shm::{
    cursor::Cursor,
    doorbell::Doorbell,
    ring::{Frame, ReadError, Reader, Wish},
    status::{Number, StatusPage},
    wire::Socket,
};

/// One wire into this block.
#[derive(Debug)]
pub(crate) struct Input {
    pub port: String,
    pub label: String,
    pub reader: Reader,
    /// What its counters were when they were last added to the status page.
    passed_over: u64,
    /// Ring and number of the frame taken last, also by the reader before this one.
    last: Option<(u64, u64)>,
    /// Where that is kept beyond this process, once the frame is handled.
    cursor: Option<Cursor>,
}

/// A wire that is no more.
#[derive(Debug)]
pub(crate) struct Ended {
    pub port: String,
    pub label: String,
    last: Option<(u64, u64)>,
}

/// What came of looking at a wire.
#[derive(Debug)]
pub(crate) enum Look {
    Frame(Frame),
    Nothing,
    /// Its writer has ended or can't be read.
    Lost,
}

impl Input {
    pub(crate) fn connect(
        port: String,
        label: String,
        session: Socket,
        bell: &Doorbell,
        wish: Wish,
        cursor: Option<Cursor>,
    ) -> Result<Self, ReadError> {
        let last = cursor.as_ref().and_then(Cursor::get);
        Ok(Self { port, label, reader: Reader::connect(session, bell, wish)?, passed_over: 0, last, cursor })
    }

    /// Goes on where `former` was: a wire that was joined anew to the same ring mustn't bring a frame twice.
    pub(crate) fn follow(&mut self, former: &Ended) {
        self.last = former.last;
    }

    /// The frame taken last is handled.
    pub(crate) fn handled(&self) {
        if let (Some(cursor), Some((epoch, sequence))) = (&self.cursor, self.last) {
            cursor.set(epoch, sequence);
        }
    }

    /// What its successor needs to know.
    pub(crate) fn ended(self) -> Ended {
        Ended { port: self.port, label: self.label, last: self.last }
    }

    /// Takes in what the writer says; `false` if the wire is lost.
    pub(crate) fn service(&mut self) -> bool {
        self.reader.service().inspect_err(|error| self.complain(error)).is_ok()
    }

    pub(crate) fn look(&mut self, status: &StatusPage) -> Result<Look, ReadError> {
        let mut next = self.reader.try_next();
        while matches!(&next, Ok(Some(frame)) if self.is_known(frame)) {
            drop(next); // it is let go before the next one is taken
            next = self.reader.try_next();
        }
        match next {
            Ok(Some(frame)) => {
                self.last = Some((frame.epoch(), frame.sequence()));
                let counts = self.reader.counts();
                let passed_over = counts.dropped + counts.skipped;
                status.add(Number::FramesIn, 1);
                status.add(Number::Dropped, passed_over - self.passed_over);
                self.passed_over = passed_over;
                Ok(Look::Frame(frame))
            }
            Ok(None) => Ok(Look::Nothing),
            // A fault of the block itself, and not one that goes by.
            Err(error @ ReadError::AllLeasesHeld { .. }) => Err(error),
            Err(ReadError::WriterGone) => Ok(Look::Lost),
            Err(error) => {
                self.complain(&error);
                Ok(Look::Lost)
            }
        }
    }

    fn is_known(&self, frame: &Frame) -> bool {
        self.last.is_some_and(|(epoch, sequence)| frame.epoch() == epoch && frame.sequence() <= sequence)
    }

    fn complain(&self, error: &ReadError) {
        tracing::warn!(input = self.port, label = self.label, "could not {error}");
    }
}
