//! As much of URLs as redirects need.

use ureq::http::Uri;

/// To whom a URL leads: scheme, host and port. A secret meant for one origin is not shown to another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Origin {
    scheme: String,
    host: String,
    port: u16,
}

impl Origin {
    /// Takes it out of a URL.
    pub(super) fn of(url: &str) -> Option<Self> {
        let uri: Uri = url.parse().ok()?;
        let scheme = uri.scheme_str()?.to_ascii_lowercase();
        let port = match (uri.port_u16(), scheme.as_str()) {
            (Some(port), _) => port,
            (None, "https") => 443,
            (None, "http") => 80,
            (None, _) => return None,
        };
        Some(Self {
            host: uri.host()?.to_ascii_lowercase(),
            scheme,
            port,
        })
    }
}

/// Returns the URL that a `Location` means, seen from `base`; nothing if it leads away from HTTP.
pub(super) fn follow(base: &str, location: &str) -> Option<String> {
    let base: Uri = base.parse().ok()?;
    let (scheme, authority) = (base.scheme_str()?, base.authority()?);
    let location = location.split('#').next().unwrap_or_default();
    let url = if location.contains("://") {
        location.to_owned()
    } else if let Some(rest) = location.strip_prefix("//") {
        format!("{scheme}://{rest}")
    } else if location.starts_with('/') {
        format!("{scheme}://{authority}{location}")
    } else if location.starts_with('?') {
        format!("{scheme}://{authority}{}{location}", base.path())
    } else {
        let folder = base
            .path()
            .rsplit_once('/')
            .map_or("", |(folder, _)| folder);
        format!("{scheme}://{authority}{folder}/{location}")
    };
    let uri: Uri = url.parse().ok()?;
    (matches!(uri.scheme_str(), Some("http" | "https")) && uri.host().is_some()).then_some(url)
}

/// The host of a URL, for messages: the rest may hold signatures that nobody else should see.
pub(super) fn host(url: &str) -> String {
    url.parse::<Uri>()
        .ok()
        .and_then(|uri| uri.authority().map(ToString::to_string))
        .unwrap_or_else(|| url.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn locations_are_seen_from_where_they_were_given() {
        let from = |location| follow("https://host.example:8443/a/b?c", location);
        assert_eq!(
            from("http://other.example/x?y").as_deref(),
            Some("http://other.example/x?y")
        );
        assert_eq!(
            from("//other.example/x").as_deref(),
            Some("https://other.example/x")
        );
        assert_eq!(
            from("/x#part").as_deref(),
            Some("https://host.example:8443/x")
        );
        assert_eq!(from("x").as_deref(), Some("https://host.example:8443/a/x"));
        assert_eq!(
            from("?x=1").as_deref(),
            Some("https://host.example:8443/a/b?x=1")
        );
        assert_eq!(from("file:///etc/passwd"), None);
    }

    #[test]
    fn origins_differ_by_scheme_host_and_port() {
        let of = |url| Origin::of(url).expect("an origin");
        assert_eq!(of("https://Hub.example/a"), of("https://hub.example:443/b"));
        for other in [
            "http://hub.example/",
            "https://hub.example:444/",
            "https://hub.example.evil.example/",
        ] {
            assert_ne!(of("https://hub.example/"), of(other), "{other}");
        }
    }
}
