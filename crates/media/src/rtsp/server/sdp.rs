use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

use crate::mp4::Clip;

/// The part of the stream's URL that names its only track.
pub(super) const TRACK: &str = "trackID=0";

/// The RTP payload type, the first of the dynamic ones.
pub(super) const PAYLOAD_TYPE: u8 = 96;

/// The description of the stream (RFC 8866, and RFC 6184 for H.264).
pub(super) fn describe(clip: &Clip) -> String {
    let parameters = clip.parameter_sets();
    let profile: String = parameters.sps.iter().skip(1).take(3).map(|byte| format!("{byte:02x}")).collect();
    let (sps, pps) = (BASE64_STANDARD.encode(&parameters.sps), BASE64_STANDARD.encode(&parameters.pps));
    let fps = clip.frame_rate();
    format!(
        "v=0\r\n\
         o=- 0 0 IN IP4 127.0.0.1\r\n\
         s=Framewire fake camera\r\n\
         c=IN IP4 0.0.0.0\r\n\
         t=0 0\r\n\
         a=control:*\r\n\
         a=range:npt=now-\r\n\
         m=video 0 RTP/AVP {PAYLOAD_TYPE}\r\n\
         a=rtpmap:{PAYLOAD_TYPE} H264/90000\r\n\
         a=fmtp:{PAYLOAD_TYPE} packetization-mode=1;profile-level-id={profile};sprop-parameter-sets={sps},{pps}\r\n\
         a=framerate:{fps:.3}\r\n\
         a=control:{TRACK}\r\n"
    )
}
