//! Lossless codecs for language-model weights, and the file formats that hold them.
//!
//! The library knows nothing of experiments, paths or caches. Its inputs are byte slices (a caller will usually map
//! files into memory), and everything streams: no allocation grows with a tensor or a file.
//!
//! * [`formats`] finds the tensors of a file: name, [`Dtype`], shape and place.
//! * [`role`] says what a tensor does in a transformer.
//! * [`blocks`] takes the blocks of GGUF's quantised types apart.
//! * [`cast`] rounds floats to narrower ones.
//! * [`entropy`] measures what can be gained.
//! * [`chunked`] codes a tensor in chunks, each decodable by itself, for containers.
//! * [`method`] is what a lossless method is, and finds one by name; [`methods`] holds them.
//!
//! Encoded bytes and every figure are the same at any thread count and in debug and release builds: decoders use
//! integers only, transcendental functions come from the `libm` crate, and sums have a fixed order.

pub mod accounting;
mod bits;
mod block_coding;
pub mod blocks;
mod by_type;
pub mod bytes;
pub mod cast;
pub mod chunked;
mod chunked_unit;
mod decomposition;
pub mod entropy;
pub mod error;
pub mod float;
mod floats;
pub mod formats;
pub mod method;
pub mod methods;
mod mixing;
mod mixture;
mod numbered;
#[cfg(feature = "openzl")]
mod openzl;
mod pairs;
mod pool;
pub mod rans;
pub mod role;
mod simd;
mod split;
pub mod tensor;
pub mod unit;
pub mod xz_stream;
pub mod zstd_frame;
mod zstd_unit;

pub use accounting::{Accounting, StreamBytes};
pub use error::{DecodeError, EncodeError, MethodError};
pub use method::{Method, MethodFamily, MethodParameter, ParameterKind, ParameterValue, resolve};
pub use pairs::pairs;
pub use tensor::{Block, Dtype, TensorView};
