//! The files of a folder.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// The most folders within folders; more than that is a circle of links.
const MOST_DEPTH: usize = 32;

/// Every file below a folder: its name in a container and its path, sorted by name. Links are followed, as the caches
/// of model hubs are full of them.
pub(crate) fn below(folder: &Path) -> io::Result<Vec<(String, PathBuf)>> {
    let mut files = Vec::new();
    collect(folder, "", 0, &mut files)?;
    files.sort();
    Ok(files)
}

fn collect(
    folder: &Path,
    prefix: &str,
    depth: usize,
    files: &mut Vec<(String, PathBuf)>,
) -> io::Result<()> {
    let place = |error: io::Error, path: &Path| {
        io::Error::new(error.kind(), format!("{}: {error}", path.display()))
    };
    let refuse = |path: &Path, problem: &str| {
        let text = format!("{}: {problem}", path.display());
        Err(io::Error::new(io::ErrorKind::InvalidInput, text))
    };
    if depth > MOST_DEPTH {
        return refuse(folder, "folders are nested too deeply");
    }
    for entry in fs::read_dir(folder).map_err(|error| place(error, folder))? {
        let path = entry.map_err(|error| place(error, folder))?.path();
        let Some(name) = path.file_name().and_then(|name| name.to_str()) else {
            return refuse(&path, "its name is not UTF-8");
        };
        let name = format!("{prefix}{name}");
        let metadata = fs::metadata(&path).map_err(|error| place(error, &path))?;
        if metadata.is_dir() {
            collect(&path, &format!("{name}/"), depth + 1, files)?;
        } else if metadata.is_file() {
            files.push((name, path));
        } else {
            return refuse(&path, "it is neither a file nor a folder");
        }
    }
    Ok(())
}
