//! Wheels made by hand, and the digests that corpus files write.

use std::fs;
use std::io::{Cursor, Write};
use std::path::Path;

use sha2::{Digest, Sha256};
use zip::ZipWriter;
use zip::write::SimpleFileOptions;

/// SHA-256 in hexadecimal.
pub(crate) fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// A zip archive with these members.
pub(crate) fn zip(members: &[(&str, &[u8])]) -> Vec<u8> {
    let mut archive = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, content) in members {
        archive
            .start_file(*name, SimpleFileOptions::default())
            .unwrap();
        archive.write_all(content).unwrap();
    }
    archive.finish().unwrap().into_inner()
}

/// Writes a wheel of `name`, version 1.0, into a folder where pip finds it. Returns its SHA-256.
pub(crate) fn wheel(folder: &Path, name: &str, members: &[(&str, &[u8])]) -> String {
    let info = format!("{name}-1.0.dist-info");
    let metadata = format!("Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n");
    let tags = "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n";
    let (metadata_path, wheel_path, record_path) = (
        format!("{info}/METADATA"),
        format!("{info}/WHEEL"),
        format!("{info}/RECORD"),
    );
    let mut all = members.to_vec();
    all.push((&metadata_path, metadata.as_bytes()));
    all.push((&wheel_path, tags.as_bytes()));
    all.push((&record_path, b""));
    let bytes = zip(&all);
    fs::write(folder.join(format!("{name}-1.0-py3-none-any.whl")), &bytes).unwrap();
    sha256(&bytes)
}
