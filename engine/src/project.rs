//! Where a project is, and where its store is.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

/// The name of the store's folder in a project.
pub const STORE_FOLDER: &str = ".llmcl";
/// The environment variable that says where the store is.
pub const STORE_VARIABLE: &str = "LLMCL_STORE";

/// Finds the root of the project that `folder` lies in: the nearest folder upwards that holds a store or a git
/// repository, else `folder` itself.
#[must_use]
pub fn root(folder: &Path) -> PathBuf {
    folder
        .ancestors()
        .find(|folder| {
            // In a git worktree `.git` is a file.
            folder.join(STORE_FOLDER).is_dir() || folder.join(".git").exists()
        })
        .unwrap_or(folder)
        .to_owned()
}

/// Where the store is: what the command line says, else what the environment says, else in the project's root.
///
/// `variable` is the value of [`STORE_VARIABLE`]; an empty one counts as not set.
#[must_use]
pub fn store(root: &Path, option: Option<&Path>, variable: Option<&OsStr>) -> PathBuf {
    let variable = variable.filter(|value| !value.is_empty()).map(Path::new);
    match option.or(variable) {
        Some(path) => path.to_owned(),
        None => root.join(STORE_FOLDER),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn the_nearest_store_or_repository_is_the_root() {
        let folder = tempfile::tempdir().unwrap();
        let inner = folder.path().join("repository/experiments/deep");
        fs::create_dir_all(&inner).unwrap();
        fs::write(folder.path().join("repository/.git"), "gitdir: elsewhere").unwrap();
        assert_eq!(root(&inner), folder.path().join("repository"));
        fs::create_dir(
            folder
                .path()
                .join("repository/experiments")
                .join(STORE_FOLDER),
        )
        .unwrap();
        assert_eq!(root(&inner), folder.path().join("repository/experiments"));
    }

    #[test]
    fn the_option_comes_before_the_variable_before_the_root() {
        let root = Path::new("/root");
        let variable = Some(OsStr::new("/variable"));
        assert_eq!(
            store(root, Some(Path::new("/option")), variable),
            Path::new("/option")
        );
        assert_eq!(store(root, None, variable), Path::new("/variable"));
        assert_eq!(
            store(root, None, Some(OsStr::new(""))),
            Path::new("/root/.llmcl")
        );
        assert_eq!(store(root, None, None), Path::new("/root/.llmcl"));
    }
}
