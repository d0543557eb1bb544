//! The source `hf`: a file of a repository on a hub that speaks the Hugging Face way.

use super::http::Bearer;
use super::model::Place;
use super::surroundings::Surroundings;
use super::url::Origin;

/// The address of the file.
pub(super) fn url(surroundings: &Surroundings, place: &Place) -> String {
    format!(
        "{}/{}/resolve/{}/{}",
        surroundings.hub.trim_end_matches('/'),
        place.repo,
        place.revision,
        escape(&place.file)
    )
}

/// What to show to the hub.
pub(super) fn bearer(surroundings: &Surroundings) -> Option<Bearer> {
    Some(Bearer {
        token: surroundings.token.clone()?,
        origin: Origin::of(&surroundings.hub)?,
    })
}

/// Escapes what may not stand in the path of a URL; `/` stays.
fn escape(path: &str) -> String {
    let mut escaped = String::with_capacity(path.len());
    for byte in path.bytes() {
        if byte.is_ascii_alphanumeric() || b"/-._~".contains(&byte) {
            escaped.push(char::from(byte));
        } else {
            escaped.push_str(&format!("%{byte:02X}"));
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_escaped() {
        assert_eq!(escape("a b/ü-1.q4_k#.bin"), "a%20b/%C3%BC-1.q4_k%23.bin");
    }
}
