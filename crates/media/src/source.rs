//! Where pictures come from: a camera's URL or a file, with the password kept out of sight.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use percent_encoding::percent_decode_str;
use serde::{Serialize, Serializer};
use url::Url;

/// A source of video: `rtsp://user:password@host:554/path`, `file:clip.mp4`, or the path of a file.
///
/// `Display`, `Debug` and serialisation show it without its password. To hand it whole to another process, use
/// [`with_password`] for that field, and nowhere else.
///
/// ```
/// let camera: media::source::CameraUrl = "rtsp://admin:s3cret@10.0.0.2/door".parse()?;
/// assert_eq!(camera.to_string(), "rtsp://admin:***@10.0.0.2/door");
/// assert_eq!(camera.credentials().map(|c| c.password), Some("s3cret".to_owned()));
/// # Ok::<(), media::source::CameraUrlError>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct CameraUrl {
    kind: SourceKind,
    credentials: Option<Credentials>,
}

/// The kinds of source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SourceKind {
    /// A camera on the network; the URL is without user and password.
    Rtsp(Url),
    /// A file, played again and again as if it were a camera.
    File(PathBuf),
}

/// What a camera wants to hear before it shows anything. `Debug` doesn't show the password.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// The user's name.
    pub user: String,
    /// The password.
    pub password: String,
}

/// Why a text isn't a source. The message never holds the text, as there may be a password in it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CameraUrlError {
    /// Nothing was given.
    #[error("the source is empty: give an rtsp:// URL or the path of an MP4 file")]
    Empty,
    /// It isn't a URL.
    #[error(
        "the camera's URL is malformed: {0}; write rtsp://user:password@host:554/path, with %40 for an @ and %23 for a # in the password"
    )]
    Malformed(String),
    /// It looks like a camera's URL that isn't one, and may hold a password.
    #[error(
        "it is no file, and no camera's URL either: write rtsp://user:password@host:554/path, with %40 for an @, %2F for a \
         /, %3F for a ? and %23 for a # in the password"
    )]
    Unclear,
    /// The URL names no host.
    #[error("the camera's URL names no host; write rtsp://host/path")]
    NoHost,
    /// Another protocol.
    #[error("`{scheme}:` isn't supported: give an rtsp:// URL or the path of an MP4 file")]
    Scheme {
        /// The part before the colon.
        scheme: String,
    },
}

impl CameraUrl {
    /// What kind of source it is, without user and password.
    pub fn kind(&self) -> &SourceKind {
        &self.kind
    }

    /// User and password, if the URL has them. For the client only.
    pub fn credentials(&self) -> Option<Credentials> {
        self.credentials.clone()
    }

    /// The host and port of a camera, or the path of a file: what an error message calls it.
    pub fn place(&self) -> String {
        match &self.kind {
            SourceKind::Rtsp(url) => format!("{}:{}", url.host_str().unwrap_or("?"), url.port().unwrap_or(554)),
            SourceKind::File(path) => path.display().to_string(),
        }
    }
}

impl FromStr for CameraUrl {
    type Err = CameraUrlError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let file = |path: &str| Ok(Self { kind: SourceKind::File(path.into()), credentials: None });
        if text.trim().is_empty() {
            return Err(CameraUrlError::Empty);
        }
        if let Some(path) = text.strip_prefix("file:") {
            return file(path.strip_prefix("//").unwrap_or(path));
        }
        // A path may have a colon in it; a URL's scheme is letters before "://".
        match text.split_once("://") {
            Some((scheme, _)) if scheme.eq_ignore_ascii_case("rtsp") => camera(text),
            Some((scheme, _)) if !Path::new(text).exists() && is_scheme(scheme) => {
                Err(CameraUrlError::Scheme { scheme: scheme.to_ascii_lowercase() })
            }
            // A forgotten scheme or slash: taken for a file, its password would be in every message about it.
            _ if !Path::new(text).exists() && (text.contains('@') || text.starts_with("rtsp:")) => {
                Err(CameraUrlError::Unclear)
            }
            _ => file(text),
        }
    }
}

fn is_scheme(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.'))
}

fn camera(text: &str) -> Result<CameraUrl, CameraUrlError> {
    let mut url = Url::parse(text).map_err(|error| CameraUrlError::Malformed(error.to_string()))?;
    if url.host_str().is_none_or(str::is_empty) {
        return Err(CameraUrlError::NoHost);
    }
    // What an unescaped character in a password makes of the rest.
    if url.fragment().is_some() || url.path().contains('@') || url.query().is_some_and(|query| query.contains('@')) {
        return Err(CameraUrlError::Unclear);
    }
    let decode = |part: &str| percent_decode_str(part).decode_utf8_lossy().into_owned();
    let credentials = (!url.username().is_empty() || url.password().is_some())
        .then(|| Credentials { user: decode(url.username()), password: decode(url.password().unwrap_or("")) });
    let stripped = url.set_username("").and_then(|()| url.set_password(None));
    stripped.map_err(|()| CameraUrlError::NoHost)?;
    Ok(CameraUrl { kind: SourceKind::Rtsp(url), credentials })
}

/// Some makers want user and password in the path or the query: then these aren't shown.
pub(crate) fn shown(url: &Url) -> Url {
    let mut url = url.clone();
    let telling = |text: &str| ["pass", "pwd", "user", "auth", "token"].iter().any(|word| text.contains(word));
    if telling(&url.path().to_ascii_lowercase()) {
        url.set_path("/***");
    }
    if url.query().is_some_and(|query| telling(&query.to_ascii_lowercase())) {
        url.set_query(Some("***"));
    }
    url
}

impl fmt::Display for CameraUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.kind, &self.credentials) {
            (SourceKind::Rtsp(url), Some(Credentials { user, .. })) => {
                let mut url = shown(url);
                let _ = url.set_username(user);
                let _ = url.set_password(Some("***"));
                f.write_str(url.as_str())
            }
            (SourceKind::Rtsp(url), None) => f.write_str(shown(url).as_str()),
            (SourceKind::File(path), _) => write!(f, "{}", path.display()),
        }
    }
}

impl fmt::Debug for CameraUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CameraUrl({self})")
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").field("user", &self.user).finish_non_exhaustive()
    }
}

/// Without the password, as in `Display`; it can't be read back.
impl Serialize for CameraUrl {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Serialises a [`CameraUrl`] whole, password included, for a private socket between processes:
/// `#[serde(with = "media::source::with_password")]`.
pub mod with_password {
    use std::path::PathBuf;

    use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

    use super::{CameraUrl, Credentials, SourceKind};

    /// In parts, as they are: a URL put together again would have to be escaped exactly as it was.
    #[derive(Serialize, Deserialize)]
    enum Whole {
        Rtsp { url: String, credentials: Option<(String, String)> },
        File(PathBuf),
    }

    /// Writes the URL with its password.
    ///
    /// # Errors
    ///
    /// When the serializer fails.
    pub fn serialize<S: Serializer>(url: &CameraUrl, serializer: S) -> Result<S::Ok, S::Error> {
        let whole = match &url.kind {
            SourceKind::Rtsp(plain) => Whole::Rtsp {
                url: plain.to_string(),
                credentials: url.credentials().map(|Credentials { user, password }| (user, password)),
            },
            SourceKind::File(path) => Whole::File(path.clone()),
        };
        whole.serialize(serializer)
    }

    /// Reads what [`serialize`] wrote.
    ///
    /// # Errors
    ///
    /// When it is something else; the message doesn't hold it.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<CameraUrl, D::Error> {
        Ok(match Whole::deserialize(deserializer)? {
            Whole::Rtsp { url, credentials } => CameraUrl {
                kind: SourceKind::Rtsp(url.parse().map_err(D::Error::custom)?),
                credentials: credentials.map(|(user, password)| Credentials { user, password }),
            },
            Whole::File(path) => CameraUrl { kind: SourceKind::File(path), credentials: None },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> CameraUrl {
        text.parse().expect("a source")
    }

    #[derive(serde::Serialize, serde::Deserialize)]
    struct Command {
        #[serde(with = "with_password")]
        url: CameraUrl,
    }

    #[test]
    fn the_password_is_never_shown() {
        for text in ["rtsp://admin:s3cret@cam/live", "rtsp://:s3cret@cam", "rtsp://a:s3cret%40@cam:8554/x?y=z"] {
            let url = parse(text);
            let shown = format!("{url} {url:?} {:?} {:?}", url.credentials(), url.kind());
            let json = serde_json::to_string(&url).expect("json");
            assert!(!shown.contains("s3cret") && !json.contains("s3cret"), "{shown} {json}");
        }
        for text in ["rtsp://a:s3cret@", "rtsp://a:s3cret@host:99999/", "http://a:s3cret@host/"] {
            let error = text.parse::<CameraUrl>().expect_err(text);
            assert!(!format!("{error} {error:?}").contains("s3cret"), "{error:?}");
        }
    }

    #[test]
    fn a_password_in_the_wrong_place_is_not_shown_either() {
        for text in [
            "admin:s3cret@10.0.0.2/s1",
            "rtsp:/admin:s3cret@host/x",
            "rtsp://admin:12/s3cret@host/x",
            "rtsp://host/x#s3cret",
            "rtsp://host/?a=s3cret@b",
        ] {
            let error = text.parse::<CameraUrl>().expect_err(text);
            assert!(!format!("{error} {error:?}").contains("s3cret"), "{error:?}");
        }
        for text in ["rtsp://h/user=admin&password=s3cret&channel=1", "rtsp://h/live?pwd=s3cret"] {
            let url = parse(text);
            let shown = format!("{url} {url:?} {}", url.place());
            assert!(!shown.contains("s3cret"), "{shown}");
            let SourceKind::Rtsp(whole) = url.kind() else { panic!("{url}") };
            assert!(whole.as_str().contains("s3cret"), "the camera needs it");
        }
    }

    #[test]
    fn whole_survives_the_way_to_another_process() {
        for text in
            ["rtsp://ad%3Amin:p%40ss%2Fw%23r%25cd@cam:8554/live", "//data/x.mp4", "clips/a b.mp4", "rtsp://[::1]:554/x"]
        {
            let url = parse(text);
            let json = serde_json::to_string(&Command { url: url.clone() }).expect("json");
            let back: Command = serde_json::from_str(&json).expect("back");
            assert_eq!(back.url, url, "{json}");
            assert_eq!(back.url.credentials(), url.credentials());
        }
        assert_eq!(parse("rtsp://u:p%40ss%23@h/").credentials().map(|c| c.password), Some("p@ss#".into()));
    }

    #[test]
    fn files_are_paths() {
        for text in ["/a/b.mp4", "file:/a/b.mp4", "file:///a/b.mp4"] {
            assert_eq!(*parse(text).kind(), SourceKind::File("/a/b.mp4".into()), "{text}");
        }
        assert_eq!(*parse("C:clip.mp4").kind(), SourceKind::File("C:clip.mp4".into()));
        assert!(matches!("rtsps://h/x".parse::<CameraUrl>(), Err(CameraUrlError::Scheme { .. })));
    }
}
