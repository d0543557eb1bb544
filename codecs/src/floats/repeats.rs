//! Data that repeats itself, or has few values: that is what zstd is for.

use crate::bytes::{ByteReader, CountingWriter, write_varint};
use crate::entropy::entropy_bits;
use crate::error::{DecodeError, EncodeError};
use crate::zstd_frame::{FrameWriter, fill_from_frame};

/// Level of the frames.
pub(crate) const LEVEL: u32 = 3;

/// Bytes of floats that are compared at a time.
const PIECE: usize = 32;
/// One piece of so many is looked at, chosen by what is in it.
const CHOSEN_BITS: u32 = 3;
const PLACE_BITS: u32 = 12;
/// One of so many pieces must have occurred before for data to repeat itself.
const ONE_OF: usize = 32;
/// So many different pieces would not all be left out: by chance once in 5,000 times.
const MANY: usize = 64;
/// Bytes whose values are counted.
const SAMPLE: usize = 1 << 14;
/// Low bytes of weights that have more bits of entropy than this are left alone. Those of floats of full precision have
/// close to eight.
const FEW_BITS: f64 = 7.0;

/// Whether zstd may well find something in data. It is asked for every chunk, so it looks at samples.
pub(crate) fn may_repeat(data: &[u8]) -> bool {
    has_repeated_pieces(data) || has_few_low_bytes(data)
}

fn has_repeated_pieces(data: &[u8]) -> bool {
    let pieces = data.as_chunks::<PIECE>().0.iter();
    come_again(pieces.map(|piece| {
        piece
            .as_chunks()
            .0
            .iter()
            .fold(0, |hash, eight| mix(hash, u64::from_le_bytes(*eight)))
    }))
}

/// Whether zstd may well find something in blocks of `length` bytes: the last eight bytes of a block, which stand for a
/// few of its weights, in another.
pub(crate) fn may_repeat_in_blocks(data: &[u8], length: usize) -> bool {
    let ends = data.chunks_exact(length).filter_map(<[u8]>::last_chunk);
    come_again(ends.map(|eight| mix(0, u64::from_le_bytes(*eight))))
}

/// FxHash, which mixes well enough for a sample.
fn mix(hash: u64, number: u64) -> u64 {
    (hash.rotate_left(5) ^ number).wrapping_mul(0x517c_c1b7_2722_0a95)
}

/// Whether hashes come again, by a sample.
fn come_again(hashes: impl Iterator<Item = u64>) -> bool {
    let mut seen = [0u32; 1 << PLACE_BITS];
    let (mut all, mut looked_at, mut repeated) = (0, 0, 0);
    for hash in hashes {
        all += 1;
        if hash >> (u64::BITS - CHOSEN_BITS) != 0 {
            continue;
        }
        looked_at += 1;
        let place = (hash >> (u64::BITS - CHOSEN_BITS - PLACE_BITS)) as usize % seen.len();
        let tag = hash as u32 | 1;
        repeated += usize::from(seen[place] == tag);
        seen[place] = tag;
    }
    // Of so many that are different, some would have been chosen.
    repeated * ONE_OF > looked_at || looked_at == 0 && all >= MANY
}

fn has_few_low_bytes(data: &[u8]) -> bool {
    let mut counts = [0u64; 256];
    let step = (data.len() / 2).div_ceil(SAMPLE).max(1);
    for [low, _] in data.as_chunks().0.iter().step_by(step) {
        counts[usize::from(*low)] += 1;
    }
    let sampled: u64 = counts.iter().sum();
    // A small sample has few values anyway: 256 of them have 7.2 bits if all is noise.
    sampled >= 1024 && entropy_bits(&counts) < FEW_BITS
}

/// Appends the length of a frame as a variable-length integer, and the frame.
///
/// # Errors
///
/// [`EncodeError::Backend`] where libzstd fails.
pub(crate) fn write_frame(data: &[u8], out: &mut Vec<u8>) -> Result<(), EncodeError> {
    let mut frame = Vec::new();
    let mut writer = FrameWriter::new(LEVEL, data.len() as u64)?;
    let mut counting = CountingWriter::new(&mut frame);
    writer.put(data, &mut counting)?;
    writer.finish(&mut counting)?;
    write_varint(out, frame.len() as u64);
    out.extend_from_slice(&frame);
    Ok(())
}

/// Takes a frame with its length and fills `data`.
///
/// # Errors
///
/// Where bytes are missing, or are no frame of so many bytes.
pub(crate) fn read_frame(reader: &mut ByteReader<'_>, data: &mut [u8]) -> Result<(), DecodeError> {
    let length = reader.varint("length of a zstd frame")?;
    let at = reader.at();
    let frame = reader.take(length, "zstd frame")?;
    fill_from_frame(frame, at, LEVEL, data)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noise(bytes: usize) -> Vec<u8> {
        let mut state = 1u64;
        let mut next = || {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            (state >> 33) as u8
        };
        (0..bytes).map(|_| next()).collect()
    }

    #[test]
    fn noise_does_not_repeat() {
        for bytes in [0, 1, 31, 32, 1000, 100_000, 1 << 20] {
            assert!(!may_repeat(&noise(bytes)), "{bytes}");
        }
    }

    #[test]
    fn one_block_again_and_again_does() {
        for seed in 0..64u8 {
            let block: Vec<u8> = (0..34).map(|place| (place * 7) ^ seed).collect();
            assert!(may_repeat_in_blocks(&block.repeat(MANY), 34), "{seed}");
        }
    }

    #[test]
    fn rows_that_come_again_do() {
        let rows = noise(64 * 96);
        let data: Vec<u8> = (0..40).flat_map(|_| rows.clone()).collect();
        assert!(has_repeated_pieces(&data));
        // Also if only a twentieth of it comes again.
        let mut some = noise(400_000);
        let (first, rest) = some.split_at_mut(40_000);
        rest[..40_000].copy_from_slice(first);
        assert!(has_repeated_pieces(&some));
    }

    #[test]
    fn few_values_are_seen() {
        let data: Vec<u8> = noise(100_000)
            .iter()
            .flat_map(|byte| [byte % 50, 60 + byte % 3])
            .collect();
        assert!(has_few_low_bytes(&data));
        let mut frame = Vec::new();
        write_frame(&data, &mut frame).unwrap();
        let mut back = vec![0; data.len()];
        let mut reader = ByteReader::new(&frame);
        read_frame(&mut reader, &mut back).unwrap();
        reader.finish().unwrap();
        assert!(back == data);
        let found = read_frame(&mut ByteReader::new(&frame), &mut back[1..]);
        assert!(matches!(found, Err(DecodeError::Length { .. })));
    }
}
