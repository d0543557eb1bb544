//! Frames under damage. Here a record's body is any bytes.

use proptest::prelude::*;

use super::*;

const ID: SegmentId = SegmentId([7; 16]);

/// Frames of the given bodies as they stand from `offset` on, and where each ends.
fn frames(offset: u64, bodies: &[Vec<u8>]) -> (Vec<u8>, Vec<usize>) {
    let key = FrameKey::of(ID);
    let mut bytes = Vec::new();
    let mut ends = Vec::new();
    for body in bodies {
        key.encode_record(offset + bytes.len() as u64, body, &mut bytes);
        ends.push(bytes.len());
    }
    (bytes, ends)
}

fn read(offset: u64, bytes: &[u8]) -> (Vec<Vec<u8>>, Scan) {
    let mut bodies = Vec::new();
    let scan = FrameKey::of(ID).scan(offset, bytes, |body| {
        bodies.push(bytes[body].to_vec());
        true
    });
    (bodies, scan)
}

fn some_bodies() -> Vec<Vec<u8>> {
    vec![
        b"first".to_vec(),
        Vec::new(),
        vec![0xf1; 100],
        b"last".to_vec(),
    ]
}

#[test]
fn the_layout_is_the_documented_one() {
    let (bytes, _) = frames(48, &[b"body".to_vec()]);
    assert_eq!(bytes.len(), 48 + 4);
    assert_eq!(&bytes[..8], b"\xf1\x9ellmcl\n");
    assert_eq!(&bytes[8..16], [1, 0, 0, 0, 4, 0, 0, 0]);
    let key = blake3::derive_key("llmcl 2026-11 record segment format 1", &[7; 16]);
    assert_eq!(
        &bytes[16..32],
        &blake3::keyed_hash(&key, b"body").as_bytes()[..16]
    );
    let mut covered = 48_u64.to_le_bytes().to_vec();
    covered.extend_from_slice(&bytes[..32]);
    assert_eq!(
        &bytes[32..48],
        &blake3::keyed_hash(&key, &covered).as_bytes()[..16]
    );
    assert_eq!(&bytes[48..], b"body");
}

#[test]
fn every_truncation_keeps_the_frames_before_it() {
    let bodies = some_bodies();
    let (bytes, ends) = frames(48, &bodies);
    for length in 0..=bytes.len() {
        let whole = ends.iter().filter(|end| **end <= length).count();
        let (read, scan) = read(48, &bytes[..length]);
        assert_eq!(read, bodies[..whole], "cut to {length}");
        assert_eq!(scan.consumed, ends[..whole].last().copied().unwrap_or(0));
        assert!(scan.damaged.is_empty());
    }
}

#[test]
fn every_damaged_byte_loses_one_frame() {
    let bodies = some_bodies();
    let (bytes, ends) = frames(48, &bodies);
    for at in 0..bytes.len() {
        for change in [0x01, 0x80, 0xff] {
            let mut damaged = bytes.clone();
            damaged[at] ^= change;
            let lost = ends.iter().position(|end| at < *end).unwrap();
            let mut expected = bodies.clone();
            expected.remove(lost);
            let (read, scan) = read(48, &damaged);
            assert_eq!(read, expected, "byte {at}");
            let start = if lost == 0 { 0 } else { ends[lost - 1] };
            if lost == bodies.len() - 1 {
                assert_eq!(scan.consumed, start);
                assert!(scan.damaged.is_empty());
            } else {
                assert_eq!(scan.consumed, bytes.len());
                assert_eq!(scan.damaged.len(), 1);
                assert_eq!(scan.damaged[0], start..ends[lost]);
            }
        }
    }
}

#[test]
fn a_frame_inside_a_record_is_never_taken_for_one() {
    let (inner, _) = frames(48, &[b"inner".to_vec()]);
    let (mut bytes, _) = frames(48, &[inner, b"after".to_vec()]);
    bytes[0] ^= 1;
    assert_eq!(read(48, &bytes).0, [b"after".to_vec()]);
}

#[test]
fn a_frame_of_another_segment_or_offset_is_rejected() {
    let (bytes, _) = frames(48, &[b"body".to_vec()]);
    assert!(read(49, &bytes).0.is_empty());
    let other = FrameKey::of(SegmentId([8; 16]));
    assert_eq!(other.scan(48, &bytes, |_| true), Scan::default());
}

#[test]
fn a_hole_is_passed_over_without_reading_its_body() {
    let bodies = some_bodies();
    let (mut bytes, ends) = frames(48, &bodies);
    let hole = FrameKey::of(ID).encode_hole(48, ends[1] as u64).unwrap();
    bytes[..HEAD_BYTES].copy_from_slice(&hole);
    let (read, scan) = read(48, &bytes);
    assert_eq!(read, bodies[2..]);
    assert_eq!(
        scan,
        Scan {
            consumed: bytes.len(),
            damaged: Vec::new(),
            has_other: false,
        }
    );
    assert!(FrameKey::of(ID).encode_hole(48, 47).is_none());
}

#[test]
fn a_frame_of_an_unknown_kind_is_kept_and_passed_over() {
    let key = FrameKey::of(ID);
    let mut bytes = key.head(48, 99, 3, &[1; 16]).to_vec();
    bytes.extend_from_slice(b"new");
    key.encode_record(48 + bytes.len() as u64, b"old", &mut bytes);
    let (read, scan) = read(48, &bytes);
    assert_eq!(read, [b"old".to_vec()]);
    assert_eq!(
        scan,
        Scan {
            consumed: bytes.len(),
            damaged: Vec::new(),
            has_other: true,
        }
    );
}

#[test]
fn a_body_that_is_not_understood_counts_as_damaged() {
    let (bytes, ends) = frames(48, &some_bodies());
    let mut seen = 0;
    let scan = FrameKey::of(ID).scan(48, &bytes, |_| {
        seen += 1;
        seen != 2
    });
    assert_eq!(scan.damaged.len(), 1);
    assert_eq!(scan.damaged[0], ends[0]..ends[1]);
    assert_eq!(seen, 4);
}

#[test]
fn a_length_beyond_the_end_is_no_frame() {
    let key = FrameKey::of(ID);
    let bytes = key.head(48, KIND_RECORD, u32::MAX, &[0; 16]);
    assert_eq!(key.scan(48, &bytes, |_| true), Scan::default());
}

#[test]
fn a_header_is_current_future_or_damaged() {
    let header = encode_header(ID);
    assert_eq!(decode_header(ID, &header), Header::Current);
    assert_eq!(decode_header(SegmentId([8; 16]), &header), Header::Damaged);
    assert_eq!(
        decode_header(ID, &encode_header_of_version(ID, 2)),
        Header::Future { version: 2 }
    );
    assert_eq!(
        decode_header(ID, &encode_header_of_version(ID, 0)),
        Header::Damaged
    );
    for length in 0..HEADER_BYTES {
        assert_eq!(decode_header(ID, &header[..length]), Header::Damaged);
    }
    for bit in 0..HEADER_BYTES * 8 {
        let mut damaged = header;
        damaged[bit / 8] ^= 1 << (bit % 8);
        assert_eq!(decode_header(ID, &damaged), Header::Damaged, "bit {bit}");
    }
}

#[test]
fn file_names_and_identifiers_correspond() {
    let id = SegmentId::random();
    assert_eq!(SegmentId::from_file_name(&id.file_name()), Some(id));
    for name in [
        "",
        ".seg",
        "0123.seg",
        "records",
        &format!("{}.tmp", id),
        &id.file_name().to_uppercase(),
    ] {
        assert_eq!(SegmentId::from_file_name(name), None, "{name}");
    }
}

proptest! {
    #[test]
    fn what_is_written_is_read(
        offset in 48_u64..1 << 40,
        bodies in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 0..20),
    ) {
        let (bytes, _) = frames(offset, &bodies);
        let (read, scan) = read(offset, &bytes);
        prop_assert_eq!(read, bodies);
        prop_assert_eq!(scan, Scan { consumed: bytes.len(), ..Scan::default() });
    }

    #[test]
    fn any_bytes_are_no_frame_and_no_panic(bytes in prop::collection::vec(any::<u8>(), 0..2000)) {
        prop_assert!(read(48, &bytes).0.is_empty());
    }

    /// However a piece is overwritten: what is read is some of what was written, in order, and everything that the
    /// piece does not touch.
    #[test]
    fn an_overwritten_piece_loses_only_the_frames_it_touches(
        bodies in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..100), 1..10),
        at in any::<prop::sample::Index>(),
        junk in prop::collection::vec(any::<u8>(), 1..200),
    ) {
        let (bytes, ends) = frames(48, &bodies);
        let at = at.index(bytes.len());
        let end = bytes.len().min(at + junk.len());
        let mut damaged = bytes.clone();
        damaged[at..end].copy_from_slice(&junk[..end - at]);
        let mut start = 0;
        let mut expected = Vec::new();
        for (body, frame_end) in bodies.iter().zip(&ends) {
            if bytes[start..*frame_end] == damaged[start..*frame_end] {
                expected.push(body.clone());
            }
            start = *frame_end;
        }
        prop_assert_eq!(read(48, &damaged).0, expected);
    }
}
