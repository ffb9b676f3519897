//! The page itself, built from `web/` and embedded.

/// Path, media type, content.
const ALL: [(&str, &str, &[u8]); 4] = [
    ("/", "text/html; charset=utf-8", include_bytes!("../../../../web/dist/index.html")),
    ("/favicon.svg", "image/svg+xml", include_bytes!("../../../../web/dist/favicon.svg")),
    ("/assets/app.js", "text/javascript; charset=utf-8", include_bytes!("../../../../web/dist/assets/app.js")),
    ("/assets/app.css", "text/css; charset=utf-8", include_bytes!("../../../../web/dist/assets/app.css")),
];

/// What the page may do: ask this server, and play what it got.
pub const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; media-src blob:; \
                          connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// Media type and content of a path.
pub fn find(path: &str) -> Option<(&'static str, &'static [u8])> {
    let path = if path == "/index.html" { "/" } else { path };
    ALL.iter().find(|(known, ..)| *known == path).map(|(_, media_type, content)| (*media_type, *content))
}
