use std::io;

use rtsp_types::{Message, ParseError};
use tokio::io::{AsyncRead, AsyncReadExt};

pub(super) type Request = rtsp_types::Request<Vec<u8>>;

/// Far more than any client's requests, which are some hundred bytes; what is longer isn't read on.
const MAX_REQUEST: usize = 16 * 1024;

/// Cuts what a client sends into requests.
#[derive(Default)]
pub(super) struct Requests {
    buffer: Vec<u8>,
}

impl Requests {
    /// The next request, or `None` when the client has closed. Cancel safe.
    pub(super) async fn next(&mut self, socket: &mut (impl AsyncRead + Unpin)) -> io::Result<Option<Request>> {
        loop {
            if let Some(request) = self.parse()? {
                return Ok(Some(request));
            }
            if socket.read_buf(&mut self.buffer).await? == 0 {
                return Ok(None);
            }
        }
    }

    /// Takes the first request out of the buffer. Receiver reports and answers, which lie between, are skipped.
    fn parse(&mut self) -> io::Result<Option<Request>> {
        let refuse = |why| Err(io::Error::new(io::ErrorKind::InvalidData, why));
        while !self.buffer.is_empty() {
            match Message::<Vec<u8>>::parse(&self.buffer) {
                Ok((message, consumed)) => {
                    self.buffer.drain(..consumed);
                    if let Message::Request(request) = message {
                        return Ok(Some(request));
                    }
                }
                Err(ParseError::Incomplete(_)) if self.buffer.len() < MAX_REQUEST => break,
                Err(ParseError::Incomplete(_)) => return refuse("a request of more than 16 KiB"),
                Err(ParseError::Error) => return refuse("something that isn't RTSP"),
            }
        }
        Ok(None)
    }
}
