//! Messages of any bytes.
//!
//! Oracle: decoding is a value or an error, whatever the bytes, the descriptors and the type; receiving too.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use shm::{
    ring::Wish,
    wire::{Packet, Passed, ReceiveError, Socket},
};

use crate::{
    script::Script,
    wild::{self, Answer, Join},
};

/// A type as deep as its message.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Tree {
    leaves: Vec<u64>,
    name: String,
    file: Option<Passed>,
    below: Vec<Tree>,
}

pub fn run(bytes: &[u8]) {
    let script = &mut Script::new(bytes);
    let mut packet = match script.byte() % 3 {
        0 => {
            let tree = Tree { name: "t".to_owned(), file: Some(wild::descriptor(script)), ..Tree::default() };
            Packet::encode(&Tree { below: vec![tree], leaves: vec![1, 2, 3], ..Tree::default() }).unwrap()
        }
        1 => nested(script.below(3000), script.byte()),
        _ => Packet { bytes: script.bytes(255).to_vec(), descriptors: vec![wild::descriptor(script)] },
    };
    wild::mutate(&mut packet, script);
    decode(&packet);

    let (one, other) = Socket::pair().unwrap();
    let _ = rustix::net::send(&one, &packet.bytes, rustix::net::SendFlags::DONTWAIT); // not as `Socket` does it
    let _ = one.try_send(&packet);
    drop(one);
    loop {
        match other.try_receive() {
            Ok(packet) => decode(&packet),
            // An empty datagram looks like the end.
            Err(ReceiveError::Gone) => break,
            Err(error) => assert!(!error.to_string().is_empty()),
        }
    }
}

fn decode(packet: &Packet) {
    let _ = packet.decode::<Tree>().is_ok();
    let _ = packet.decode::<Join>().is_ok();
    let _ = packet.decode::<Answer>().is_ok();
    let _ = packet.decode::<Wish>().is_ok();
    let _ = packet.decode::<Vec<Passed>>().is_ok();
    let _ = packet.decode::<BTreeMap<String, (u8, Option<Passed>)>>().is_ok();
}

/// A message that is nothing but depth, in a field that is known or in one that isn't.
pub fn nested(depth: usize, kind: u8) -> Packet {
    let (name, each) =
        if kind.is_multiple_of(2) { ("below", [0x91].as_slice()) } else { ("other", [0x81, 0xa1, b'k'].as_slice()) };
    let mut bytes = vec![0x81, 0xa0 | name.len() as u8];
    bytes.extend(name.as_bytes());
    if kind.is_multiple_of(3) {
        // Trees within trees.
        (0..depth).for_each(|_| bytes.extend([0x91, 0x81, 0xa5, b'b', b'e', b'l', b'o', b'w']));
    } else {
        (0..depth).for_each(|_| bytes.extend(each));
    }
    bytes.push(0xc0);
    Packet { bytes, descriptors: Vec::new() }
}
