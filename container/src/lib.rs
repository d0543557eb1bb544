//! Compressed models: one or several files, whose tensors are coded in chunks that can be decoded by themselves.
//!
//! [`compress`] writes a container, [`Container`] reads it. Files come back byte by byte, headers and all. What the
//! bytes mean is in `docs/format.md`, which is the law; this crate follows it.
//!
//! The library knows nothing of paths: files are byte slices (a caller will usually map them into memory), and what
//! comes out is written piece by piece. Work is done by the threads of the [rayon] pool that it is called in, and the
//! bytes are the same with any number of them.

mod error;
mod index;
mod kept;
mod name;
mod read;
mod write;

pub use error::{ContainerError, WriteError};
pub use index::{FileEntry, Form, MethodEntry, Segment, TensorInfo};
pub use read::Container;
pub use write::{OTHER_BYTES, Source, Summary, compress};
