//! RTSP (RFC 2326): a client for cameras, and a server that stands in for one.

pub mod client;
pub mod server;
