//! Takes the digests of the sources, so that a program knows what code it runs, and lists the stage kinds.

#[path = "build/digests.rs"]
mod digests;
#[path = "../codecs/build/registration.rs"]
mod registration;

use std::env;
use std::error::Error;
use std::fmt::Write as _;
use std::fs;
use std::io::{self, Write as _};
use std::path::PathBuf;

fn main() -> Result<(), Box<dyn Error>> {
    let package = PathBuf::from(env::var("CARGO_MANIFEST_DIR")?);
    let workspace = package.parent().ok_or("the package lies in no workspace")?;
    // The features of the codecs are features here too. `default` only stands for others.
    let features: Vec<String> = env::vars()
        .filter_map(|(name, _)| name.strip_prefix("CARGO_FEATURE_").map(str::to_owned))
        .filter(|name| name != "DEFAULT")
        .collect();
    let digests = digests::take(workspace, &features)?;

    // Cargo looks at everything below a folder, and at the folder itself, which changes when a file goes.
    let mut stdout = io::stdout().lock();
    for path in digests::watched() {
        writeln!(
            stdout,
            "cargo::rerun-if-changed={}",
            workspace.join(path).display()
        )?;
    }

    let mut code = format!(
        "/// The digest of all that is shared.\nconst SHARED: &str = {:?};\n\n\
         /// The digest of each leaf.\nconst LEAVES: &[(&str, &str)] = &[\n",
        digests.shared.to_hex().as_str()
    );
    for (leaf, digest) in &digests.leaves {
        writeln!(code, "    ({leaf:?}, {:?}),", digest.to_hex().as_str())?;
    }
    code.push_str("];\n");
    fs::write(
        PathBuf::from(env::var("OUT_DIR")?).join("fingerprints.rs"),
        code,
    )?;
    registration::write("src/kinds/mod.rs", "KIND")
}
