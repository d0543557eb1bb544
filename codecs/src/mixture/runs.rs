//! Runs of super-blocks: their nibbles and their headers.

use crate::accounting::Accounting;
use crate::bytes::ByteReader;
use crate::error::DecodeError;
use crate::rans::{self, Consumer, DecoderTable, EncoderTable, Frequencies};

use super::profile::Mixture;
use super::{HEADER_BYTES, NIBBLE_BYTES};

/// Super-blocks of every run but the last.
pub(crate) const RUN: usize = 1 << 14;

const STORED: u8 = 0;
const CODED: u8 = 1;

/// Nibbles of a super-block.
const NIBBLES: usize = 2 * NIBBLE_BYTES;
/// Bits that say which table a super-block has.
const CHOICE_BITS: usize = 2;
const CHOICES_A_BYTE: usize = 8 / CHOICE_BITS;

/// Frequencies of a run of headers.
const HEADER_TABLES: usize = 5;
/// Which frequencies each byte of a header has.
const HEADER_CLASSES: [u8; HEADER_BYTES] = [0, 1, 2, 3, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4, 4];

/// Encodes runs of nibbles.
pub(crate) struct NibbleEncoder<'a> {
    mixture: &'a Mixture,
    tables: Vec<EncoderTable>,
    symbols: Vec<u8>,
    classes: Vec<u8>,
    words: Vec<u16>,
}

impl<'a> NibbleEncoder<'a> {
    /// An encoder by the tables of a profile.
    pub(crate) fn new(mixture: &'a Mixture) -> Self {
        NibbleEncoder {
            mixture,
            tables: mixture.encoders(),
            symbols: Vec::new(),
            classes: Vec::new(),
            words: Vec::new(),
        }
    }

    /// Appends a run, of up to [`RUN`] super-blocks.
    pub(crate) fn encode(&mut self, run: &[[u8; NIBBLE_BYTES]], out: &mut Vec<u8>) -> Accounting {
        let start = out.len();
        out.push(CODED);
        self.symbols.clear();
        self.classes.clear();
        for blocks in run.chunks(CHOICES_A_BYTE) {
            let mut choices = 0;
            for (place, block) in blocks.iter().enumerate() {
                let chosen = self.mixture.choose(block);
                choices |= chosen << (CHOICE_BITS * place);
                self.classes.extend([chosen; NIBBLES]);
                let nibbles = block.iter().flat_map(|byte| [byte & 15, byte >> 4]);
                self.symbols.extend(nibbles);
            }
            out.push(choices);
        }
        let (symbols, classes) = (&self.symbols, &self.classes);
        rans::encode_classed(symbols, classes, &self.tables, &mut self.words, out);
        store_if_shorter(start, run.as_flattened(), 0, out)
    }
}

/// Encodes runs of headers.
#[derive(Default)]
pub(crate) struct HeaderEncoder {
    classes: Vec<u8>,
    words: Vec<u16>,
}

impl HeaderEncoder {
    /// Appends a run, of up to [`RUN`] super-blocks.
    pub(crate) fn encode(&mut self, run: &[[u8; HEADER_BYTES]], out: &mut Vec<u8>) -> Accounting {
        let start = out.len();
        out.push(CODED);
        let mut counts = [[0; 256]; HEADER_TABLES].to_vec();
        for header in run {
            for (&byte, class) in header.iter().zip(HEADER_CLASSES) {
                if let Some(counts) = counts.get_mut(usize::from(class)) {
                    counts[usize::from(byte)] += 1;
                }
            }
        }
        let tables: Vec<Frequencies> = counts.iter().filter_map(Frequencies::fit).collect();
        for table in &tables {
            table.write(out);
        }
        let learnt = out.len() - start - 1;
        let encoders: Vec<_> = tables.iter().map(EncoderTable::new).collect();
        self.classes.clear();
        self.classes.extend(run.iter().flat_map(|_| HEADER_CLASSES));
        let bytes = run.as_flattened();
        rans::encode_classed(bytes, &self.classes, &encoders, &mut self.words, out);
        store_if_shorter(start, bytes, learnt, out)
    }
}

/// Puts the bytes of a run in place of what it became, its mode first, if that is not longer. `tables` of its bytes are
/// what was learnt.
fn store_if_shorter(start: usize, bytes: &[u8], tables: usize, out: &mut Vec<u8>) -> Accounting {
    let mut accounting = Accounting {
        tables: tables as u64,
        container: 1,
        ..Accounting::default()
    };
    if out.len() - start > bytes.len() {
        out.truncate(start);
        out.push(STORED);
        out.extend_from_slice(bytes);
        accounting.tables = 0;
    }
    accounting.payload = (out.len() - start) as u64 - accounting.tables - accounting.container;
    accounting
}

/// Decodes runs of nibbles.
pub(crate) struct NibbleDecoder(DecoderTable);

impl NibbleDecoder {
    /// A decoder by the tables of a profile.
    pub(crate) fn new(mixture: &Mixture) -> Self {
        NibbleDecoder(mixture.decoder())
    }

    /// Takes a run and fills `run`, which is as long as it is.
    ///
    /// # Errors
    ///
    /// Where bytes are missing or are not what [`NibbleEncoder`] writes.
    pub(crate) fn decode(
        &self,
        reader: &mut ByteReader<'_>,
        run: &mut [[u8; NIBBLE_BYTES]],
    ) -> Result<(), DecodeError> {
        if is_stored(reader, run.as_flattened_mut())? {
            return Ok(());
        }
        let at = reader.at();
        let choices = reader.take(run.len().div_ceil(CHOICES_A_BYTE) as u64, "tables of a run")?;
        let last = choices.last().copied().unwrap_or_default();
        let filling = match run.len() % CHOICES_A_BYTE {
            0 => 0,
            used => last >> (CHOICE_BITS * used),
        };
        if filling != 0 {
            return Err(DecodeError::Field {
                what: "tables of a run",
                at: at + choices.len() as u64 - 1,
                expected: "filled up with zero bits",
                found: filling.into(),
            });
        }
        let count = run.len() * NIBBLES;
        let bytes = run.as_flattened_mut();
        rans::decode(reader, &self.0, count, &mut Nibbles { choices, bytes })
    }
}

/// Decoded nibbles on their way into bytes.
struct Nibbles<'a> {
    choices: &'a [u8],
    bytes: &'a mut [u8],
}

impl Consumer for Nibbles<'_> {
    const CLASSED: bool = true;

    fn classes(&mut self, at: usize, classes: &mut [u8]) {
        for (block, classes) in (at / NIBBLES..).zip(classes.chunks_mut(NIBBLES)) {
            let four = self.choices.get(block / CHOICES_A_BYTE);
            let place = CHOICE_BITS * (block % CHOICES_A_BYTE);
            classes.fill(four.map_or(0, |four| four >> place & 3));
        }
    }

    fn take(&mut self, at: usize, symbols: &mut [u8]) -> Result<(), DecodeError> {
        let bytes = self.bytes.get_mut(at / 2..).unwrap_or(&mut []);
        for (byte, [low, high]) in bytes.iter_mut().zip(symbols.as_chunks().0) {
            *byte = low | high << 4;
        }
        Ok(())
    }
}

/// Takes a run of headers and fills `run`, which is as long as it is.
///
/// # Errors
///
/// Where bytes are missing or are not what [`HeaderEncoder`] writes.
pub(crate) fn decode_headers(
    reader: &mut ByteReader<'_>,
    run: &mut [[u8; HEADER_BYTES]],
) -> Result<(), DecodeError> {
    if is_stored(reader, run.as_flattened_mut())? {
        return Ok(());
    }
    let mut tables = Vec::with_capacity(HEADER_TABLES);
    for _ in 0..HEADER_TABLES {
        tables.push(Frequencies::read(reader)?);
    }
    let table = DecoderTable::new(&tables);
    let bytes = run.as_flattened_mut();
    rans::decode(reader, &table, bytes.len(), &mut Headers { bytes })
}

/// Decoded headers on their way.
struct Headers<'a> {
    bytes: &'a mut [u8],
}

impl Consumer for Headers<'_> {
    const CLASSED: bool = true;

    fn classes(&mut self, _at: usize, classes: &mut [u8]) {
        // Every call begins with a header.
        for classes in classes.chunks_mut(HEADER_BYTES) {
            for (slot, class) in classes.iter_mut().zip(HEADER_CLASSES) {
                *slot = class;
            }
        }
    }

    fn take(&mut self, at: usize, symbols: &mut [u8]) -> Result<(), DecodeError> {
        let bytes = self.bytes.get_mut(at..).unwrap_or(&mut []);
        for (byte, symbol) in bytes.iter_mut().zip(symbols) {
            *byte = *symbol;
        }
        Ok(())
    }
}

/// Takes the mode of a run, and its bytes if it is stored. Returns whether it is.
fn is_stored(reader: &mut ByteReader<'_>, bytes: &mut [u8]) -> Result<bool, DecodeError> {
    let at = reader.at();
    match reader.byte("mode of a run")? {
        STORED => {
            bytes.copy_from_slice(reader.take(bytes.len() as u64, "stored run")?);
            Ok(true)
        }
        CODED => Ok(false),
        found => Err(DecodeError::Field {
            what: "mode of a run",
            at,
            expected: "0 or 1",
            found: found.into(),
        }),
    }
}
