//! From access units to frames of the ring.

use std::sync::Arc;

use graph::{Info, Number, Output, StatusPage, Text};
use media::{AccessUnit, h264::ParameterSets};

use super::Condition;
use crate::{Packet, clocks::Moment};

/// Publishes packets on one time axis over all sessions, and says how the camera is.
pub(super) struct Publisher {
    output: Output<Packet>,
    status: Arc<StatusPage>,
    published: u64,
    /// What is added to a session's times; `None` until its first packet.
    offset_ns: Option<i64>,
    last_pts_ns: i64,
    parameters: Option<ParameterSets>,
    streaming: bool,
    /// A packet couldn't be published since the last one that was.
    lost: bool,
}

impl Publisher {
    pub(super) fn new(output: Output<Packet>, status: Arc<StatusPage>) -> Self {
        Self {
            output,
            status,
            published: 0,
            offset_ns: None,
            last_pts_ns: i64::MIN,
            parameters: None,
            streaming: false,
            lost: false,
        }
    }

    /// How many packets were published.
    pub(super) fn published(&self) -> u64 {
        self.published
    }

    /// Says how the camera is.
    pub(super) fn is(&mut self, condition: Condition, detail: &str) {
        self.streaming = condition == Condition::Streaming;
        // The words first: whoever sees the condition finds those that belong to it.
        self.status.set_text(Text::Detail, detail);
        self.status.set(Number::Condition, condition as u64);
    }

    /// A new session begins: its times start anew.
    pub(super) fn begin(&mut self) {
        self.offset_ns = None;
    }

    pub(super) fn publish(&mut self, unit: &AccessUnit) {
        let now = Moment::now();
        let begins = self.offset_ns.is_none();
        // Sessions follow each other on the monotonic clock, and never overlap.
        let offset_ns = *self.offset_ns.get_or_insert_with(|| {
            let begin_ns = now.monotonic_ns.max(self.last_pts_ns.saturating_add(1_000_000));
            begin_ns - unit.pts_ns
        });
        let pts_ns = unit.pts_ns + offset_ns;
        self.last_pts_ns = self.last_pts_ns.max(pts_ns);
        if unit.keyframe {
            self.learn(&unit.data);
        }
        let (width, height) = (self.status.view().get(Number::Width), self.status.view().get(Number::Height));
        let mut info = Info {
            pts_ns,
            captured_ns: now.monotonic_ns,
            wall_ns: now.wall_ns,
            kind: Packet::KIND,
            width: width as u32,
            height: height as u32,
            ..Info::default()
        };
        if unit.keyframe {
            info.flags |= Info::FLAG_KEYFRAME;
        }
        if begins || unit.discontinuity || self.lost {
            info.flags |= Info::FLAG_DISCONTINUITY;
        }
        match self.output.reserve(unit.data.len()) {
            Ok(mut slot) => {
                slot.bytes_mut().copy_from_slice(&unit.data);
                slot.publish(info);
                self.published += 1;
                self.lost = false;
            }
            Err(error) => {
                // What follows can't be decoded without it: the next packet says so.
                if !std::mem::replace(&mut self.lost, true) {
                    tracing::error!("dropped packets: could not {error}");
                }
                return;
            }
        }
        if !self.streaming {
            let detail = format!("{width}x{height}");
            self.is(Condition::Streaming, &detail);
            tracing::info!("streaming {detail}");
        }
    }

    /// Tells size and codec, if they are new.
    fn learn(&mut self, key_frame: &[u8]) {
        let Ok(Some(parameters)) = ParameterSets::in_access_unit(key_frame) else { return };
        if self.parameters.as_ref() == Some(&parameters) {
            return;
        }
        if let Ok((width, height)) = parameters.size() {
            self.status.set(Number::Width, u64::from(width));
            self.status.set(Number::Height, u64::from(height));
        }
        self.status.set_text(Text::Codec, &parameters.codec());
        self.parameters = Some(parameters);
    }
}
