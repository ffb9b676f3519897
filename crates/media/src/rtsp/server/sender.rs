use std::io;
use std::time::Duration;

use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::time::{Instant, timeout};

use super::Camera;
use super::clock::random;
use super::packets::Packets;
use super::transport::UdpPair;
use crate::mp4::Looped;

/// A client that takes no byte for so long is gone, or as good as gone.
const MAX_STALL: Duration = Duration::from_secs(10);
/// A client that is so late is taken to the newest key frame, leaving out what lies between.
const MAX_LAG_NS: i64 = 2_000_000_000;
/// RFC 3550, 6.2: the least interval between reports.
const REPORT_EVERY_NS: i64 = 5_000_000_000;

/// The way to a client.
pub(super) enum Delivery {
    /// Within the RTSP connection, on these channels.
    Interleaved { rtp: u8, rtcp: u8 },
    /// In packets of their own.
    Udp(UdpPair),
}

/// Sends the stream to one client that said `PLAY`.
pub(super) struct Sender<'a> {
    camera: &'a Camera,
    units: Looped<'a>,
    packets: Packets,
    delivery: Delivery,
    next_report_ns: i64,
}

impl<'a> Sender<'a> {
    /// Begins with a key frame: over TCP the last one, with what came since, so that there is a picture at once; over
    /// UDP the next one, as so much at a time would overflow the client's socket.
    pub(super) fn new(camera: &'a Camera, delivery: Delivery, ssrc: u32) -> Self {
        let now_ns = camera.clock.now_ns();
        let units = match delivery {
            Delivery::Interleaved { .. } => Looped::at_key_frame_before(&camera.clip, now_ns),
            Delivery::Udp(_) => Looped::at_key_frame_after(&camera.clip, now_ns),
        };
        Self { camera, units, packets: Packets::new(ssrc, random() as u16), delivery, next_report_ns: 0 }
    }

    /// Sequence number and RTP time of the first packet to come.
    pub(super) fn position(&self) -> (u16, u32) {
        (self.packets.sequence(), self.camera.clock.rtp(self.units.peek().unit.pts_ns))
    }

    /// When the next picture is to be sent.
    pub(super) fn due(&self) -> Instant {
        self.camera.clock.at(self.units.peek().due_ns)
    }

    /// Sends the next picture; `socket` is the RTSP connection.
    pub(super) async fn send_next(&mut self, socket: &mut (impl AsyncWrite + Unpin)) -> io::Result<()> {
        let clock = &self.camera.clock;
        let now_ns = clock.now_ns();
        if now_ns - self.units.peek().due_ns > MAX_LAG_NS {
            let newest = Looped::at_key_frame_before(&self.camera.clip, now_ns);
            if newest.peek().due_ns > self.units.peek().due_ns {
                self.units = newest;
            }
        }
        let unit = self.units.peek().unit;
        self.units.next();
        let packets = self.packets.of_unit(&unit.data, clock.rtp(unit.pts_ns));
        self.send(socket, packets, false).await?;
        if now_ns >= self.next_report_ns {
            self.next_report_ns = now_ns + REPORT_EVERY_NS;
            let report = self.packets.sender_report(clock.ntp(now_ns), clock.rtp(now_ns));
            self.send(socket, vec![report], true).await?;
        }
        Ok(())
    }

    async fn send(
        &self,
        socket: &mut (impl AsyncWrite + Unpin),
        packets: Vec<Vec<u8>>,
        is_report: bool,
    ) -> io::Result<()> {
        match &self.delivery {
            Delivery::Interleaved { rtp, rtcp } => {
                let channel = if is_report { *rtcp } else { *rtp };
                let mut bytes = Vec::new();
                for packet in &packets {
                    // RFC 2326, 10.12: a dollar sign, the channel and the length. A packet is far below 64 KiB.
                    bytes.extend_from_slice(&[b'$', channel]);
                    bytes.extend_from_slice(&(packet.len() as u16).to_be_bytes());
                    bytes.extend_from_slice(packet);
                }
                write(socket, &bytes).await
            }
            Delivery::Udp(pair) => {
                let socket = if is_report { &pair.rtcp } else { &pair.rtp };
                for packet in &packets {
                    // Refused means that the client's socket is closed: it will say so, or close its connection.
                    let _ = socket.send(packet).await;
                }
                Ok(())
            }
        }
    }
}

/// Writes all of `bytes`, unless the client has stopped reading.
pub(super) async fn write(socket: &mut (impl AsyncWrite + Unpin), bytes: &[u8]) -> io::Result<()> {
    let stalled = |_| io::Error::new(io::ErrorKind::TimedOut, "it has read nothing for 10 s");
    timeout(MAX_STALL, socket.write_all(bytes)).await.map_err(stalled)?
}
