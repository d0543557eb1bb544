//! Lists what the modules of a folder register, so that a new one is a file and its `mod` line.

use std::env;
use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};

/// Writes `registration.rs`, for `include!`: an array of `item` of every module that `module`, a source file of the
/// package, declares.
pub(crate) fn write(module: &str, item: &str) -> Result<(), Box<dyn Error>> {
    let package = PathBuf::from(env::var("CARGO_MANIFEST_DIR")?);
    let source = fs::read_to_string(package.join(module))?;
    let list = Path::new(&env::var("OUT_DIR")?).join("registration.rs");
    fs::write(list, array(&source, item))?;
    println!("cargo::rerun-if-changed={}", package.join(module).display());
    Ok(())
}

/// The array. An attribute of a `mod` line, such as the feature that it needs, is one of its element.
fn array(source: &str, item: &str) -> String {
    let mut array = "&[\n".to_owned();
    let mut attributes = String::new();
    for line in source.lines().map(str::trim) {
        let declared = line
            .strip_prefix("pub ")
            .unwrap_or(line)
            .strip_prefix("mod ")
            .and_then(|line| line.strip_suffix(';'));
        if line.starts_with("#[") {
            attributes.push_str(line);
            continue;
        }
        if let Some(module) = declared {
            array.push_str(&format!("    {attributes}&{module}::{item},\n"));
        }
        attributes.clear();
    }
    array.push_str("]\n");
    array
}
