//! Words as a unit's file has them, so that systemd reads what was meant.

use super::UnitError;

/// One argument of a command line: `%` is for specifiers, `$` for variables, and white space, quotes, backslashes and a lone
/// `;` mean something too.
pub(super) fn argument(text: &str) -> Result<String, UnitError> {
    Ok(word(text)?.replace('$', "$$"))
}

/// The program of a command line. Variables aren't put in there, so a `$` stands for itself; but what comes first in it
/// could be a prefix (`-`, `+`, `@` …), so it must be a whole path.
pub(super) fn program(path: &str) -> Result<String, UnitError> {
    let is_refused = |character: char| character.is_ascii_control() || "\"'\\".contains(character);
    match path {
        _ if !path.starts_with('/') => Err(UnitError::NotAbsolute(path.to_owned())),
        _ if path.contains(is_refused) => Err(UnitError::Program(path.to_owned())),
        _ => word(path),
    }
}

/// A word where variables aren't put in: `Environment=`, `LoadCredential=`.
pub(super) fn word(text: &str) -> Result<String, UnitError> {
    if text.contains('\0') {
        return Err(UnitError::Character(text.to_owned()));
    }
    let is_plain = |character: char| character.is_ascii_alphanumeric() || "-_./:=@,+".contains(character);
    if !text.is_empty() && text.chars().all(is_plain) {
        return Ok(text.to_owned());
    }
    let mut quoted = String::from('"');
    for character in text.chars() {
        match character {
            '"' | '\\' => quoted.extend(['\\', character]),
            '%' => quoted.push_str("%%"),
            '\n' => quoted.push_str("\\n"),
            '\t' => quoted.push_str("\\t"),
            '\r' => quoted.push_str("\\r"),
            // All other control characters below 256 have this form.
            _ if character.is_control() => quoted.push_str(&format!("\\u{:04x}", u32::from(character))),
            _ => quoted.push(character),
        }
    }
    quoted.push('"');
    Ok(quoted)
}

/// The rest of a line, where quotes mean nothing: `Description=`.
pub(super) fn line(text: &str) -> String {
    let line = text.replace(char::is_control, " ").replace('%', "%%");
    // At the end of a line it would join the next one.
    line.trim().trim_end_matches('\\').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What systemd makes of a line of words, written anew from systemd.service(5): quotes, C escapes, then specifiers, then
    /// variables.
    fn read(line: &str) -> Vec<String> {
        let (mut words, mut word, mut quote, mut within) = (Vec::new(), String::new(), None, false);
        let mut characters = line.chars();
        while let Some(character) = characters.next() {
            match (character, quote) {
                ('\\', _) => match characters.next().unwrap() {
                    'n' => word.push('\n'),
                    't' => word.push('\t'),
                    'r' => word.push('\r'),
                    'u' => {
                        let code: String = characters.by_ref().take(4).collect();
                        word.push(char::from_u32(u32::from_str_radix(&code, 16).unwrap()).unwrap());
                    }
                    other => word.push(other),
                },
                ('"' | '\'', None) => (quote, within) = (Some(character), true),
                (end, Some(open)) if end == open => quote = None,
                (' ', None) if within || !word.is_empty() => {
                    words.push(std::mem::take(&mut word));
                    within = false;
                }
                (' ', None) => {}
                (other, _) => word.push(other),
            }
        }
        if within || !word.is_empty() {
            words.push(word);
        }
        let specifiers = words.into_iter().map(|word| word.replace("%%", "\u{1}"));
        let read: Vec<String> = specifiers.collect();
        assert!(read.iter().all(|word| !word.contains('%')), "a specifier: {line}");
        read.into_iter().map(|word| word.replace('\u{1}', "%")).collect()
    }

    #[test]
    fn what_is_written_is_what_is_read() {
        let words = [
            "plain",
            "",
            " ",
            "two words",
            "100%",
            "%h",
            "a\"b",
            "it's",
            "back\\slash",
            "\\",
            "line\nbreak",
            "tab\t",
            ";",
            "ünï",
            "\u{7f}",
            "\u{85}",
            "a;b",
            "-x",
            "@",
            "rtsp://10.0.0.2/a?b=c&d=%20",
            "#no comment",
        ];
        let line: Vec<String> = words.iter().map(|text| argument(text).unwrap()).collect();
        assert_eq!(read(&line.join(" ")), words);
        assert!(!line.join(" ").contains('\n'));
        assert_eq!(argument("$HOME and ${X}").unwrap(), "\"$$HOME and $${X}\"");
        assert_eq!(argument("a$").unwrap(), "\"a$$\"", "two, of which systemd makes one");
        assert_eq!(program("/opt/a $b/c%d").unwrap(), "\"/opt/a $b/c%%d\"");
    }

    #[test]
    fn what_cannot_be_said_is_refused() {
        assert!(argument("a\0b").unwrap_err().to_string().contains("a zero byte"));
        assert!(program("-/bin/true").unwrap_err().to_string().contains("whole path"));
        assert!(program("/opt/it's").unwrap_err().to_string().contains("quotes"));
        assert_eq!(line(" 50 %\nExecStart=/bin/sh \\"), "50 %% ExecStart=/bin/sh ");
    }
}
