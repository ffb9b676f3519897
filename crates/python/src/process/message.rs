//! The few bytes around what the codec makes: a command's name, a child's preparation, an exception that was raised.
//!
//! All of it is MessagePack, as `#[commands]` writes it: a command is a map of one entry from its name to its arguments.

use shm::wire::Packet;

/// Extension: an exception in the place of an answer: a pickle of itself and its traceback's text.
const RAISED: u8 = 81;
/// Extension: what a child takes before it can take its configuration: a pickle of plain values.
const PREPARATION: u8 = 82;
/// Extension: a value as the codec pickles it.
const PICKLED: u8 = 80;
/// The command that is a pool's task.
const TASK: &str = "_";

/// A command, taken apart.
#[derive(Debug)]
pub enum Command {
    /// A method's name, and its arguments as they were encoded.
    Named(String, Packet),
    /// A pickled function, and its pickled argument.
    Task(Vec<u8>, Packet),
}

/// A call of the method `name` with encoded arguments.
pub fn named(name: &str, arguments: Packet) -> Packet {
    let mut head = vec![0x81];
    put_text(&mut head, name);
    before(&head, arguments)
}

/// A pool's task.
pub fn task(function: &[u8], argument: Packet) -> Packet {
    let mut head = Vec::with_capacity(16 + function.len());
    head.push(0x81);
    put_text(&mut head, TASK);
    head.extend([0x92, 0xc6]);
    head.extend(length(function).to_be_bytes());
    head.extend(function);
    before(&head, argument)
}

/// What comes before a configuration.
pub fn prepared(preparation: &[u8], configuration: Packet) -> Packet {
    let mut head = vec![0x92];
    put_extension(&mut head, PREPARATION, preparation);
    before(&head, configuration)
}

/// An exception in the place of an answer.
pub fn raised(pickled: &[u8]) -> Packet {
    let mut bytes = Vec::with_capacity(pickled.len() + 6);
    put_extension(&mut bytes, RAISED, pickled);
    Packet { bytes, descriptors: Vec::new() }
}

impl Command {
    /// Takes a command apart.
    pub fn read(mut packet: Packet) -> Result<Self, String> {
        let whole = &packet.bytes[..];
        // A command without arguments may be its name alone.
        if let Some((name, [])) = text(whole) {
            let name = name.to_owned();
            return Ok(Self::Named(name, Packet { bytes: vec![0xc0], descriptors: packet.descriptors }));
        }
        let named = whole.split_first().filter(|(first, _)| **first == 0x81).and_then(|(_, rest)| text(rest));
        let Some((name, arguments)) = named else {
            return Err(format!("read a command of {} bytes: it is no map from a name to arguments", whole.len()));
        };
        if name == TASK
            && let [0x92, 0xc6, a, b, c, d, rest @ ..] = arguments
            && let Some((function, argument)) = split(rest, u32::from_be_bytes([*a, *b, *c, *d]))
        {
            let (function, start) = (function.to_vec(), whole.len() - argument.len());
            packet.bytes.drain(..start);
            return Ok(Self::Task(function, packet));
        }
        let (name, start) = (name.to_owned(), whole.len() - arguments.len());
        packet.bytes.drain(..start);
        Ok(Self::Named(name, packet))
    }
}

/// The preparation before a configuration, if there is one, and the configuration.
pub fn take_preparation(mut packet: Packet) -> (Option<Vec<u8>>, Packet) {
    let found = match packet.bytes.split_first() {
        Some((0x92, rest)) => extension(rest).filter(|(kind, ..)| *kind == PREPARATION),
        _ => None,
    };
    let Some((_, preparation, configuration)) = found else { return (None, packet) };
    let (preparation, start) = (preparation.to_vec(), packet.bytes.len() - configuration.len());
    packet.bytes.drain(..start);
    (Some(preparation), packet)
}

/// The pickled exception, if it is one.
pub fn as_raised(packet: &Packet) -> Option<&[u8]> {
    extension(&packet.bytes).filter(|(kind, ..)| *kind == RAISED).map(|(_, pickled, _)| pickled)
}

/// Whether the codec has pickled it.
pub fn is_pickled(packet: &Packet) -> bool {
    extension_kind(&packet.bytes) == Some(PICKLED)
}

fn before(head: &[u8], mut packet: Packet) -> Packet {
    packet.bytes.splice(..0, head.iter().copied());
    packet
}

fn length(bytes: &[u8]) -> u32 {
    // A message is limited to 256 MiB; what is longer fails when it is sent.
    u32::try_from(bytes.len()).unwrap_or(u32::MAX)
}

fn put_text(bytes: &mut Vec<u8>, text: &str) {
    match u8::try_from(text.len()) {
        Ok(length @ ..32) => bytes.push(0xa0 | length),
        _ => {
            bytes.push(0xdb);
            bytes.extend(length(text.as_bytes()).to_be_bytes());
        }
    }
    bytes.extend(text.as_bytes());
}

fn put_extension(bytes: &mut Vec<u8>, kind: u8, data: &[u8]) {
    bytes.push(0xc9);
    bytes.extend(length(data).to_be_bytes());
    bytes.push(kind);
    bytes.extend(data);
}

fn split(bytes: &[u8], at: u32) -> Option<(&[u8], &[u8])> {
    bytes.split_at_checked(usize::try_from(at).ok()?)
}

/// A text at the beginning, and what follows.
fn text(bytes: &[u8]) -> Option<(&str, &[u8])> {
    let (text, rest) = match bytes {
        [first @ 0xa0..=0xbf, rest @ ..] => split(rest, u32::from(first & 0x1f)),
        [0xd9, length, rest @ ..] => split(rest, u32::from(*length)),
        [0xda, a, b, rest @ ..] => split(rest, u32::from(u16::from_be_bytes([*a, *b]))),
        [0xdb, a, b, c, d, rest @ ..] => split(rest, u32::from_be_bytes([*a, *b, *c, *d])),
        _ => None,
    }?;
    Some((std::str::from_utf8(text).ok()?, rest))
}

/// An extension at the beginning: its type and data, and what follows.
fn extension(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (kind, length, rest) = match bytes {
        [first @ 0xd4..=0xd8, kind, rest @ ..] => (*kind, 1 << (first - 0xd4), rest),
        [0xc7, length, kind, rest @ ..] => (*kind, u32::from(*length), rest),
        [0xc8, a, b, kind, rest @ ..] => (*kind, u32::from(u16::from_be_bytes([*a, *b])), rest),
        [0xc9, a, b, c, d, kind, rest @ ..] => (*kind, u32::from_be_bytes([*a, *b, *c, *d]), rest),
        _ => return None,
    };
    split(rest, length).map(|(data, rest)| (kind, data, rest))
}

fn extension_kind(bytes: &[u8]) -> Option<u8> {
    match bytes {
        [0xd4..=0xd8, kind, ..] | [0xc7, _, kind, ..] | [0xc8, _, _, kind, ..] | [0xc9, _, _, _, _, kind, ..] => {
            Some(*kind)
        }
        _ => None,
    }
}
