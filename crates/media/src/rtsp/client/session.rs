use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt;
use retina::client::Demuxed;
use retina::codec::{CodecItem, ParametersRef, VideoFrame, VideoParametersCodec};
use tokio::time::{Instant, timeout_at};

use super::CameraError;
use super::clock::Clock;
use crate::AccessUnit;
use crate::h264::{self, ParameterSets};

/// A camera that plays. Dropping it ends the connection.
pub struct Session {
    host: String,
    stream: usize,
    playing: Demuxed,
    silence_timeout: Duration,
    clock: Clock,
    /// Whether a key frame came; what comes before can't be decoded.
    started: bool,
    /// Whether something was lost since the last unit that was returned.
    lost: bool,
}

impl Session {
    pub(super) fn new(host: String, stream: usize, playing: Demuxed, silence_timeout: Duration) -> Self {
        Self { host, stream, playing, silence_timeout, clock: Clock::default(), started: false, lost: false }
    }

    /// The parameter sets, once they are known: mostly from the start, else with the first picture. A key frame has
    /// them too, and is first to bring new ones.
    pub fn parameter_sets(&self) -> Option<ParameterSets> {
        match self.playing.streams().get(self.stream)?.parameters()? {
            ParametersRef::Video(video) => match video.codec_params() {
                VideoParametersCodec::H264 { sps, pps } => Some(ParameterSets { sps: sps.to_vec(), pps: pps.to_vec() }),
                _ => None,
            },
            _ => None,
        }
    }

    /// Waits for the next picture. The first is a key frame; its `pts_ns` is zero.
    ///
    /// Times are the camera's own. Where its clock jumps, the time that passed here takes the place of the jump and
    /// the picture is marked as a discontinuity.
    ///
    /// Cancel safe.
    ///
    /// # Errors
    ///
    /// When nothing comes for the silence timeout, or the stream ends or breaks. The session is over then: connect
    /// again, after a pause.
    pub async fn next(&mut self) -> Result<AccessUnit, CameraError> {
        let deadline = Instant::now() + self.silence_timeout;
        loop {
            let silent = |_| CameraError::Silent {
                host: self.host.clone(),
                during: "waiting for a picture",
                waited: self.silence_timeout,
            };
            let item = timeout_at(deadline, self.playing.next()).await.map_err(silent)?;
            let item = item.ok_or_else(|| CameraError::Ended { host: self.host.clone() })?;
            let item = item.map_err(|error| CameraError::from_retina(&self.host, "", true, &error))?;
            let CodecItem::VideoFrame(frame) = item else { continue };
            if let Some(unit) = self.unit(frame)? {
                return Ok(unit);
            }
        }
    }

    fn unit(&mut self, frame: VideoFrame) -> Result<Option<AccessUnit>, CameraError> {
        let lost = frame.loss() > 0;
        self.lost |= lost;
        let keyframe = frame.is_random_access_point();
        if !self.started && !keyframe {
            return Ok(None);
        }
        let timestamp = frame.timestamp();
        let camera_ns = i128::from(timestamp.elapsed()) * 1_000_000_000 / i128::from(timestamp.clock_rate().get());
        let received = frame.start_ctx().received();
        let data = self.with_parameters(frame.into_data(), keyframe)?;
        let (pts_ns, jumped) = self.clock.place(camera_ns as i64, received);
        // What was lost before the first picture isn't missed.
        let discontinuity = self.started && (std::mem::take(&mut self.lost) || jumped);
        (self.started, self.lost) = (true, false);
        Ok(Some(AccessUnit { data, pts_ns, keyframe, discontinuity }))
    }

    /// Makes sure of what every [`AccessUnit`] promises: a key frame has its parameter sets in front.
    fn with_parameters(&self, data: Vec<u8>, keyframe: bool) -> Result<Bytes, CameraError> {
        let bad = |error| CameraError::bad_unit(&self.host, &error);
        if !keyframe || ParameterSets::in_access_unit(&data).map_err(bad)?.is_some() {
            return Ok(data.into());
        }
        let Some(ParameterSets { sps, pps }) = self.parameter_sets() else {
            return Err(CameraError::BadStream {
                host: self.host.clone(),
                reason: "a key frame came before any parameter sets".into(),
            });
        };
        let mut whole = Vec::with_capacity(data.len() + sps.len() + pps.len() + 8);
        h264::push_nal(&mut whole, &sps);
        h264::push_nal(&mut whole, &pps);
        whole.extend_from_slice(&data);
        Ok(whole.into())
    }
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session").field("host", &self.host).finish_non_exhaustive()
    }
}
