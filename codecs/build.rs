//! Lists the families of methods.

#[path = "build/registration.rs"]
mod registration;

use std::error::Error;

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=build");
    registration::write("src/methods/mod.rs", "FAMILY")
}
