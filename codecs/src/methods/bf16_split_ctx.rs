//! `bf16_split_ctx`: sign and exponent of bf16 weights by their frequencies after the weight before, mantissas stored.
//! The published study's method with contexts.
//!
//! The study has 4, 8 and 16 contexts, finds that 8 are best and no better than none, and pays about 3 KB a chunk for
//! tables. What a context is it does not say. That it is the exponent of the preceding weight is *reconstructed*, and so
//! are chunks of 2^20 weights with tables of their own, the classes, and all of the format. Tables are written shorter
//! than the study's, about 50 bytes each; what they cost to code by is the same as in `bf16_split`.
//!
//! # Format
//!
//! A [`SplitUnit`] of chunks of 2^20 weights. A coded chunk, mode 1, is
//!
//! | field | bytes |
//! | --- | --- |
//! | number of classes, up to 16 | 1 |
//! | the first exponent of each class but the first, rising, none of them 0 | 1 each |
//! | the [`WideFrequencies`] of each class | |
//! | the mantissas, packed | |
//! | the symbols, see [`split`](crate::split) | |
//!
//! A symbol's class is that of the exponent of the weight before it in its eighth of the chunk. How many classes there
//! may be is the parameter `k`, for the encoder; the decoder goes by what is written.

use std::collections::BTreeMap;
use std::io::Write;

use crate::accounting::Accounting;
use crate::bytes::ByteReader;
use crate::error::{DecodeError, EncodeError, MethodError};
use crate::method::{Method, MethodFamily, MethodParameter, ParameterKind, ParameterValue};
use crate::split::{
    CHUNK_WEIGHTS, CODED, Coded, Contexts, DecoderTable, EncoderTable, SplitUnit, WideFrequencies,
    count_in_contexts, decode_weights, encode, pack_mantissas, split_symbols, wrong_mode,
};
use crate::tensor::{Dtype, TensorView};
use crate::unit::{check_tensors, refuse_profile, refuse_profile_to_decode};

const NAME: &str = "bf16_split_ctx";
const UNIT: SplitUnit = SplitUnit {
    version: 1,
    chunk_weights: CHUNK_WEIGHTS,
};

/// Classes where no parameter says how many.
const DEFAULT_CLASSES: usize = 8;
const MOST_CLASSES: usize = 16;

const K: MethodParameter = MethodParameter {
    name: "k",
    kind: ParameterKind::Integer,
    about: "number of classes of the preceding exponent: 4, 8 or 16; 8 if left out",
};

pub(super) static FAMILY: Family = Family;

pub(super) struct Family;

impl MethodFamily for Family {
    fn pattern(&self) -> &'static str {
        NAME
    }

    fn about(&self) -> &'static str {
        "the study's: as bf16_split, with a table for each of k classes of the preceding exponent, chunk by chunk"
    }

    fn leaf(&self) -> &'static str {
        "codecs/src/methods/bf16_split_ctx.rs"
    }

    fn parameters(&self) -> &'static [MethodParameter] {
        &[K]
    }

    fn resolve(
        &self,
        name: &str,
        parameters: &BTreeMap<String, ParameterValue>,
    ) -> Option<Result<Box<dyn Method>, MethodError>> {
        (name == NAME).then(|| {
            let classes = match parameters.get(K.name) {
                None => DEFAULT_CLASSES,
                Some(ParameterValue::Integer(k @ (4 | 8 | 16))) => *k as usize,
                Some(other) => {
                    return Err(MethodError::ParameterValue {
                        method: NAME.to_owned(),
                        parameter: K.name.to_owned(),
                        expected: "4, 8 or 16",
                        found: match other {
                            ParameterValue::Integer(k) => k.to_string(),
                            other => other.kind().to_string(),
                        },
                    });
                }
            };
            Ok(Box::new(Bf16SplitCtx { classes }) as Box<dyn Method>)
        })
    }

    fn examples(&self) -> Vec<String> {
        vec![NAME.to_owned()]
    }
}

struct Bf16SplitCtx {
    /// The most classes of a chunk.
    classes: usize,
}

/// The first exponents of all classes but the first, for up to `classes` of about equal population.
///
/// A class is closed as soon as it holds its part of what was left before it.
fn bounds(symbols: &[u16], classes: usize) -> Vec<u8> {
    let mut counts = [0usize; 256];
    for symbol in symbols {
        counts[usize::from(symbol & 0xff)] += 1;
    }
    let mut bounds = Vec::new();
    let (mut left, mut held) = (symbols.len(), 0);
    for (next, count) in (1..=u8::MAX).zip(counts) {
        held += count;
        let open = classes.saturating_sub(bounds.len());
        if open > 1 && held > 0 && held * open >= left && held < left {
            bounds.push(next);
            left -= held;
            held = 0;
        }
    }
    bounds
}

/// The class of each exponent.
fn contexts(bounds: &[u8]) -> Contexts {
    let mut contexts = [0; 256];
    for bound in bounds {
        for context in contexts.iter_mut().skip(usize::from(*bound)) {
            *context += 1;
        }
    }
    contexts
}

/// Takes what stands before the mantissas: the class of each exponent, and the table of each class.
fn read_classes(reader: &mut ByteReader<'_>) -> Result<(Contexts, Vec<DecoderTable>), DecodeError> {
    let at = reader.at();
    let refuse = |what, expected, found: u64| DecodeError::Field {
        what,
        at,
        expected,
        found,
    };
    let classes = reader.byte("number of classes")?;
    if !(1..=MOST_CLASSES).contains(&classes.into()) {
        return Err(refuse("number of classes", "1 to 16", classes.into()));
    }
    let bounds = reader.take(u64::from(classes) - 1, "first exponents of classes")?;
    let mut before = 0;
    for &bound in bounds {
        if bound <= before {
            return Err(refuse("first exponent of a class", "rising", bound.into()));
        }
        before = bound;
    }
    let mut tables = Vec::new();
    for _ in 0..classes {
        tables.push(DecoderTable::new(&WideFrequencies::read(reader)?));
    }
    Ok((contexts(bounds), tables))
}

impl Method for Bf16SplitCtx {
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
        let (mut symbols, mut given) = (Vec::new(), Vec::new());
        UNIT.encode(tensors, bytes, &[], out, |words, out| {
            split_symbols(words, &mut symbols);
            let bounds = bounds(&symbols, self.classes);
            let contexts = contexts(&bounds);
            let start = out.len();
            out.push(bounds.len() as u8 + 1);
            out.extend_from_slice(&bounds);
            let mut tables = Vec::new();
            for counts in count_in_contexts(&symbols, &contexts, bounds.len() + 1) {
                let frequencies = WideFrequencies::fit(&counts);
                frequencies.write(out);
                tables.push(EncoderTable::new(&frequencies));
            }
            let written = (out.len() - start) as u64;
            pack_mantissas(words, out);
            Ok(Coded {
                mode: CODED,
                tables: written,
                container: encode(&symbols, Some(&contexts), &tables, &mut given, out),
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
            |_| Ok(()),
            |(), mode, reader, words| {
                if mode != CODED {
                    return Err(wrong_mode(mode, "0 or 1", reader));
                }
                let (contexts, tables) = read_classes(reader)?;
                decode_weights(reader, Some(&contexts), &tables, &mut symbols, words)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_are_about_equally_populated() {
        let symbols: Vec<u16> = (0..8000u16).map(|i| i % 80 + 256 * (i / 80 % 2)).collect();
        for classes in [4usize, 8, 16] {
            let bounds = bounds(&symbols, classes);
            let expected: Vec<u8> = (1..classes)
                .map(|class| (80 * class / classes) as u8)
                .collect();
            assert_eq!(bounds, expected);
        }
    }

    #[test]
    fn no_class_is_empty() {
        assert!(bounds(&[7; 100], 8).is_empty());
        assert!(bounds(&[], 8).is_empty());
        let symbols: Vec<u16> = [0, 255, 255, 255, 9].repeat(30);
        assert_eq!(bounds(&symbols, 8), [1, 10]);
        assert_eq!(contexts(&[1, 10])[..11], [0, 1, 1, 1, 1, 1, 1, 1, 1, 1, 2]);
    }

    #[test]
    fn other_numbers_of_classes_are_refused() {
        for (k, right) in [
            (4, true),
            (8, true),
            (16, true),
            (0, false),
            (5, false),
            (-8, false),
        ] {
            let parameters = BTreeMap::from([("k".to_owned(), ParameterValue::Integer(k))]);
            let found = Family.resolve(NAME, &parameters).unwrap();
            assert_eq!(found.is_ok(), right, "{k}");
            if let Err(error) = found {
                assert!(
                    error
                        .to_string()
                        .ends_with(&format!("4, 8 or 16, found {k}"))
                );
            }
        }
    }

    #[test]
    fn classes_that_do_not_rise_are_refused() {
        for bytes in [&[0][..], &[17], &[3, 5, 5], &[2, 0]] {
            let bytes: Vec<u8> = bytes.iter().chain(&[0; 99]).copied().collect();
            let found = read_classes(&mut ByteReader::new(&bytes));
            assert!(matches!(found, Err(DecodeError::Field { at: 0, .. })));
        }
    }
}
