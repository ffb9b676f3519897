//! One entry of the journal, in its native protocol: <https://systemd.io/JOURNAL_NATIVE_PROTOCOL/>.

use tracing::Level;

/// The longest field name; the journal throws longer ones away.
const MAX_NAME_BYTES: usize = 64;

/// `NAME=value` for each field.
#[derive(Debug, Default)]
pub(super) struct Entry(pub Vec<u8>);

impl Entry {
    pub(super) fn into_bytes(self) -> Vec<u8> {
        self.0
    }

    /// A field of a name that is one of the journal's.
    pub(super) fn put(&mut self, name: &str, value: &str) {
        self.0.extend(name.as_bytes());
        if value.contains('\n') {
            // Else what follows the line break would be a field of its own.
            self.0.push(b'\n');
            self.0.extend((value.len() as u64).to_le_bytes());
        } else {
            self.0.push(b'=');
        }
        self.0.extend(value.as_bytes());
        self.0.push(b'\n');
    }

    /// A field of a name that is anybody's: `F_` and its letters and digits as the journal wants them, so that it can't be
    /// taken for one of the journal's own.
    pub(super) fn put_foreign(&mut self, name: &str, value: &str) {
        let plain =
            |character: char| if character.is_ascii_alphanumeric() { character.to_ascii_uppercase() } else { '_' };
        let name: String = "F_".chars().chain(name.chars().map(plain)).take(MAX_NAME_BYTES).collect();
        self.put(&name, value);
    }
}

/// What syslog calls it. `INFO` is its "informational", and what is below is all "debug".
pub(super) fn priority(level: Level) -> &'static str {
    match level {
        Level::ERROR => "3",
        Level::WARN => "4",
        Level::INFO => "6",
        _ => "7",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_break_cannot_begin_another_field() {
        let mut entry = Entry::default();
        entry.put("MESSAGE", "a\nPRIORITY=0");
        entry.put("PRIORITY", "6");
        assert_eq!(entry.into_bytes(), b"MESSAGE\n\x0c\0\0\0\0\0\0\0a\nPRIORITY=0\nPRIORITY=6\n");
    }

    #[test]
    fn names_are_as_the_journal_wants_them() {
        let mut entry = Entry::default();
        entry.put_foreign("http.status-code", "200");
        entry.put_foreign(&"_é9".repeat(40), "x");
        let text = String::from_utf8(entry.into_bytes()).unwrap();
        let mut lines = text.lines();
        assert_eq!(lines.next(), Some("F_HTTP_STATUS_CODE=200"));
        let name = lines.next().unwrap().split('=').next().unwrap();
        assert!(
            name.len() == 64 && name.bytes().all(|byte| byte.is_ascii_uppercase() || b"_9".contains(&byte)),
            "{name}"
        );
    }
}
