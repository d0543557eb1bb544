//! `bf16_split`: sign and exponent of bf16 weights by their frequencies in the unit, mantissas stored. The published
//! study's method.
//!
//! The study rANS-codes a stream of symbols called SE9, carries its tables in the file, and loses 0.16 bits a weight to
//! the precision of the tables. That SE9 is sign and exponent together, that a table is of twelve bits, one a unit, and
//! that it gives each of the 512 symbols a frequency, is *reconstructed*: it is what makes its figures come out, and the
//! loss is kept for their sake. So is the rest of the format. The methods of this project whose names begin with
//! `exponent` do without the loss.
//!
//! # Format
//!
//! A [`SplitUnit`] of chunks of 2^20 weights. Once a unit there is the [`WideFrequencies`] of all its weights. A coded
//! chunk, mode 1, is the mantissas of its weights, packed, and their symbols, see [`split`](crate::split).

use std::collections::BTreeMap;
use std::io::Write;

use crate::accounting::Accounting;
use crate::error::{DecodeError, EncodeError, MethodError};
use crate::method::{Method, MethodFamily, ParameterValue};
use crate::split::{
    CHUNK_WEIGHTS, CODED, Coded, DecoderTable, EncoderTable, SYMBOLS, SplitUnit, WideFrequencies,
    count_symbols, decode_weights, encode, pack_mantissas, split_symbols, wrong_mode,
};
use crate::tensor::{Dtype, TensorView};
use crate::unit::{check_tensors, refuse_profile, refuse_profile_to_decode};

const NAME: &str = "bf16_split";
const UNIT: SplitUnit = SplitUnit {
    version: 1,
    chunk_weights: CHUNK_WEIGHTS,
};

pub(super) static FAMILY: Family = Family;

pub(super) struct Family;

impl MethodFamily for Family {
    fn pattern(&self) -> &'static str {
        NAME
    }

    fn about(&self) -> &'static str {
        "the study's: order-0 rANS over sign and exponent of bf16 by a table of 512 symbols, none of frequency zero; mantissas stored"
    }

    fn leaf(&self) -> &'static str {
        "codecs/src/methods/bf16_split.rs"
    }

    fn resolve(
        &self,
        name: &str,
        _parameters: &BTreeMap<String, ParameterValue>,
    ) -> Option<Result<Box<dyn Method>, MethodError>> {
        (name == NAME).then(|| Ok(Box::new(Bf16Split) as Box<dyn Method>))
    }

    fn examples(&self) -> Vec<String> {
        vec![NAME.to_owned()]
    }
}

struct Bf16Split;

impl Method for Bf16Split {
    fn name(&self) -> String {
        NAME.to_owned()
    }

    fn encode(
        &self,
        tensors: &[TensorView<'_>],
        profile: Option<&[u8]>,
        out: &mut dyn Write,
    ) -> Result<Accounting, EncodeError> {
        refuse_profile(self, profile)?;
        let bytes = check_tensors(self, tensors)?;
        let mut counts = [0; SYMBOLS];
        for tensor in tensors {
            count_symbols(tensor.data.as_chunks().0, &mut counts);
        }
        let frequencies = WideFrequencies::fit(&counts);
        let mut written = Vec::new();
        if bytes > 0 {
            frequencies.write(&mut written);
        }
        let table = [EncoderTable::new(&frequencies)];
        let (mut symbols, mut given) = (Vec::new(), Vec::new());
        UNIT.encode(tensors, bytes, &written, out, |words, out| {
            pack_mantissas(words, out);
            split_symbols(words, &mut symbols);
            Ok(Coded {
                mode: CODED,
                tables: 0,
                container: encode(&symbols, None, &table, &mut given, out),
            })
        })
    }

    fn decode(
        &self,
        encoded: &[u8],
        profile: Option<&[u8]>,
        out: &mut dyn Write,
    ) -> Result<(), DecodeError> {
        refuse_profile_to_decode(self, profile)?;
        let mut symbols = Vec::new();
        UNIT.decode(
            encoded,
            out,
            |reader| Ok([DecoderTable::new(&WideFrequencies::read(reader)?)]),
            |table, mode, reader, words| {
                if mode != CODED {
                    return Err(wrong_mode(mode, "0 or 1", reader));
                }
                decode_weights(reader, None, table, &mut symbols, words)
            },
        )
    }

    fn takes(&self, dtype: Dtype) -> bool {
        dtype == Dtype::Bf16
    }

    fn encode_memory(&self, _bytes: u64) -> u64 {
        16 * CHUNK_WEIGHTS as u64
    }

    fn decode_memory(&self, _bytes: u64) -> u64 {
        8 * CHUNK_WEIGHTS as u64
    }
}
