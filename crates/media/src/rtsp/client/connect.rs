use retina::client::{
    Credentials, InitialTimestampPolicy, PlayOptions, SessionOptions, SetupOptions, TcpTransportOptions,
    Transport as RetinaTransport, UdpTransportOptions,
};
use retina::codec::FrameFormat;
use tokio::time::timeout;

use super::{CameraError, Options, Session, Transport};
use crate::source::{CameraUrl, SourceKind, shown};

/// Connects to a camera and asks it to play its first H.264 stream.
///
/// # Errors
///
/// When the camera can't be reached, doesn't let us in, has no H.264 video or doesn't answer within
/// [`Options::connect_timeout`].
pub async fn connect(camera: &CameraUrl, options: Options) -> Result<Session, CameraError> {
    let SourceKind::Rtsp(url) = camera.kind() else {
        return Err(CameraError::NotACamera { place: camera.place() });
    };
    let waited = options.connect_timeout;
    let host = camera.place();
    let connecting = connect_unlimited(camera, url, &options);
    let silent = |_| CameraError::Silent { host, during: "connecting", waited };
    timeout(waited, connecting).await.map_err(silent)?
}

async fn connect_unlimited(camera: &CameraUrl, url: &url::Url, options: &Options) -> Result<Session, CameraError> {
    let host = camera.place();
    let credentials = camera.credentials();
    let had_password = credentials.is_some();
    let failed = |error: retina::Error| CameraError::from_retina(&host, shown(url).path(), had_password, &error);
    let credentials = credentials.map(|c| Credentials { username: c.user, password: c.password });
    let session_options = SessionOptions::default().creds(credentials).user_agent("framewire".into());
    let mut session = retina::client::Session::describe(url.clone(), session_options).await.map_err(failed)?;
    let stream = choose(&host, session.streams())?;
    let transport = match options.transport {
        Transport::Tcp => RetinaTransport::Tcp(TcpTransportOptions::default()),
        Transport::Udp => RetinaTransport::Udp(UdpTransportOptions::default()),
    };
    // The default format: lengths of four bytes, and parameter sets in front of each key frame.
    let setup = SetupOptions::default().transport(transport).frame_format(FrameFormat::default());
    session.setup(stream, setup).await.map_err(failed)?;
    // The start of the axis is the first picture anyway, so a camera that lies about it does no harm.
    let play = PlayOptions::default().initial_timestamp(InitialTimestampPolicy::Ignore);
    let playing = session.play(play).await.map_err(failed)?.demuxed().map_err(failed)?;
    Ok(Session::new(host.clone(), stream, playing, options.silence_timeout))
}

/// The first H.264 stream.
fn choose(host: &str, streams: &[retina::client::Stream]) -> Result<usize, CameraError> {
    let is_video = |stream: &retina::client::Stream| stream.media() == "video";
    if let Some(i) = streams.iter().position(|s| is_video(s) && s.encoding_name().eq_ignore_ascii_case("h264")) {
        return Ok(i);
    }
    let found = match streams.iter().find(|stream| is_video(stream)).map(|stream| stream.encoding_name()) {
        Some(name) if name.eq_ignore_ascii_case("h265") => "H.265".to_owned(),
        Some(name) => format!("video as {}", name.to_ascii_uppercase()),
        None => "no video".to_owned(),
    };
    Err(CameraError::NotH264 { host: host.into(), found })
}
