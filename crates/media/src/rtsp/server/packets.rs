use super::sdp::PAYLOAD_TYPE;
use crate::h264;

/// The most bytes of payload in a packet: with all headers it fits the 1500 bytes of an Ethernet frame.
const MAX_PAYLOAD: usize = 1400;
/// `nal_unit_type` of a fragment (FU-A, RFC 6184, 5.8).
const FU_A: u8 = 28;

/// Makes the RTP and RTCP packets of one client's stream.
pub(super) struct Packets {
    ssrc: u32,
    sequence: u16,
    /// What was sent so far, for sender reports.
    packets: u32,
    bytes: u32,
}

impl Packets {
    pub(super) fn new(ssrc: u32, sequence: u16) -> Self {
        Self { ssrc, sequence, packets: 0, bytes: 0 }
    }

    /// The sequence number of the next packet.
    pub(super) fn sequence(&self) -> u16 {
        self.sequence
    }

    /// The packets of one access unit (AVCC), the last of them marked as such.
    pub(super) fn of_unit(&mut self, avcc: &[u8], rtp_time: u32) -> Vec<Vec<u8>> {
        // A clip's units were checked when it was read.
        let nals: Vec<&[u8]> = h264::nal_units(avcc).map_while(Result::ok).collect();
        let mut packets = Vec::new();
        for (i, nal) in nals.iter().enumerate() {
            self.push_nal(&mut packets, nal, rtp_time, i + 1 == nals.len());
        }
        packets
    }

    fn push_nal(&mut self, packets: &mut Vec<Vec<u8>>, nal: &[u8], rtp_time: u32, is_last: bool) {
        if nal.len() <= MAX_PAYLOAD {
            packets.push(self.packet(&[nal], rtp_time, is_last));
            return;
        }
        let (header, body) = (nal[0], &nal[1..]);
        let chunks = body.chunks(MAX_PAYLOAD - 2);
        let count = chunks.len();
        for (i, chunk) in chunks.enumerate() {
            let (starts, ends) = (i == 0, i + 1 == count);
            // The importance of the unit stays in front; start, end and type go into the second byte.
            let prefix = [header & 0xe0 | FU_A, u8::from(starts) << 7 | u8::from(ends) << 6 | h264::kind(nal)];
            packets.push(self.packet(&[&prefix, chunk], rtp_time, is_last && ends));
        }
    }

    /// One RTP packet (RFC 3550, 5.1).
    fn packet(&mut self, payload: &[&[u8]], rtp_time: u32, marked: bool) -> Vec<u8> {
        let mut packet = Vec::with_capacity(12 + payload.iter().map(|part| part.len()).sum::<usize>());
        packet.extend_from_slice(&[0x80, u8::from(marked) << 7 | PAYLOAD_TYPE]);
        packet.extend_from_slice(&self.sequence.to_be_bytes());
        packet.extend_from_slice(&rtp_time.to_be_bytes());
        packet.extend_from_slice(&self.ssrc.to_be_bytes());
        payload.iter().for_each(|part| packet.extend_from_slice(part));
        self.sequence = self.sequence.wrapping_add(1);
        self.packets = self.packets.wrapping_add(1);
        self.bytes = self.bytes.wrapping_add(packet.len() as u32 - 12);
        packet
    }

    /// A sender report with the name that RFC 3550, 6.1 demands beside it: which RTP time is which time of day.
    pub(super) fn sender_report(&self, ntp: u64, rtp_time: u32) -> Vec<u8> {
        let mut report = vec![0x80, 200, 0, 6];
        report.extend_from_slice(&self.ssrc.to_be_bytes());
        report.extend_from_slice(&ntp.to_be_bytes());
        for word in [rtp_time, self.packets, self.bytes] {
            report.extend_from_slice(&word.to_be_bytes());
        }
        // One chunk, whose only item is the CNAME; ended and padded by zeros to whole words.
        report.extend_from_slice(&[0x81, 202, 0, 4]);
        report.extend_from_slice(&self.ssrc.to_be_bytes());
        report.extend_from_slice(b"\x01\x09framewire\0");
        report
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unit(nals: &[&[u8]]) -> Vec<u8> {
        let mut avcc = Vec::new();
        nals.iter().for_each(|nal| h264::push_nal(&mut avcc, nal));
        avcc
    }

    #[test]
    fn a_large_nal_unit_is_cut_and_can_be_put_together() {
        let large: Vec<u8> = std::iter::once(0x65).chain((0..5000).map(|i| i as u8)).collect();
        let mut packets = Packets::new(7, u16::MAX);
        let sent = packets.of_unit(&unit(&[&[0x67, 1], &large]), 90_000);
        assert_eq!(sent.len(), 5);
        assert!(sent.iter().all(|packet| packet.len() <= MAX_PAYLOAD + 12));
        let marks: Vec<bool> = sent.iter().map(|packet| packet[1] & 0x80 != 0).collect();
        assert_eq!(marks, [false, false, false, false, true]);
        let sequence: Vec<u16> = sent.iter().map(|packet| u16::from_be_bytes([packet[2], packet[3]])).collect();
        assert_eq!(sequence, [u16::MAX, 0, 1, 2, 3]);
        let fragments = &sent[1..];
        let mut whole = vec![fragments[0][12] & 0xe0 | fragments[0][13] & 0x1f];
        fragments.iter().for_each(|packet| whole.extend_from_slice(&packet[14..]));
        assert_eq!(whole, large);
    }

    #[test]
    fn a_report_counts_in_whole_words() {
        let mut packets = Packets::new(7, 0);
        packets.of_unit(&unit(&[&[0x65, 1, 2]]), 0);
        let report = packets.sender_report(1 << 32, 90_000);
        assert_eq!(report.len() % 4, 0);
        assert_eq!(report.len(), 28 + 4 * 5);
        assert_eq!(report[20..28], [0, 0, 0, 1, 0, 0, 0, 3]);
    }
}
