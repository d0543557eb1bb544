//! The llmcl binary.
fn main() {}
