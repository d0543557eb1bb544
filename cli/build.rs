//! Notes how the program is built, for the records of what it runs.

use std::process::Command;

fn main() {
    let compiler = std::env::var("RUSTC")
        .ok()
        .and_then(|rustc| Command::new(rustc).arg("--version").output().ok())
        .map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned())
        .unwrap_or_default();
    println!("cargo::rustc-env=LLMCL_COMPILER={compiler}");
    println!("cargo::rerun-if-changed=build.rs");
}
