//! Who may ask: see `docs/api.md`.

use std::net::{IpAddr, SocketAddr};

use axum::http::{HeaderMap, StatusCode, header};

/// The rules of this server.
#[derive(Clone, Debug)]
pub struct Access {
    loopback: bool,
    /// The name of the cookie that carries the token. Cookies know no ports, so the name does: two programs on one host
    /// mustn't overwrite each other's.
    cookie: String,
    token: Option<String>,
}

/// Why a request is refused.
pub type Refusal = (StatusCode, &'static str);

impl Access {
    pub fn new(address: SocketAddr, token: Option<String>) -> Self {
        Self { loopback: address.ip().is_loopback(), cookie: format!("framewire_token_{}", address.port()), token }
    }

    /// Judges a request. `shown` is the token in its query, if any.
    pub fn check(&self, headers: &HeaderMap, shown: Option<&str>) -> Result<(), Refusal> {
        let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
        let host = text(header::HOST).unwrap_or_default();
        if self.loopback && !is_local_name(host) {
            return Err((
                StatusCode::FORBIDDEN,
                "open the page by its number or as localhost: by another name it could be another site's trick",
            ));
        }
        // A browser says where a request comes from; a program needn't.
        if let Some(origin) = text(header::ORIGIN)
            && !["http://", "https://"].iter().any(|scheme| origin.strip_prefix(scheme) == Some(host))
        {
            return Err((StatusCode::FORBIDDEN, "watch from this server's own page: another site may not"));
        }
        match &self.token {
            Some(token) if !self.shown_tokens(headers, shown).any(|shown| same(shown, token)) => {
                Err((StatusCode::UNAUTHORIZED, "show the token: open the address that the terminal printed, ?token=…"))
            }
            _ => Ok(()),
        }
    }

    fn shown_tokens<'a>(&'a self, headers: &'a HeaderMap, query: Option<&'a str>) -> impl Iterator<Item = &'a str> {
        let text = |name| headers.get(name).and_then(|value: &'a axum::http::HeaderValue| value.to_str().ok());
        let bearer = text(header::AUTHORIZATION).and_then(|value| value.strip_prefix("Bearer "));
        let cookies = text(header::COOKIE).into_iter().flat_map(|cookies| cookies.split(';'));
        let cookie = cookies.filter_map(|cookie| cookie.trim().split_once('='));
        let cookie = cookie.filter(|(name, _)| *name == self.cookie).map(|(_, value)| value);
        query.into_iter().chain(bearer).chain(cookie)
    }

    /// The cookie to set for a request that showed the token in its query.
    pub fn cookie(&self, shown: Option<&str>) -> Option<String> {
        let token = self.token.as_ref().filter(|token| shown.is_some_and(|shown| same(shown, token)))?;
        // The command line takes only tokens that can stand in a cookie.
        Some(format!("{}={token}; Path=/; HttpOnly; SameSite=Strict", self.cookie))
    }
}

fn is_local_name(host: &str) -> bool {
    let name = host.rsplit_once(':').filter(|(_, port)| port.parse::<u16>().is_ok()).map_or(host, |(name, _)| name);
    let name = name.trim_start_matches('[').trim_end_matches(']');
    name.eq_ignore_ascii_case("localhost") || name.parse::<IpAddr>().is_ok()
}

/// Compares without telling by its time how much was right.
fn same(shown: &str, token: &str) -> bool {
    let differences = shown.bytes().zip(token.bytes()).fold(0, |all, (a, b)| all | (a ^ b));
    shown.len() == token.len() && differences == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(header::HeaderName, &'static str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.clone(), value.parse().unwrap())).collect()
    }

    #[test]
    fn on_loopback_another_name_or_another_site_is_refused() {
        let access = Access::new(([127, 0, 0, 1], 80).into(), None);
        let check = |pairs: &[_]| access.check(&headers(pairs), None).map_err(|(status, _)| status.as_u16());
        assert_eq!(check(&[(header::HOST, "127.0.0.1:8080")]), Ok(()));
        assert_eq!(check(&[(header::HOST, "localhost:8080"), (header::ORIGIN, "http://localhost:8080")]), Ok(()));
        assert_eq!(check(&[(header::HOST, "[::1]:8080")]), Ok(()));
        assert_eq!(check(&[(header::HOST, "evil.example:8080")]), Err(403));
        assert_eq!(check(&[(header::HOST, "127.0.0.1:8080"), (header::ORIGIN, "http://evil.example")]), Err(403));
        assert_eq!(check(&[(header::HOST, "127.0.0.1:8080"), (header::ORIGIN, "http://127.0.0.1:9")]), Err(403));
        assert_eq!(check(&[]), Err(403));
    }

    #[test]
    fn elsewhere_the_token_is_asked_for_and_found_wherever_it_is_shown() {
        let access = Access::new(([0, 0, 0, 0], 80).into(), Some("secret".to_owned()));
        let host = (header::HOST, "camera.example");
        let check = |pair, query| {
            let pairs: Vec<_> = [Some(host.clone()), pair].into_iter().flatten().collect();
            access.check(&headers(&pairs), query).is_ok()
        };
        assert!(!check(None, None) && !check(None, Some("secre")) && !check(None, Some("Secret")));
        assert!(check(None, Some("secret")));
        assert!(check(Some((header::AUTHORIZATION, "Bearer secret")), None));
        assert!(check(Some((header::COOKIE, "a=b; framewire_token_80=secret")), None));
        assert!(!check(Some((header::COOKIE, "framewire_token_80=other")), None));
        assert!(!check(Some((header::COOKIE, "framewire_token_81=secret")), None), "another program's");
        assert_eq!(access.cookie(Some("wrong")), None);
        assert!(access.cookie(Some("secret")).unwrap().contains("HttpOnly"));
    }
}
