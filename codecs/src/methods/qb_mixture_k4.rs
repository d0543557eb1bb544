//! `qb_mixture_k4`: the nibbles of `Q4_K` super-blocks by the best of four tables of a profile, their headers by
//! frequencies. The published study's method for these tensors; what of it is *reconstructed*, [`mixture`] says.
//!
//! # Format
//!
//! | field | bytes |
//! | --- | --- |
//! | version, 1 | 1 |
//! | number of super-blocks of all tensors together | variable-length integer |
//! | per run of super-blocks: its headers | |
//! | … its nibbles | |
//!
//! The super-blocks of all tensors follow each other. Runs are those of [`mixture`].

use std::collections::BTreeMap;
use std::io::Write;

use crate::accounting::Accounting;
use crate::bytes::{ByteReader, CountingWriter, put_decoded, write_varint};
use crate::error::{DecodeError, EncodeError, MethodError};
use crate::method::{Method, MethodFamily, ParameterValue};
use crate::mixture::{
    self, BLOCK_BYTES, HEADER_BYTES, HeaderEncoder, Mixture, NIBBLE_BYTES, NibbleDecoder,
    NibbleEncoder, RUN, decode_headers,
};
use crate::tensor::{Dtype, TensorView};
use crate::unit::check_tensors;

const NAME: &str = "qb_mixture_k4";
const VERSION: u8 = 1;

pub(super) static FAMILY: Family = Family;

pub(super) struct Family;

impl MethodFamily for Family {
    fn pattern(&self) -> &'static str {
        NAME
    }

    fn about(&self) -> &'static str {
        "the study's: Q4_K, the nibbles of each super-block by the best of four tables of a profile, headers by frequencies"
    }

    fn leaf(&self) -> &'static str {
        "codecs/src/methods/qb_mixture_k4.rs"
    }

    fn needs_profile(&self) -> bool {
        true
    }

    fn resolve(
        &self,
        name: &str,
        _parameters: &BTreeMap<String, ParameterValue>,
    ) -> Option<Result<Box<dyn Method>, MethodError>> {
        (name == NAME).then(|| Ok(Box::new(QbMixture) as Box<dyn Method>))
    }

    fn train(
        &self,
        name: &str,
        tensors: &[TensorView<'_>],
    ) -> Option<Result<Vec<u8>, EncodeError>> {
        (name == NAME).then(|| Ok(mixture::train(tensors)))
    }

    fn examples(&self) -> Vec<String> {
        vec![NAME.to_owned()]
    }
}

struct QbMixture;

impl Method for QbMixture {
    fn name(&self) -> String {
        NAME.to_owned()
    }

    fn encode(
        &self,
        tensors: &[TensorView<'_>],
        profile: Option<&[u8]>,
        out: &mut dyn Write,
    ) -> Result<Accounting, EncodeError> {
        let mixture = Mixture::of_profile(profile).map_err(|problem| EncodeError::Profile {
            method: self.name(),
            problem,
        })?;
        let bytes = check_tensors(self, tensors)?;
        let mut out = CountingWriter::new(out);
        let mut encoded = vec![VERSION];
        write_varint(&mut encoded, bytes / BLOCK_BYTES as u64);
        let mut accounting = Accounting {
            container: encoded.len() as u64,
            ..Accounting::default()
        };
        let (mut headers, mut nibbles) = (Vec::new(), Vec::new());
        let mut header_encoder = HeaderEncoder::default();
        let mut nibble_encoder = NibbleEncoder::new(&mixture);
        let mut blocks = tensors
            .iter()
            .flat_map(|tensor| tensor.data.as_chunks::<BLOCK_BYTES>().0)
            .peekable();
        while blocks.peek().is_some() {
            headers.clear();
            nibbles.clear();
            for block in blocks.by_ref().take(RUN) {
                if let Some((header, rest)) = block.split_first_chunk::<HEADER_BYTES>() {
                    headers.push(*header);
                    nibbles.extend_from_slice(rest.as_chunks::<NIBBLE_BYTES>().0);
                }
            }
            accounting += header_encoder.encode(&headers, &mut encoded);
            accounting += nibble_encoder.encode(&nibbles, &mut encoded);
            out.put(&encoded)?;
            encoded.clear();
        }
        // The head of a unit without super-blocks.
        out.put(&encoded)?;
        Ok(accounting)
    }

    fn decode(
        &self,
        encoded: &[u8],
        profile: Option<&[u8]>,
        out: &mut dyn Write,
    ) -> Result<(), DecodeError> {
        let mixture = Mixture::of_profile(profile).map_err(|problem| DecodeError::Profile {
            method: self.name(),
            problem,
        })?;
        let decoder = NibbleDecoder::new(&mixture);
        let mut reader = ByteReader::new(encoded);
        let version = reader.byte("version")?;
        if version != VERSION {
            return Err(DecodeError::Field {
                what: "version",
                at: 0,
                expected: "1",
                found: version.into(),
            });
        }
        let mut left = reader.varint("number of super-blocks")?;
        let (mut headers, mut nibbles, mut woven) = (Vec::new(), Vec::new(), Vec::new());
        while left > 0 {
            let count = left.min(RUN as u64) as usize;
            headers.resize(count, [0; HEADER_BYTES]);
            nibbles.resize(count, [0; NIBBLE_BYTES]);
            decode_headers(&mut reader, &mut headers)?;
            decoder.decode(&mut reader, &mut nibbles)?;
            for (headers, nibbles) in headers.chunks(WOVEN).zip(nibbles.chunks(WOVEN)) {
                woven.clear();
                for (header, nibbles) in headers.iter().zip(nibbles) {
                    woven.extend_from_slice(header);
                    woven.extend_from_slice(nibbles);
                }
                put_decoded(out, &woven)?;
            }
            left -= count as u64;
        }
        reader.finish()
    }

    fn takes(&self, dtype: Dtype) -> bool {
        dtype == Dtype::Q4K
    }

    fn encode_memory(&self, bytes: u64) -> u64 {
        mixture::encode_memory(bytes)
    }

    fn decode_memory(&self, bytes: u64) -> u64 {
        mixture::decode_memory(bytes)
    }
}

/// Super-blocks that are put together at a time.
const WOVEN: usize = 256;
