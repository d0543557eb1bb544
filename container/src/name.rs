//! Names of files: relative paths that lead nowhere else.

use std::collections::HashSet;

/// Longest name, in bytes.
const MOST_BYTES: usize = 4096;

/// What is wrong with a name; `None` if it can stand in a container, and be made a path below any folder.
fn problem(name: &str) -> Option<&'static str> {
    if name.is_empty() {
        return Some("is empty");
    }
    if name.len() > MOST_BYTES {
        return Some("is longer than 4096 bytes");
    }
    if name.contains(['\\', '\0', ':']) {
        return Some("has a backslash, a colon or a zero byte in it");
    }
    for part in name.split('/') {
        match part {
            "" => return Some("begins or ends with a slash, or has two in a row"),
            "." | ".." => return Some("has a part that is . or .."),
            _ => {}
        }
    }
    None
}

/// Names of the files of a container, each with a place of its own.
#[derive(Debug, Default)]
pub(crate) struct Names {
    files: HashSet<String>,
    /// What files are in, folders of folders among them.
    folders: HashSet<String>,
}

impl Names {
    /// Adds a name. What is wrong with it, by itself or beside the others; `None` if it can stand in a container.
    pub(crate) fn add(&mut self, name: &str) -> Option<&'static str> {
        if let Some(problem) = problem(name) {
            return Some(problem);
        }
        for (at, _) in name.match_indices('/') {
            let folder = &name[..at];
            if self.files.contains(folder) {
                return Some("is that of a file in a folder whose name another file has");
            }
            self.folders.insert(folder.to_owned());
        }
        if self.folders.contains(name) {
            return Some("is that of a folder with another file in it");
        }
        match self.files.insert(name.to_owned()) {
            true => None,
            false => Some("is there twice"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stay_below_their_folder() {
        for name in ["a", "a/b", "model-00001-of-00002.safetensors", "é/…", "..a"] {
            assert_eq!(problem(name), None, "{name}");
        }
        let long = "a".repeat(5000);
        for name in [
            "", "/a", "a/", "a//b", "..", "a/../b", "./a", "C:a", "a\\b", "a\0", &long,
        ] {
            assert!(problem(name).is_some(), "{name}");
        }
    }
}
