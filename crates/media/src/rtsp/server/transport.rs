use std::io;
use std::net::{IpAddr, SocketAddr};

use tokio::net::UdpSocket;

use super::clock::random;

/// How a client wants its packets, of all that its `Transport` header offers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wish {
    /// Within the connection, on these two channels.
    Interleaved { rtp: u8, rtcp: u8 },
    /// To these two ports.
    Udp { rtp: u16, rtcp: u16 },
}

/// The first offer that can be met; multicast can't.
pub(super) fn choose(header: &str) -> Option<Wish> {
    header.split(',').find_map(|offer| {
        let mut parts = offer.split(';').map(str::trim);
        let profile = parts.next()?.to_ascii_uppercase();
        let parts: Vec<&str> = parts.collect();
        if parts.iter().any(|part| part.eq_ignore_ascii_case("multicast")) {
            return None;
        }
        let pair = |name: &str| parts.iter().find_map(|part| part.strip_prefix(name)?.strip_prefix('='));
        match profile.as_str() {
            "RTP/AVP/TCP" => {
                let (rtp, rtcp) = pair("interleaved").map_or(Some((0, 1)), numbers)?;
                Some(Wish::Interleaved { rtp: u8::try_from(rtp).ok()?, rtcp: u8::try_from(rtcp).ok()? })
            }
            "RTP/AVP" | "RTP/AVP/UDP" => {
                let (rtp, rtcp) = pair("client_port").and_then(numbers)?;
                // Below 1024 are services, which a stream of packets would hit by somebody else's wish.
                (rtp >= 1024 && rtcp >= 1024).then_some(Wish::Udp { rtp, rtcp })
            }
            _ => None,
        }
    })
}

/// `4-5`, or `4` for 4 and the one after it.
fn numbers(pair: &str) -> Option<(u16, u16)> {
    let (first, second) = pair.split_once('-').unwrap_or((pair, ""));
    let first: u16 = first.trim().parse().ok()?;
    let second = if second.is_empty() { first.checked_add(1)? } else { second.trim().parse().ok()? };
    Some((first, second))
}

/// A pair of sockets, connected to the client's.
pub(super) struct UdpPair {
    pub(super) rtp: UdpSocket,
    pub(super) rtcp: UdpSocket,
}

impl UdpPair {
    /// Binds a pair of neighbouring ports on `local`, the first even (RFC 3550, 11), and connects them to the client.
    pub(super) async fn connect(local: IpAddr, peer: IpAddr, ports: (u16, u16)) -> io::Result<Self> {
        // The ports are shared with everybody on the machine: try at random until two are free.
        const TRIES: usize = 64;
        let mut failed = io::Error::from(io::ErrorKind::AddrInUse);
        for _ in 0..TRIES {
            let port = 20_000 + (random() % 20_000) as u16 * 2;
            let bound = async {
                let rtp = UdpSocket::bind(SocketAddr::new(local, port)).await?;
                Ok((rtp, UdpSocket::bind(SocketAddr::new(local, port + 1)).await?))
            };
            match bound.await {
                Ok((rtp, rtcp)) => {
                    rtp.connect((peer, ports.0)).await?;
                    rtcp.connect((peer, ports.1)).await?;
                    return Ok(Self { rtp, rtcp });
                }
                Err(error) => failed = error,
            }
        }
        Err(failed)
    }

    /// The port of the packets; that of the reports is the next.
    pub(super) fn port(&self) -> io::Result<u16> {
        Ok(self.rtp.local_addr()?.port())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_offer_that_can_be_met() {
        let udp = Some(Wish::Udp { rtp: 5000, rtcp: 5001 });
        assert_eq!(choose("RTP/AVP;unicast;client_port=5000-5001"), udp);
        assert_eq!(choose("RTP/AVP;multicast, RTP/AVP/UDP;unicast;client_port=5000"), udp);
        let tcp = Some(Wish::Interleaved { rtp: 2, rtcp: 3 });
        assert_eq!(choose("RTP/AVP/TCP;unicast;interleaved=2-3;mode=play"), tcp);
        assert_eq!(choose("RTP/SAVP;unicast;client_port=5000-5001"), None);
        for nonsense in ["", ";;", "RTP/AVP", "RTP/AVP;client_port=", "RTP/AVP/TCP;interleaved=300-301"] {
            assert_eq!(choose(nonsense), None, "{nonsense}");
        }
        assert_eq!(choose("RTP/AVP;client_port=22-23"), None);
        assert_eq!(choose("RTP/AVP;client_port=65535"), None);
    }
}
