//! That what is there for vectors is used.

use std::cell::Cell;

use super::super::decode::{By, Lanes};
use super::super::{avx2, avx512, encode};
use super::*;

type EncodeGroups = fn(
    &[[u8; WIDE_LANES]],
    &[[u8; WIDE_LANES]],
    &[EncoderTable],
    &mut [u32; WIDE_LANES],
    &mut encode::WordStack<'_>,
) -> usize;

type DecodeGroups = fn(By<'_>, &mut Lanes<'_, WIDE_LANES>, &mut [[u8; WIDE_LANES]]) -> usize;

/// Encodes and decodes by these functions, and returns how many groups each of them took.
fn groups_taken(
    sequence: &Sequence,
    encode_groups: EncodeGroups,
    decode_groups: DecodeGroups,
) -> [usize; 2] {
    let Sequence { symbols, classes } = sequence;
    let tables = sequence.tables();
    let (mut encoded, decoded) = (0, Cell::new(0));
    let mut bytes = Vec::new();
    let by_vectors = |states: &mut _, words: &mut encode::WordStack<'_>, groups| {
        let groups = &symbols.as_chunks().0[..groups];
        encoded = encode_groups(groups, classes.as_chunks().0, &tables, states, words);
        encoded
    };
    let mut words = Vec::new();
    encode_lanes(
        symbols, classes, &tables, &mut words, &mut bytes, by_vectors,
    );

    let table = DecoderTable::new(&sequence.frequencies());
    let mut reader = ByteReader::new(&bytes);
    let mut taken = sequence.taken();
    let by_vectors = |by: By<'_>, lanes: &mut Lanes<'_, WIDE_LANES>, groups: &mut [_]| {
        let done = decode_groups(by, lanes, groups);
        decoded.set(decoded.get() + done);
        done
    };
    if classes.is_empty() {
        let mut plain = |_, decoded: &mut [u8]| {
            taken.symbols.extend_from_slice(decoded);
            Ok(())
        };
        decode_lanes(&mut reader, &table, symbols.len(), &mut plain, by_vectors).unwrap();
    } else {
        decode_lanes(&mut reader, &table, symbols.len(), &mut taken, by_vectors).unwrap();
    }
    assert!(taken.symbols == *symbols);
    [encoded, decoded.get()]
}

/// That the processor has vectors does not say that they are used: here their own functions say how much they took.
#[test]
fn vectors_take_all_groups_that_they_can() {
    let symbols: Vec<u8> = (0..40_000usize).map(|i| (i * i / 7 % 11) as u8).collect();
    let classes = (0..symbols.len()).map(|i| (i / 3 % 4) as u8).collect();
    let groups = symbols.len() / WIDE_LANES;
    let sequences = [
        (1, Sequence::plain(symbols.clone())),
        (4, Sequence { symbols, classes }),
    ];
    let kinds: [(_, EncodeGroups, DecodeGroups); 2] = [
        (Vectors::Avx2, avx2::encode_groups, avx2::decode_groups),
        (
            Vectors::Avx512,
            avx512::encode_groups,
            avx512::decode_groups,
        ),
    ];
    for (vectors, encode_groups, decode_groups) in kinds {
        if !Vectors::present().any(|present| present == vectors) {
            println!("{vectors:?} did not run: the processor lacks them");
            continue;
        }
        for (classes, sequence) in &sequences {
            let [encoded, decoded] = groups_taken(sequence, encode_groups, decode_groups);
            assert_eq!(encoded, groups);
            // The last groups may find fewer words than they could take.
            assert!(decoded > groups - 8, "{decoded}");
            println!(
                "{vectors:?} ran: {classes} classes, {encoded} groups encoded, {decoded} decoded"
            );
        }
    }
}
