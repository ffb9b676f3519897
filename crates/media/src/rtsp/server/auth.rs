use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use md5::{Digest, Md5};

use super::clock::random;
use crate::source::Credentials;

const REALM: &str = "framewire";

/// Who may watch.
pub(super) struct Auth {
    credentials: Option<Credentials>,
    /// One for all: a fake camera has no replay to fear.
    nonce: String,
}

impl Auth {
    pub(super) fn new(credentials: Option<Credentials>) -> Self {
        Self { credentials, nonce: format!("{:016x}{:016x}", random(), random()) }
    }

    /// The challenge to send with a 401.
    pub(super) fn challenge(&self) -> String {
        format!("Digest realm=\"{REALM}\", nonce=\"{}\"", self.nonce)
    }

    /// Whether a request with this method and `Authorization` header may pass.
    pub(super) fn admits(&self, method: &str, header: Option<&str>) -> bool {
        let Some(credentials) = &self.credentials else { return true };
        let Some((scheme, value)) = header.and_then(|header| header.trim().split_once(' ')) else { return false };
        if scheme.eq_ignore_ascii_case("basic") {
            let expected = format!("{}:{}", credentials.user, credentials.password);
            return BASE64_STANDARD.decode(value.trim()).is_ok_and(|given| given == expected.as_bytes());
        }
        scheme.eq_ignore_ascii_case("digest") && self.digest_fits(credentials, method, value)
    }

    /// RFC 2617, 3.2.2, with and without `qop`, which we don't offer but some send.
    fn digest_fits(&self, Credentials { user, password }: &Credentials, method: &str, value: &str) -> bool {
        let field = |name| parameter(value, name).unwrap_or("");
        if field("username") != user || field("nonce") != self.nonce || field("realm") != REALM {
            return false;
        }
        let secret = md5(&format!("{user}:{REALM}:{password}"));
        let request = md5(&format!("{method}:{}", field("uri")));
        let expected = match field("qop") {
            "" => md5(&format!("{secret}:{}:{request}", self.nonce)),
            qop => md5(&format!("{secret}:{}:{}:{}:{qop}:{request}", self.nonce, field("nc"), field("cnonce"))),
        };
        field("response").eq_ignore_ascii_case(&expected)
    }
}

/// The value of `name=value` or `name="value"` in a list with commas.
fn parameter<'a>(mut list: &'a str, name: &str) -> Option<&'a str> {
    while !list.is_empty() {
        let (key, rest) = list.split_once('=')?;
        let (value, after) = match rest.trim_start().strip_prefix('"') {
            Some(quoted) => quoted.split_once('"')?,
            None => (rest.split(',').next()?.trim(), rest.split_once(',').map_or("", |(_, after)| after)),
        };
        if key.trim().eq_ignore_ascii_case(name) {
            return Some(value);
        }
        list = after.trim_start_matches([',', ' ']);
    }
    None
}

fn md5(text: &str) -> String {
    Md5::digest(text).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn auth() -> Auth {
        Auth {
            credentials: Some(Credentials { user: "admin".into(), password: "pa,ss".into() }),
            nonce: "n0nce".into(),
        }
    }

    #[test]
    fn basic_and_digest_admit_the_right_password_only() {
        let header = |text: &str| format!("Basic {}", BASE64_STANDARD.encode(text));
        assert!(auth().admits("DESCRIBE", Some(&header("admin:pa,ss"))));
        assert!(!auth().admits("DESCRIBE", Some(&header("admin:wrong"))));
        assert!(!auth().admits("DESCRIBE", None));
        let response = md5(&format!("{}:n0nce:{}", md5("admin:framewire:pa,ss"), md5("PLAY:rtsp://x/y")));
        let digest = |response: &str| {
            format!(
                "Digest username=\"admin\", realm=\"framewire\", nonce=\"n0nce\", uri=\"rtsp://x/y\", response=\"{response}\""
            )
        };
        assert!(auth().admits("PLAY", Some(&digest(&response))));
        assert!(!auth().admits("DESCRIBE", Some(&digest(&response))), "made for another method");
        assert!(!auth().admits("PLAY", Some(&digest("0"))));
        assert!(Auth::new(None).admits("PLAY", None));
    }

    #[test]
    fn parameters_with_commas_and_without_quotes() {
        let list = "a=\"x, b=2\", nc=0001, qop=auth";
        assert_eq!(parameter(list, "A"), Some("x, b=2"));
        assert_eq!(parameter(list, "nc"), Some("0001"));
        assert_eq!(parameter(list, "qop"), Some("auth"));
        assert_eq!(parameter(list, "b"), None);
        assert_eq!(parameter("=\"", "b"), None);
    }
}
