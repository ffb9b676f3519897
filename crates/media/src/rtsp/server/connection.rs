use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use rtsp_types::headers::{
    AUTHORIZATION, CONTENT_BASE, CONTENT_TYPE, CSEQ, HeaderName, PUBLIC, RTP_INFO, SESSION, TRANSPORT, WWW_AUTHENTICATE,
};
use rtsp_types::{Method, Response, ResponseBuilder, StatusCode, Version};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep_until};

use super::clock::random;
use super::request::{Request, Requests};
use super::sender::{Delivery, Sender, write};
use super::transport::{UdpPair, Wish, choose};
use super::{Camera, sdp};

/// A connection that neither plays nor asks for anything is closed after this time, which is also what `Session`
/// headers announce.
const IDLE: Duration = Duration::from_secs(60);

type Answer = Response<Vec<u8>>;

/// Serves one client until it leaves or has to be dropped.
pub(super) async fn serve(camera: &Camera, socket: TcpStream, peer: SocketAddr) -> (SocketAddr, io::Result<()>) {
    (peer, run(camera, socket, peer).await)
}

async fn run(camera: &Camera, mut socket: TcpStream, peer: SocketAddr) -> io::Result<()> {
    socket.set_nodelay(true)?;
    let local = socket.local_addr()?;
    let (mut read, mut written) = socket.split();
    let mut requests = Requests::default();
    let mut client = Client { camera, local, peer, session: None, delivery: None, sender: None };
    let mut idle_since = Instant::now();
    loop {
        let wake = client.sender.as_ref().map_or(idle_since + IDLE, Sender::due);
        tokio::select! {
            // Commands first: a client that is behind can still say TEARDOWN.
            biased;
            request = requests.next(&mut read) => {
                let Some(request) = request? else { return Ok(()) };
                let mut answer = Vec::new();
                let writing = client.answer(&request).await.write(&mut answer);
                writing.map_err(|error| io::Error::other(error.to_string()))?;
                write(&mut written, &answer).await?;
                idle_since = Instant::now();
            }
            () = sleep_until(wake) => match &mut client.sender {
                Some(sender) => sender.send_next(&mut written).await?,
                None => return Err(io::Error::new(io::ErrorKind::TimedOut, "it asked for nothing for 60 s")),
            },
        }
    }
}

/// What is known of one client.
struct Client<'a> {
    camera: &'a Camera,
    local: SocketAddr,
    peer: SocketAddr,
    /// The number that SETUP gave it.
    session: Option<String>,
    /// What SETUP agreed on, until PLAY takes it.
    delivery: Option<(Delivery, u32)>,
    sender: Option<Sender<'a>>,
}

impl Client<'_> {
    async fn answer(&mut self, request: &Request) -> Answer {
        let status = match self.refusal(request) {
            Some(status) => status,
            None => match request.method() {
                Method::Options => return options(request),
                Method::Describe => return self.describe(request),
                Method::Setup => return self.setup(request).await,
                Method::Play => return self.play(request),
                Method::Teardown => {
                    (self.session, self.delivery, self.sender) = (None, None, None);
                    StatusCode::Ok
                }
                // Sent to keep the session alive.
                Method::GetParameter | Method::SetParameter => StatusCode::Ok,
                _ => StatusCode::NotImplemented,
            },
        };
        let challenge = (status == StatusCode::Unauthorized).then(|| self.camera.auth.challenge());
        let mut answer = reply(request, status);
        if let Some(challenge) = challenge {
            answer = answer.header(WWW_AUTHENTICATE, challenge);
        }
        answer.build(Vec::new())
    }

    /// Why a request can't be considered at all.
    fn refusal(&self, request: &Request) -> Option<StatusCode> {
        let method = request.method();
        if *method == Method::Options {
            return None;
        }
        if !self.camera.auth.admits(<&str>::from(method), header(request, &AUTHORIZATION)) {
            return Some(StatusCode::Unauthorized);
        }
        let path = request.request_uri().map_or("", |uri| uri.path()).trim_end_matches('/');
        let path = path.strip_suffix(sdp::TRACK).unwrap_or(path).trim_end_matches('/');
        let path = percent_encoding::percent_decode_str(path).decode_utf8_lossy();
        if path != self.camera.path.trim_end_matches('/') {
            return Some(StatusCode::NotFound);
        }
        let named = header(request, &SESSION).and_then(|session| session.split(';').next());
        let is_unknown = named.is_some_and(|named| self.session.as_deref() != Some(named.trim()));
        is_unknown.then_some(StatusCode::SessionNotFound)
    }

    fn describe(&self, request: &Request) -> Answer {
        let base = request.request_uri().map_or("", |uri| uri.as_str()).trim_end_matches('/');
        reply(request, StatusCode::Ok)
            .header(CONTENT_TYPE, "application/sdp")
            .header(CONTENT_BASE, format!("{base}/"))
            .build(sdp::describe(&self.camera.clip).into_bytes())
    }

    async fn setup(&mut self, request: &Request) -> Answer {
        let refuse = |status| reply(request, status).build(Vec::new());
        if self.sender.is_some() {
            return refuse(StatusCode::MethodNotValidInThisState);
        }
        let Some(wish) = header(request, &TRANSPORT).and_then(choose) else {
            return refuse(StatusCode::UnsupportedTransport);
        };
        let ssrc = random() as u32;
        let (delivery, agreed) = match wish {
            Wish::Interleaved { rtp, rtcp } => {
                (Delivery::Interleaved { rtp, rtcp }, format!("RTP/AVP/TCP;unicast;interleaved={rtp}-{rtcp}"))
            }
            Wish::Udp { rtp, rtcp } => {
                let pair = UdpPair::connect(self.local.ip(), self.peer.ip(), (rtp, rtcp)).await;
                let bound = pair.and_then(|pair| Ok((pair.port()?, pair)));
                let (port, pair) = match bound {
                    Ok(bound) => bound,
                    Err(error) => {
                        tracing::warn!(%error, "the fake camera found no UDP ports");
                        return refuse(StatusCode::InternalServerError);
                    }
                };
                let ports = format!("client_port={rtp}-{rtcp};server_port={port}-{}", port + 1);
                (Delivery::Udp(pair), format!("RTP/AVP;unicast;{ports}"))
            }
        };
        self.delivery = Some((delivery, ssrc));
        let session = self.session.get_or_insert_with(|| format!("{:016x}", random()));
        reply(request, StatusCode::Ok)
            .header(TRANSPORT, format!("{agreed};ssrc={ssrc:08X}"))
            .header(SESSION, format!("{session};timeout={}", IDLE.as_secs()))
            .build(Vec::new())
    }

    fn play(&mut self, request: &Request) -> Answer {
        if self.sender.is_some() {
            // Asking again is harmless: some clients do so after a pause of their own.
            return reply(request, StatusCode::Ok).build(Vec::new());
        }
        let (Some((delivery, ssrc)), Some(session)) = (self.delivery.take(), &self.session) else {
            return reply(request, StatusCode::MethodNotValidInThisState).build(Vec::new());
        };
        let sender = Sender::new(self.camera, delivery, ssrc);
        let (sequence, rtp_time) = sender.position();
        let base = request.request_uri().map_or("", |uri| uri.as_str()).trim_end_matches('/');
        let info = format!("url={base}/{};seq={sequence};rtptime={rtp_time}", sdp::TRACK);
        self.sender = Some(sender);
        reply(request, StatusCode::Ok).header(SESSION, session.clone()).header(RTP_INFO, info).build(Vec::new())
    }
}

fn options(request: &Request) -> Answer {
    let methods = "OPTIONS, DESCRIBE, SETUP, PLAY, GET_PARAMETER, SET_PARAMETER, TEARDOWN";
    reply(request, StatusCode::Ok).header(PUBLIC, methods).build(Vec::new())
}

fn reply(request: &Request, status: StatusCode) -> ResponseBuilder {
    let answer = Response::builder(Version::V1_0, status);
    match header(request, &CSEQ) {
        Some(number) => answer.header(CSEQ, number),
        None => answer,
    }
}

fn header<'a>(request: &'a Request, name: &HeaderName) -> Option<&'a str> {
    request.header(name).map(|value| value.as_str())
}
