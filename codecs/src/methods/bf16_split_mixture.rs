//! `bf16_split_mixture_k4`: sign and exponent of bf16 weights by one of four tables of a profile, mantissas stored. The
//! published study's method with a trained mixture.
//!
//! The study has four trained tables in a profile of 8,506 bytes, which is four times 513 cumulative frequencies of
//! four bytes and some header. How the tables are learnt and chosen it does not say. That a chunk of 2^16 weights takes
//! the table that codes it shortest, and that tables are learnt as below, is *reconstructed*.
//!
//! # Format
//!
//! A [`SplitUnit`] of chunks of 2^16 weights. A coded chunk is the mantissas of its weights, packed, and their symbols,
//! see [`split`](crate::split); its mode is the number of its table, from 1 to 4.
//!
//! # Profile
//!
//! | field | bytes |
//! | --- | --- |
//! | `SE9 MIX4` | 8 |
//! | version, 1 | 4 |
//! | number of tables, 4 | 4 |
//! | per table: for each symbol the frequencies of those before it together, and 4096 | 513 times 4 |
//!
//! All numbers are little-endian. Every symbol has a frequency of one at least, for the same reason as in `bf16_split`.
//!
//! # Training
//!
//! Chunks are those of each tensor by itself; of more than 2^14 of them every n-th is taken, with the least n that
//! leaves no more. They are put in the order of their mean exponents and into four groups of equal number. Then, sixteen
//! times, each group gets the table of its weights, and each chunk goes to the group whose table codes it shortest, the
//! first of equals. A group without chunks keeps its table, and begins with that of all weights.

use std::collections::BTreeMap;
use std::io::Write;

use crate::accounting::Accounting;
use crate::bytes::ByteReader;
use crate::error::{DecodeError, EncodeError, MethodError, ProfileProblem};
use crate::method::{Method, MethodFamily, ParameterValue};
use crate::split::{
    CHUNK_WEIGHTS, Coded, DecoderTable, EncoderTable, SYMBOLS, SplitUnit, WideFrequencies,
    count_symbols, decode_weights, encode, pack_mantissas, split_symbols, wrong_mode,
};
use crate::tensor::{Dtype, TensorView};
use crate::unit::check_tensors;

const NAME: &str = "bf16_split_mixture_k4";
const UNIT: SplitUnit = SplitUnit {
    version: 1,
    chunk_weights: 1 << 16,
};

/// Tables of a profile.
const TABLES: usize = 4;
const MAGIC: [u8; 8] = *b"SE9 MIX4";
const PROFILE_VERSION: u32 = 1;

/// The most chunks that are learnt from, each of which takes 2 KiB.
const MOST_CHUNKS: usize = 1 << 14;
const ROUNDS: usize = 16;

pub(super) static FAMILY: Family = Family;

pub(super) struct Family;

impl MethodFamily for Family {
    fn pattern(&self) -> &'static str {
        NAME
    }

    fn about(&self) -> &'static str {
        "the study's: as bf16_split, by the best of four tables of a profile for each 65,536 weights"
    }

    fn leaf(&self) -> &'static str {
        "codecs/src/methods/bf16_split_mixture.rs"
    }

    fn needs_profile(&self) -> bool {
        true
    }

    fn resolve(
        &self,
        name: &str,
        _parameters: &BTreeMap<String, ParameterValue>,
    ) -> Option<Result<Box<dyn Method>, MethodError>> {
        (name == NAME).then(|| Ok(Box::new(Bf16SplitMixture) as Box<dyn Method>))
    }

    fn train(
        &self,
        name: &str,
        tensors: &[TensorView<'_>],
    ) -> Option<Result<Vec<u8>, EncodeError>> {
        (name == NAME).then(|| Ok(train(tensors)))
    }

    fn examples(&self) -> Vec<String> {
        vec![NAME.to_owned()]
    }
}

/// How often each symbol occurs in a chunk. Chunks are short enough for `u32`.
type ChunkCounts = Box<[u32; SYMBOLS]>;

/// The profile of tensors. Those of other types do not count.
fn train(tensors: &[TensorView<'_>]) -> Vec<u8> {
    let mut chunks = counted_chunks(tensors);
    // The means as fractions, compared crosswise; equal ones stay in their order.
    let mean = |counts: &ChunkCounts| -> (u64, u64) {
        let exponents = counts.iter().zip((0..256).cycle());
        exponents.fold((0, 0), |(sum, number), (&count, exponent)| {
            let count = u64::from(count);
            (sum + count * exponent, number + count)
        })
    };
    chunks.sort_by_cached_key(|counts| {
        let (sum, number) = mean(counts);
        (sum << 16) / number.max(1)
    });
    let tables_of = |counts: &[u64; SYMBOLS]| WideFrequencies::fit(counts);
    let mut groups: Vec<usize> = (0..chunks.len())
        .map(|place| place * TABLES / chunks.len())
        .collect();
    let everything = chunks.iter().fold([0; SYMBOLS], add);
    let mut tables = vec![tables_of(&everything); TABLES];
    for _ in 0..ROUNDS {
        let mut sums = [[0; SYMBOLS]; TABLES].to_vec();
        for (counts, &group) in chunks.iter().zip(&groups) {
            if let Some(sum) = sums.get_mut(group) {
                *sum = add(*sum, counts);
            }
        }
        for (table, sum) in tables.iter_mut().zip(&sums) {
            if sum.iter().any(|&count| count > 0) {
                *table = tables_of(sum);
            }
        }
        let costs: Vec<_> = tables.iter().map(WideFrequencies::costs).collect();
        for (counts, group) in chunks.iter().zip(&mut groups) {
            *group = cheapest(&costs, counts);
        }
    }
    write_profile(&tables)
}

/// The symbols of the chunks of tensors, or of evenly spaced ones if there are too many.
fn counted_chunks(tensors: &[TensorView<'_>]) -> Vec<ChunkCounts> {
    let chunks_of = |tensor: &TensorView<'_>| {
        let taken = UNIT.chunk_weights * 2;
        (tensor.dtype == Dtype::Bf16).then_some(tensor.data.len().div_ceil(taken))
    };
    let all: usize = tensors.iter().filter_map(chunks_of).sum();
    let every = all.div_ceil(MOST_CHUNKS).max(1);
    let of_type = tensors.iter().filter(|tensor| tensor.dtype == Dtype::Bf16);
    of_type
        .flat_map(|tensor| tensor.data.as_chunks().0.chunks(UNIT.chunk_weights))
        .step_by(every)
        .map(|words| {
            let mut counts = [0; SYMBOLS];
            count_symbols(words, &mut counts);
            Box::new(counts.map(|count| count as u32))
        })
        .collect()
}

fn add(mut sum: [u64; SYMBOLS], counts: &ChunkCounts) -> [u64; SYMBOLS] {
    for (sum, &count) in sum.iter_mut().zip(counts.iter()) {
        *sum += u64::from(count);
    }
    sum
}

/// The table that codes these symbols shortest, the first of equals, by what each table asks for a symbol.
fn cheapest(costs: &[[u32; SYMBOLS]], counts: &[u32; SYMBOLS]) -> usize {
    let bits = |costs: &[u32; SYMBOLS]| -> u64 {
        let each = costs.iter().zip(counts);
        each.map(|(&cost, &count)| u64::from(cost) * u64::from(count))
            .sum()
    };
    let best = costs
        .iter()
        .map(bits)
        .enumerate()
        .min_by_key(|&(_, bits)| bits);
    best.map_or(0, |(place, _)| place)
}

fn write_profile(tables: &[WideFrequencies]) -> Vec<u8> {
    let mut profile = MAGIC.to_vec();
    profile.extend(PROFILE_VERSION.to_le_bytes());
    profile.extend((tables.len() as u32).to_le_bytes());
    for table in tables {
        let mut sum = 0u32;
        profile.extend(sum.to_le_bytes());
        for &frequency in table.all() {
            sum += u32::from(frequency);
            profile.extend(sum.to_le_bytes());
        }
    }
    profile
}

fn read_profile(profile: &[u8]) -> Result<Vec<WideFrequencies>, DecodeError> {
    let mut reader = ByteReader::new(profile);
    let refuse = |what, at, expected, found: u64| DecodeError::Field {
        what,
        at,
        expected,
        found,
    };
    let magic = reader.array("head of a profile")?;
    if magic != MAGIC {
        let found = u64::from_le_bytes(magic);
        return Err(refuse("head of a profile", 0, "`SE9 MIX4`", found));
    }
    let version = u32::from_le_bytes(reader.array("version of a profile")?);
    if version != PROFILE_VERSION {
        return Err(refuse("version of a profile", 8, "1", version.into()));
    }
    let count = u32::from_le_bytes(reader.array("number of tables")?);
    if count != TABLES as u32 {
        return Err(refuse("number of tables", 12, "4", count.into()));
    }
    let mut tables = Vec::new();
    for _ in 0..TABLES {
        let at = reader.at();
        let refuse = |found: u32| {
            let expected = "of sums that rise from 0 to 4096";
            refuse("frequency table", at, expected, found.into())
        };
        let mut before = u32::from_le_bytes(reader.array("frequency table")?);
        if before != 0 {
            return Err(refuse(before));
        }
        let mut frequencies = [0u16; SYMBOLS];
        for frequency in &mut frequencies {
            let sum = u32::from_le_bytes(reader.array("frequency table")?);
            let own = sum.checked_sub(before).and_then(|own| own.try_into().ok());
            *frequency = own.ok_or_else(|| refuse(sum))?;
            before = sum;
        }
        tables.push(WideFrequencies::new(frequencies).ok_or_else(|| refuse(before))?);
    }
    reader.finish()?;
    Ok(tables)
}

/// The tables of the profile that a method was given.
fn tables_of(profile: Option<&[u8]>) -> Result<Vec<WideFrequencies>, ProfileProblem> {
    let profile = profile.ok_or(ProfileProblem::Missing)?;
    read_profile(profile).map_err(|error| ProfileProblem::Unsound(error.to_string()))
}

struct Bf16SplitMixture;

impl Method for Bf16SplitMixture {
    fn name(&self) -> String {
        NAME.to_owned()
    }

    fn encode(
        &self,
        tensors: &[TensorView<'_>],
        profile: Option<&[u8]>,
        out: &mut dyn Write,
    ) -> Result<Accounting, EncodeError> {
        let tables = tables_of(profile).map_err(|problem| EncodeError::Profile {
            method: self.name(),
            problem,
        })?;
        let bytes = check_tensors(self, tensors)?;
        let costs: Vec<_> = tables.iter().map(WideFrequencies::costs).collect();
        let encoders: Vec<_> = tables
            .iter()
            .map(|table| [EncoderTable::new(table)])
            .collect();
        let (mut symbols, mut given) = (Vec::new(), Vec::new());
        UNIT.encode(tensors, bytes, &[], out, |words, out| {
            let mut counts = [0; SYMBOLS];
            count_symbols(words, &mut counts);
            let chosen = cheapest(&costs, &counts.map(|count| count as u32));
            let table = encoders.get(chosen).map_or(&[][..], |table| table);
            pack_mantissas(words, out);
            split_symbols(words, &mut symbols);
            Ok(Coded {
                mode: chosen as u8 + 1,
                tables: 0,
                container: encode(&symbols, None, table, &mut given, out),
            })
        })
    }

    fn decode(
        &self,
        encoded: &[u8],
        profile: Option<&[u8]>,
        out: &mut dyn Write,
    ) -> Result<(), DecodeError> {
        let tables = tables_of(profile).map_err(|problem| DecodeError::Profile {
            method: self.name(),
            problem,
        })?;
        let decoders: Vec<_> = tables
            .iter()
            .map(|table| [DecoderTable::new(table)])
            .collect();
        let mut symbols = Vec::new();
        UNIT.decode(
            encoded,
            out,
            |_| Ok(()),
            |(), mode, reader, words| {
                let Some(table) = decoders.get(usize::from(mode).wrapping_sub(1)) else {
                    return Err(wrong_mode(mode, "0 to 4", reader));
                };
                decode_weights(reader, None, table, &mut symbols, words)
            },
        )
    }

    fn takes(&self, dtype: Dtype) -> bool {
        dtype == Dtype::Bf16
    }

    fn encode_memory(&self, _bytes: u64) -> u64 {
        2 * CHUNK_WEIGHTS as u64
    }

    fn decode_memory(&self, _bytes: u64) -> u64 {
        2 * CHUNK_WEIGHTS as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Tensors of weights about as large as each of these powers of two, in turn.
    fn profile_of(exponents: &[u16]) -> Vec<u8> {
        let tensors: Vec<Vec<u8>> = exponents
            .iter()
            .map(|exponent| {
                let words = (0..70_000u32).map(|i| {
                    let noise = i.wrapping_mul(0x9e37_79b9) >> 8;
                    (exponent - (noise.trailing_zeros() as u16)) << 7 | (i as u16 & 0x807f)
                });
                words.flat_map(u16::to_le_bytes).collect()
            })
            .collect();
        let views: Vec<_> = tensors
            .iter()
            .map(|data| TensorView {
                name: "tensor",
                dtype: Dtype::Bf16,
                shape: &[70_000],
                data,
            })
            .collect();
        train(&views)
    }

    #[test]
    fn four_kinds_of_tensors_get_a_table_each() {
        let profile = profile_of(&[120, 80, 160, 100, 80]);
        assert_eq!(profile.len(), 16 + 4 * 513 * 4);
        let tables = read_profile(&profile).unwrap();
        let likeliest: Vec<usize> = tables
            .iter()
            .map(|table| (0..256).max_by_key(|&symbol| table.all()[symbol]).unwrap())
            .collect();
        assert_eq!(likeliest, [80, 100, 120, 160]);
    }

    #[test]
    fn little_and_nothing_make_a_profile_too() {
        for exponents in [&[][..], &[127]] {
            assert_eq!(read_profile(&profile_of(exponents)).unwrap().len(), TABLES);
        }
    }

    #[test]
    fn what_is_no_profile_is_refused() {
        let profile = profile_of(&[127]);
        for length in (0..profile.len()).step_by(7) {
            assert!(read_profile(&profile[..length]).is_err());
        }
        // The head, and the highest byte of each number.
        for at in (0..16).chain((19..profile.len()).step_by(4)) {
            let mut changed = profile.clone();
            changed[at] = !changed[at];
            let problem = tables_of(Some(&changed)).unwrap_err();
            assert!(matches!(problem, ProfileProblem::Unsound(_)), "byte {at}");
        }
        assert_eq!(tables_of(None), Err(ProfileProblem::Missing));
    }

    proptest! {
        #[test]
        fn hostile_profiles_are_refused_or_sound(
            changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4)
        ) {
            let tables: Vec<_> = (0..TABLES).map(|_| WideFrequencies::fit(&[1; SYMBOLS])).collect();
            let mut profile = write_profile(&tables);
            for (at, byte) in changes {
                let at = at.index(profile.len());
                profile[at] = byte;
            }
            if let Ok(tables) = read_profile(&profile) {
                prop_assert_eq!(write_profile(&tables), profile);
            }
        }
    }
}
