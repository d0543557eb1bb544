//! `xz_N`: one xz stream over all bytes, in order, at preset N and in one thread.
//!
//! The stream has no check of its content: a check is nothing that decoding needs, and the few bytes would count. The
//! container's own checks of its headers and index remain, as the format has no way without them. Bytes depend on the
//! version of liblzma, which the workspace pins and which is built from source.

use std::collections::BTreeMap;
use std::io::Write;

use liblzma::stream::{Action, Check, Error, Status, Stream};

use crate::accounting::Accounting;
use crate::bytes::{CHUNK_BYTES, CountingWriter, put_decoded};
use crate::error::{DecodeError, EncodeError, MethodError};
use crate::method::{Method, MethodFamily, ParameterValue, numbered_name};
use crate::tensor::{Dtype, TensorView};
use crate::unit::{check_tensors, refuse_profile, refuse_profile_to_decode};

const PREFIX: &str = "xz_";
const PATTERN: &str = "xz_N";
const MOST_PRESET: u32 = 9;
const LIBRARY: &str = "liblzma";
const WHAT: &str = "xz stream";

/// Memory that a decoder may take: preset 9 has a dictionary of 64 MiB, and needs a little more.
const DECODE_MEMORY_LIMIT: u64 = 66 << 20;

/// Memory in MiB that encoding takes at each preset, as the manual of xz has it.
const ENCODE_MEMORY_MIB: [u64; 10] = [3, 9, 17, 32, 48, 94, 94, 186, 370, 674];

pub(super) struct Family;

impl MethodFamily for Family {
    fn pattern(&self) -> &'static str {
        PATTERN
    }

    fn about(&self) -> &'static str {
        "xz at preset N, 0 to 9, over all bytes as one stream"
    }

    fn leaf(&self) -> &'static str {
        "codecs/src/methods/xz.rs"
    }

    fn resolve(
        &self,
        name: &str,
        _parameters: &BTreeMap<String, ParameterValue>,
    ) -> Option<Result<Box<dyn Method>, MethodError>> {
        let preset = numbered_name(name, PREFIX, PATTERN, 0, MOST_PRESET)?;
        Some(preset.map(|preset| Box::new(Xz { preset }) as Box<dyn Method>))
    }

    fn examples(&self) -> Vec<String> {
        (0..=MOST_PRESET)
            .map(|preset| format!("{PREFIX}{preset}"))
            .collect()
    }
}

struct Xz {
    preset: u32,
}

impl Method for Xz {
    fn name(&self) -> String {
        format!("{PREFIX}{}", self.preset)
    }

    fn encode(
        &self,
        tensors: &[TensorView<'_>],
        profile: Option<&[u8]>,
        out: &mut dyn Write,
    ) -> Result<Accounting, EncodeError> {
        refuse_profile(self, profile)?;
        check_tensors(self, tensors)?;
        let mut out = CountingWriter::new(out);
        let mut stream =
            Stream::new_easy_encoder(self.preset, Check::None).map_err(encode_error)?;
        let mut buffer = vec![0; CHUNK_BYTES];
        for tensor in tensors {
            let mut left = tensor.data;
            while !left.is_empty() {
                let step =
                    Step::run(&mut stream, left, &mut buffer, Action::Run).map_err(encode_error)?;
                left = left.get(step.read..).unwrap_or(&[]);
                out.put(buffer.get(..step.written).unwrap_or(&[]))?;
            }
        }
        loop {
            let step =
                Step::run(&mut stream, &[], &mut buffer, Action::Finish).map_err(encode_error)?;
            out.put(buffer.get(..step.written).unwrap_or(&[]))?;
            if step.ended {
                return Ok(Accounting {
                    payload: out.written(),
                    ..Accounting::default()
                });
            }
        }
    }

    fn decode(
        &self,
        encoded: &[u8],
        profile: Option<&[u8]>,
        out: &mut dyn Write,
    ) -> Result<(), DecodeError> {
        refuse_profile_to_decode(self, profile)?;
        let mut stream =
            Stream::new_stream_decoder(DECODE_MEMORY_LIMIT, 0).map_err(|e| decode_error(e, 0))?;
        let mut buffer = vec![0; CHUNK_BYTES];
        loop {
            let at = stream.total_in();
            let left = usize::try_from(at)
                .ok()
                .and_then(|at| encoded.get(at..))
                .unwrap_or(&[]);
            let step = Step::run(&mut stream, left, &mut buffer, Action::Run)
                .map_err(|error| decode_error(error, at))?;
            put_decoded(out, buffer.get(..step.written).unwrap_or(&[]))?;
            let left = (left.len() - step.read) as u64;
            if step.ended {
                return match left {
                    0 => Ok(()),
                    found => Err(DecodeError::Trailing {
                        at: stream.total_in(),
                        found,
                    }),
                };
            }
            if step.read == 0 && step.written == 0 {
                return Err(DecodeError::Truncated {
                    what: WHAT,
                    at: 0,
                    expected: encoded.len() as u64 + 1,
                    found: encoded.len() as u64,
                });
            }
        }
    }

    fn takes(&self, _dtype: Dtype) -> bool {
        true
    }

    fn encode_memory(&self, _bytes: u64) -> u64 {
        let preset = self.preset as usize;
        let mib = ENCODE_MEMORY_MIB.get(preset).copied().unwrap_or(0);
        (mib + 1) << 20
    }

    fn decode_memory(&self, _bytes: u64) -> u64 {
        DECODE_MEMORY_LIMIT
    }
}

/// What one call of the library did.
struct Step {
    read: usize,
    written: usize,
    ended: bool,
}

impl Step {
    fn run(
        stream: &mut Stream,
        input: &[u8],
        output: &mut [u8],
        action: Action,
    ) -> Result<Step, Error> {
        let before = (stream.total_in(), stream.total_out());
        let status = stream.process(input, output, action)?;
        Ok(Step {
            read: (stream.total_in() - before.0) as usize,
            written: (stream.total_out() - before.1) as usize,
            ended: matches!(status, Status::StreamEnd),
        })
    }
}

fn encode_error(error: Error) -> EncodeError {
    EncodeError::Backend {
        library: LIBRARY,
        message: error.to_string(),
    }
}

fn decode_error(error: Error, at: u64) -> DecodeError {
    match error {
        Error::MemLimit => DecodeError::Memory {
            what: WHAT,
            at,
            limit: DECODE_MEMORY_LIMIT,
        },
        error => DecodeError::Backend {
            library: LIBRARY,
            at,
            message: error.to_string(),
        },
    }
}
