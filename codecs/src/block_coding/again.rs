//! Blocks that come again in a chunk: those of tokens that were hardly trained, or padded.
//!
//! # Written form
//!
//! The number of runs; of each run how many blocks are between the end of the one before and it, how many blocks it is
//! of, and how many blocks back the same blocks begin. All are variable-length integers.

use std::collections::HashMap;

use crate::bytes::{ByteReader, write_varint};
use crate::error::DecodeError;

const WHAT: &str = "blocks that come again";

/// Blocks in a row that are the same as those so many back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Run {
    start: usize,
    blocks: usize,
    back: usize,
}

/// All runs of a chunk, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Again(Vec<Run>);

impl Again {
    /// Finds blocks of `length` bytes that come again.
    pub(super) fn find(data: &[u8], length: usize) -> Again {
        let blocks: Vec<&[u8]> = data.chunks_exact(length).collect();
        let mut last: HashMap<&[u8], usize> = HashMap::new();
        let mut runs: Vec<Run> = Vec::new();
        for (number, block) in blocks.iter().enumerate() {
            let before = last.insert(block, number);
            if let Some(run) = runs.last_mut()
                && run.start + run.blocks == number
                && blocks.get(number - run.back) == Some(block)
            {
                run.blocks += 1;
            } else if let Some(before) = before {
                runs.push(Run {
                    start: number,
                    blocks: 1,
                    back: number - before,
                });
            }
        }
        Again(runs)
    }

    /// Whether there are none.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many blocks come again.
    pub(super) fn blocks(&self) -> usize {
        self.0.iter().map(|run| run.blocks).sum()
    }

    /// Puts the other blocks one after the other.
    pub(super) fn leave_out(&self, data: &[u8], length: usize, kept: &mut Vec<u8>) {
        kept.clear();
        let mut at = 0;
        for run in &self.0 {
            kept.extend_from_slice(data.get(at * length..run.start * length).unwrap_or(&[]));
            at = run.start + run.blocks;
        }
        kept.extend_from_slice(data.get(at * length..).unwrap_or(&[]));
    }

    /// Puts blocks between those that were left out. `kept` are all others of `data`.
    pub(super) fn put_back(&self, kept: &[u8], length: usize, data: &mut [u8]) {
        let mut rest = kept;
        let mut fill = |slots: &mut [u8]| {
            let (own, after) = rest.split_at(slots.len().min(rest.len()));
            rest = after;
            for (slot, byte) in slots.iter_mut().zip(own) {
                *slot = *byte;
            }
        };
        let mut at = 0;
        for run in &self.0 {
            fill(
                data.get_mut(at * length..run.start * length)
                    .unwrap_or(&mut []),
            );
            at = run.start + run.blocks;
            // One block after the other: a run may go over into itself.
            for block in run.start..at {
                let from = (block - run.back) * length;
                data.copy_within(from..from + length, block * length);
            }
        }
        fill(data.get_mut(at * length..).unwrap_or(&mut []));
    }

    /// Appends the written form.
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        write_varint(out, self.0.len() as u64);
        let mut at = 0;
        for run in &self.0 {
            for number in [run.start - at, run.blocks, run.back] {
                write_varint(out, number as u64);
            }
            at = run.start + run.blocks;
        }
    }

    /// Takes the written form, of a chunk of `blocks` blocks.
    ///
    /// # Errors
    ///
    /// [`DecodeError::Truncated`] where bytes are missing, [`DecodeError::Field`] where a run goes beyond the chunk.
    pub(super) fn read(reader: &mut ByteReader<'_>, blocks: usize) -> Result<Again, DecodeError> {
        let count = reader.varint(WHAT)?;
        let mut runs = Vec::new();
        let mut at = 0;
        for _ in 0..count {
            let place = reader.at();
            let numbers = [
                reader.varint(WHAT)?,
                reader.varint(WHAT)?,
                reader.varint(WHAT)?,
            ];
            let run = run_of(at, numbers, blocks).ok_or(DecodeError::Field {
                what: WHAT,
                at: place,
                expected: "a run that begins after another block, and ends in the chunk",
                found: numbers[1],
            })?;
            at = run.start + run.blocks;
            runs.push(run);
        }
        Ok(Again(runs))
    }
}

fn run_of(at: usize, numbers: [u64; 3], blocks: usize) -> Option<Run> {
    let [between, own, back] = numbers.map(|number| usize::try_from(number).ok());
    let run = Run {
        start: at.checked_add(between?)?,
        blocks: own.filter(|&own| own > 0)?,
        back: back.filter(|&back| back > 0)?,
    };
    let end = run.start.checked_add(run.blocks)?;
    (end <= blocks && run.back <= run.start).then_some(run)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn round_trip(data: &[u8], length: usize) -> Again {
        let again = Again::find(data, length);
        let mut kept = Vec::new();
        again.leave_out(data, length, &mut kept);
        assert_eq!(kept.len() + again.blocks() * length, data.len());
        let mut bytes = Vec::new();
        again.write(&mut bytes);
        let mut reader = ByteReader::new(&bytes);
        assert_eq!(
            Again::read(&mut reader, data.len() / length).unwrap(),
            again
        );
        reader.finish().unwrap();
        let mut back = vec![0xee; data.len()];
        again.put_back(&kept, length, &mut back);
        assert_eq!(back, data);
        again
    }

    #[test]
    fn runs_by_hand() {
        let run = |start, blocks, back| Run {
            start,
            blocks,
            back,
        };
        assert_eq!(round_trip(b"abcdabcd", 1), Again(vec![run(4, 4, 4)]));
        assert_eq!(round_trip(b"aaaa", 1), Again(vec![run(1, 3, 1)]));
        assert_eq!(round_trip(b"aabbaabb", 2), Again(vec![run(2, 2, 2)]));
        assert_eq!(round_trip(b"abcd", 2), Again(Vec::new()));
    }

    proptest! {
        #[test]
        fn anything_comes_back(bytes in prop::collection::vec(0u8..4, 0..200), length in 1usize..4) {
            let whole = bytes.len() / length * length;
            round_trip(&bytes[..whole], length);
        }

        #[test]
        fn hostile_runs_are_errors_or_put_back(bytes in prop::collection::vec(0u8..20, 0..40)) {
            if let Ok(again) = Again::read(&mut ByteReader::new(&bytes), 16) {
                prop_assert!(again.blocks() <= 16);
                let mut data = [0; 32];
                again.put_back(&[1; 32], 2, &mut data);
            }
        }
    }
}
