//! What strangers write: containers whose checksums are right and that say what cannot be. See `memory.rs` for what they
//! take.

use llmcl_codecs::bytes::write_varint;
use llmcl_container::{ContainerError, Form};

use crate::common::{PROFILED, one, open, restore, text, write};
use crate::handmade::{File, Handmade, Method, Segment, What, head, seal, write_text};

/// Number of the zstd method.
const ZSTD: u64 = 0;
/// Number of the method for floats.
const SCALED: u64 = 1;

/// A folder of two files, in which everything is right.
fn sound() -> Handmade {
    let mut made = Handmade::new(1, &["zstd_1", "exponent_mantissa_scaled"]);
    made.file("model", b"headtensor\x80\x3f\x80\x3f\x80\x3f");
    made.segment(Segment::bytes(4).by(ZSTD, &[]), &[b"\0head"]);
    made.segment(
        Segment::tensor("bytes", "U8", &[2, 3]).by(ZSTD, &[]),
        &[b"\0tensor"],
    );
    made.segment(
        Segment::tensor("ones", "BF16", &[3]).by(SCALED, &[]),
        &[&[1, 0x80, 0x3f]],
    );
    made.segment(Segment::tensor("none", "F32", &[7, 0]).by(SCALED, &[]), &[]);
    made.file("nested/empty", b"");
    made
}

/// The first file.
fn file(made: &mut Handmade) -> &mut File {
    made.files.first_mut().unwrap()
}

/// A segment of the first file.
fn segment(made: &mut Handmade, number: usize) -> &mut Segment {
    file(made).segments.get_mut(number).unwrap()
}

/// Gives a tensor another name, type or shape.
fn tensor(made: &mut Handmade, number: usize, name: &str, dtype: &str, shape: &[u64]) {
    let changed = Segment::tensor(name, dtype, shape);
    segment(made, number).what = changed.what;
}

#[test]
fn what_is_made_by_hand_is_what_is_written() {
    let made = sound();
    let restored = restore(&made.bytes()).unwrap();
    assert_eq!(restored[0].0, "model");
    assert_eq!(restored[0].1, b"headtensor\x80\x3f\x80\x3f\x80\x3f");
    assert_eq!(restored[1], ("nested/empty".to_owned(), Vec::new()));
    // And to the byte what the program writes.
    let mut made = Handmade::new(0, &["zstd_1"]);
    made.file("model.safetensors", b"abc");
    made.segment(Segment::bytes(3), &[b"\0abc"]);
    let (written, _) = write("zstd_1", Form::File, &one(b"abc"));
    assert_eq!(made.bytes(), written);
}

type Change = fn(&mut Handmade);

/// Opens it changed, which must fail, and with a reason.
fn refuse(cases: &[(&str, Change)]) {
    for (number, (reason, change)) in cases.iter().enumerate() {
        let mut made = sound();
        change(&mut made);
        let bytes = made.bytes();
        match open(&bytes) {
            Ok(_) => panic!("case {number} opens, which should fail because of {reason:?}"),
            Err(error) => {
                let text = text(&error);
                assert!(text.contains(reason), "case {number}: {text}");
            }
        }
    }
}

#[test]
fn absurd_shapes_are_refused() {
    refuse(&[
        ("of a chunk at byte", |made| {
            tensor(made, 1, "bytes", "U8", &[u64::MAX]);
        }),
        ("of a chunk at byte", |made| {
            tensor(made, 1, "bytes", "U8", &[1 << 40, 6]);
        }),
        ("of a length that no file has", |made| {
            tensor(made, 1, "bytes", "U8", &[u64::MAX, 2]);
        }),
        ("of a length that no file has", |made| {
            tensor(made, 2, "ones", "BF16", &[1 << 32, 1 << 31]);
        }),
        // Elements of half a byte, and a length whose bits do not fit.
        ("of a length that no file has", |made| {
            tensor(made, 1, "bytes", "F4", &[3]);
        }),
        ("of a length that no file has", |made| {
            tensor(made, 1, "bytes", "F4", &[u64::MAX]);
        }),
        ("of a type that does not exist", |made| {
            tensor(made, 1, "bytes", "u8", &[2, 3]);
        }),
        ("of a type that does not exist", |made| {
            tensor(made, 1, "bytes", "", &[2, 3]);
        }),
        // Other bytes than the chunk has.
        ("longer than its segments", |made| {
            tensor(made, 1, "bytes", "U8", &[2, 2]);
        }),
        ("shorter than its segments", |made| {
            tensor(made, 1, "bytes", "U8", &[2, 4]);
        }),
        ("shorter than its segments", |made| {
            segment(made, 0).what = What::Bytes(4 << 20);
        }),
        ("of a chunk at byte", |made| {
            segment(made, 3).what = What::Bytes(u64::MAX);
            segment(made, 3).kind = 0;
            segment(made, 3).method = ZSTD;
            segment(made, 3).tables.clear();
        }),
    ]);
}

/// Zeros in a shape hide nothing: neither do the other axes overflow, nor are there chunks.
#[test]
fn empty_tensors_may_have_any_axes() {
    for shape in [
        &[u64::MAX, 0][..],
        &[0, u64::MAX, u64::MAX],
        &[u64::MAX, u64::MAX, 0],
    ] {
        for (dtype, method) in [
            ("F32", SCALED),
            ("BF16", SCALED),
            ("F4", ZSTD),
            ("C64", ZSTD),
        ] {
            let mut made = sound();
            tensor(&mut made, 3, "none", dtype, shape);
            segment(&mut made, 3).method = method;
            assert!(restore(&made.bytes()).is_ok(), "{dtype} {shape:?}");
        }
    }
}

#[test]
fn absurd_lengths_are_refused() {
    refuse(&[
        ("longer than its segments", |made| file(made).bytes += 1),
        ("shorter than its segments", |made| file(made).bytes -= 1),
        ("longer than its segments", |made| {
            file(made).bytes = u64::MAX;
        }),
        ("longer than its segments", |made| {
            made.files.last_mut().unwrap().bytes = 1;
        }),
        // Chunks that are together longer or shorter than what lies there.
        ("lengths of chunks", |made| {
            segment(made, 1).chunks[0].0 += 1;
        }),
        ("lengths of chunks", |made| {
            segment(made, 1).chunks[0].0 -= 1;
        }),
        ("lengths of chunks", |made| made.chunks.push(0)),
        ("lengths of chunks", |made| made.chunks.clear()),
        ("lengths of chunks", |made| {
            segment(made, 0).chunks[0].0 = u64::MAX >> 1;
        }),
        ("such that all fit the file", |made| {
            segment(made, 0).chunks[0].0 = u64::MAX;
        }),
        // Their sum comes round to what it was.
        ("such that all fit the file", |made| {
            segment(made, 0).chunks[0].0 = u64::MAX - 1000;
            segment(made, 1).chunks[0].0 = 1012 + 1;
        }),
        // A chunk too many, and one too few: what follows is read as something else.
        ("the index", |made| segment(made, 0).chunks.push((0, 0))),
        ("the index", |made| segment(made, 0).chunks.clear()),
    ]);
}

#[test]
fn names_that_lead_elsewhere_are_refused() {
    for name in [
        "",
        "/etc/passwd",
        "a/",
        "a//b",
        "..",
        "../a",
        "a/../../b",
        "./a",
        ".",
        "C:a",
        "a\\b",
        "a\0b",
    ] {
        let mut made = sound();
        file(&mut made).name = name.into();
        let found = open(&made.bytes()).map(|_| ());
        assert!(
            matches!(found, Err(ContainerError::Entry { what: "file", .. })),
            "{name:?}"
        );
    }
    refuse(&[
        ("longer than 4096 bytes", |made| {
            file(made).name = vec![b'a'; 4097];
        }),
        ("UTF-8", |made| file(made).name = vec![b'a', 0xff]),
        ("UTF-8", |made| made.methods[0].name = vec![0xc3]),
        ("UTF-8", |made| {
            segment(made, 1).what = What::Tensor {
                name: vec![0xed, 0xa0, 0x80],
                dtype: b"U8".to_vec(),
                shape: vec![2, 3],
            };
        }),
    ]);
}

#[test]
fn names_that_are_there_twice_are_refused() {
    refuse(&[
        ("is there twice", |made| {
            made.files.last_mut().unwrap().name = b"model".to_vec();
        }),
        ("is there twice", |made| {
            tensor(made, 2, "bytes", "BF16", &[3]);
        }),
        ("is there twice", |made| {
            tensor(made, 3, "bytes", "F32", &[0]);
        }),
    ]);
}

/// A folder cannot hold both, so that such a container can never be restored.
#[test]
fn a_name_that_is_that_of_a_file_and_a_folder_is_refused() {
    refuse(&[
        ("file", |made| {
            made.files.last_mut().unwrap().name = b"model/b".to_vec();
        }),
        ("file", |made| file(made).name = b"nested".to_vec()),
    ]);
}

#[test]
fn unknown_methods_are_refused() {
    let refused = |change: Change| {
        let mut made = sound();
        change(&mut made);
        match open(&made.bytes()) {
            Err(ContainerError::Method { name, version }) => (name, version),
            other => panic!("{other:?}"),
        }
    };
    let named = |name: &str| {
        let mut made = sound();
        made.methods[0].name = name.into();
        let found = open(&made.bytes()).map(|_| ());
        assert!(
            matches!(&found, Err(ContainerError::Method { .. })),
            "{name}: {found:?}"
        );
    };
    for name in [
        "",
        "zstd",
        "zstd_",
        "zstd_0",
        "zstd_01",
        "zstd_23",
        "ZSTD_1",
        "zstd_1 ",
        "xz_6",
        "a\nb",
        "zstd_99999999999999999999",
    ] {
        named(name);
    }
    assert_eq!(
        refused(|made| made.methods[1].name = b"exponent_dynamic".to_vec()),
        ("exponent_dynamic".to_owned(), 1)
    );
    for version in [0, 2, 255] {
        let mut made = sound();
        made.methods[0].version = version;
        let found = open(&made.bytes()).map(|_| ());
        assert!(
            matches!(&found, Err(ContainerError::Method { name, version: found }) if name == "zstd_1" && *found == version),
            "{found:?}"
        );
    }
    refuse(&[
        ("the number of one of the methods", |made| {
            segment(made, 0).method = 2;
        }),
        ("the number of one of the methods", |made| {
            segment(made, 0).method = u64::MAX;
        }),
        ("the number of one of the methods", |made| {
            made.methods.clear();
        }),
        // A method that does not take the type.
        ("of BF16, F16 or F32", |made| {
            segment(made, 1).method = SCALED;
        }),
        ("of BF16, F16 or F32", |made| {
            segment(made, 0).method = SCALED;
        }),
        ("0 or 1", |made| made.methods[0].profile = vec![2]),
        // What there is no method for needs no profile first.
        ("this program does not have", |made| {
            made.methods[0] = Method::named("zstd_x");
            made.methods[0].profile = [&[1][..], &[7; 32]].concat();
        }),
        ("needs a profile", |made| {
            made.methods[0].profile = [&[1][..], &[7; 32]].concat();
        }),
        ("profile", |made| {
            made.methods.push(Method::named(PROFILED));
        }),
    ]);
}

/// No method of version 1 has any.
#[test]
fn tables_are_refused() {
    for number in 0..4 {
        for tables in [&[0][..], &[1], b"tables"] {
            let mut made = sound();
            segment(&mut made, number).tables = tables.to_vec();
            let text = text(&open(&made.bytes()).unwrap_err());
            assert!(text.contains("follow the end"), "{number}: {text}");
        }
    }
}

/// A matrix of ones that has scales, as a coded chunk.
fn ones(columns: &[u8], rows: &[u8]) -> Vec<u8> {
    // Coded, with scales; one class, whose only symbol is 56; nothing beside, nothing escaped.
    let mut chunk = [&[2, 1], columns, rows, &[2, 8, 56, 0, 9, 0, 0, 0]].concat();
    // No signs and no lower bits: eight groups of 128 weights.
    chunk.extend([0; 8 * 80]);
    chunk.extend(certain());
    chunk
}

/// Symbols of which there is but one: no words, and the states of four lanes.
fn certain() -> Vec<u8> {
    let mut coded = vec![0];
    for _ in 0..4 {
        coded.extend((1u32 << 16).to_le_bytes());
    }
    coded
}

/// Scales that are all the same: the least, a table of one symbol, and that.
fn even_scales(least: &[u8]) -> Vec<u8> {
    [least, &[8, 0, 0, 9, 0], &certain()].concat()
}

fn restore_ones(chunk: &[u8]) -> Result<Vec<u8>, ContainerError> {
    let mut made = Handmade::new(0, &["exponent_mantissa_scaled"]);
    made.file("model", &[0x80, 0x3f].repeat(32 * 32));
    made.segment(Segment::tensor("ones", "BF16", &[32, 32]), &[chunk]);
    restore(&made.bytes()).map(|mut files| files.remove(0).1)
}

#[test]
fn damaged_scales_are_refused() {
    let zero = even_scales(&[0]);
    let sound = ones(&zero, &zero);
    let restored = restore_ones(&sound);
    assert!(restored.is_ok(), "{restored:?}");
    for length in 0..sound.len() {
        assert!(restore_ones(&sound[..length]).is_err(), "cut to {length}");
    }
    assert!(restore_ones(&[sound.as_slice(), &[0]].concat()).is_err());
    // The most and the least that a scale can be, with its opposite, and what is beyond.
    let (most, least) = (&[0xa0, 0x1f][..], &[0x9f, 0x1f][..]);
    assert!(restore_ones(&ones(&even_scales(most), &even_scales(least))).is_ok());
    assert!(restore_ones(&ones(&even_scales(least), &even_scales(most))).is_ok());
    let endless = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01];
    for beyond in [&[0xa2, 0x1f][..], &[0xa1, 0x1f], &endless, &[0x80, 0x00]] {
        let wrong = even_scales(beyond);
        for chunk in [ones(&wrong, &zero), ones(&zero, &wrong)] {
            let found = restore_ones(&chunk);
            assert!(
                matches!(found, Err(ContainerError::Chunk { .. })),
                "{beyond:?}: {found:?}"
            );
        }
    }
    // Together far beyond any exponent: it decodes to something, which has another digest.
    for far in [most, least] {
        let found = restore_ones(&ones(&even_scales(far), &even_scales(far)));
        assert!(
            matches!(found, Err(ContainerError::Digest { .. })),
            "{found:?}"
        );
    }
    for bit in 0..sound.len() * 8 {
        let mut damaged = sound.clone();
        damaged[bit / 8] ^= 1 << (bit % 8);
        // A quarter of an octave more changes the class of a weight, and there is but one here.
        if let Ok(found) = restore_ones(&damaged) {
            assert!(found == [0x80, 0x3f].repeat(32 * 32), "bit {bit}");
        }
    }
    // A vector has no scales of columns.
    let mut made = sound_vector(&[2, 1]);
    assert!(restore(&made.bytes()).is_err());
    made = sound_vector(&[1, 0x80, 0x3f]);
    assert!(restore(&made.bytes()).is_ok());
}

fn sound_vector(chunk: &[u8]) -> Handmade {
    let mut made = Handmade::new(0, &["exponent_mantissa_scaled"]);
    made.file("model", &[0x80, 0x3f].repeat(32 * 32));
    made.segment(Segment::tensor("ones", "BF16", &[32 * 32]), &[chunk]);
    made
}

#[test]
fn other_forms_are_refused() {
    refuse(&[
        ("form", |made| made.form = 2),
        ("number of files", |made| made.form = 0),
        ("number of files", |made| {
            made.form = 0;
            made.files.clear();
            made.chunks.clear();
        }),
        ("kind of a segment", |made| segment(made, 0).kind = 2),
        ("follow the end", |made| made.more.push(0)),
        ("no tensor is given another", |made| made.head[8] = 2),
        ("version 3", |made| made.head[8] = 3),
        ("version 0", |made| made.head[8] = 0),
        ("reserved", |made| made.head[11] = 1),
    ]);
}

#[test]
fn absurd_counts_are_refused() {
    let counts = [1 << 20, 1 << 40, u64::MAX >> 1, u64::MAX];
    let starts: [&[u8]; 4] = [
        // Of methods, of files, of segments, of axes.
        &[1],
        &[1, 0],
        &[
            1, 1, 6, b'z', b's', b't', b'd', b'_', b'1', 1, 0, 1, 1, b'a', 0,
        ],
        &[1, 0, 1, 1, b'a', 0],
    ];
    for (number, start) in starts.iter().enumerate() {
        for count in counts {
            let mut index = start.to_vec();
            if number >= 2 {
                index.extend([0; 32]);
            }
            if number == 3 {
                index.extend([1, 1, 1, b'w']);
                write_text(b"U8", &mut index);
            }
            write_varint(&mut index, count);
            for more in [0, 1, 100] {
                let index = [index.as_slice(), &vec![1; more]].concat();
                assert!(open(&seal(&head(), &index)).is_err(), "{number} {count}");
            }
        }
    }
    // Of texts and tables.
    for count in counts {
        let mut index = vec![1, 1];
        write_varint(&mut index, count);
        assert!(open(&seal(&head(), &index)).is_err());
        let mut made = sound();
        made.files.truncate(1);
        made.files[0].segments.clear();
        let mut index = made.index();
        // One segment instead of none, whose tables are long.
        *index.last_mut().unwrap() = 1;
        index.extend([0, 18, 0]);
        write_varint(&mut index, count);
        assert!(open(&seal(&head(), &index)).is_err());
    }
}

#[test]
fn numbers_that_are_longer_than_they_need_to_be_are_refused() {
    let mut made = Handmade::new(1, &[]);
    assert!(open(&made.bytes()).is_ok());
    made.form = 1;
    for overlong in [&[0x80, 0x00][..], &[0xff; 11], &[0x80; 300]] {
        assert!(open(&seal(&head(), &[&[1][..], overlong, &[0]].concat())).is_err());
        assert!(open(&seal(&head(), &[&[1, 0][..], overlong].concat())).is_err());
    }
}

#[test]
fn absurd_places_of_the_index_are_refused() {
    let sound = sound().bytes();
    let tail = sound.len() - 32;
    let at = u64::from_le_bytes(sound[tail..][..8].try_into().unwrap());
    let length = u64::from_le_bytes(sound[tail + 8..][..8].try_into().unwrap());
    for (changed_at, changed_length) in [
        (0, at + length),
        (15, at + length - 15),
        (at + 1, length),
        (at, length + 1),
        (at, length - 1),
        (u64::MAX, length),
        (at, u64::MAX),
        (u64::MAX, at + length + 1),
        (at.wrapping_sub(1 << 63), length.wrapping_add(1 << 63)),
        // These do end where the tail begins, but the checksum is that of other bytes.
        (at - 1, length + 1),
        (at + 1, length - 1),
        (16, at + length - 16),
        (at + length, 0),
    ] {
        let mut damaged = sound.clone();
        damaged[tail..][..8].copy_from_slice(&changed_at.to_le_bytes());
        damaged[tail + 8..][..8].copy_from_slice(&changed_length.to_le_bytes());
        assert!(open(&damaged).is_err(), "{changed_at} {changed_length}");
    }
    // Nothing is no index.
    assert!(open(&seal(&head(), &[])).is_err());
}

/// Restores one segment of zstd whose chunk is what it is.
fn chunk(bytes: u64, chunk: &[u8]) -> Result<Vec<u8>, ContainerError> {
    let mut made = Handmade::new(0, &["zstd_1"]);
    made.file("model", b"tensor");
    made.files[0].bytes = bytes;
    made.segment(Segment::bytes(bytes), &[chunk]);
    restore(&made.bytes()).map(|mut files| files.remove(0).1)
}

#[test]
fn chunks_that_are_none_are_refused() {
    assert_eq!(chunk(6, b"\0tensor").unwrap(), b"tensor");
    let frame = |content: &[u8]| {
        let (bytes, _) = write("zstd_1", Form::File, &one(content));
        let encoded = open(&bytes).unwrap().files()[0].segments[0].encoded_bytes();
        bytes[16..][..encoded as usize].to_vec()
    };
    let zeros = frame(&[0; 4000]);
    assert_eq!(zeros[0], 1, "a frame");
    for (bytes, damaged) in [
        (6, &b""[..]),
        (6, b"\0"),
        (6, b"\0tenso"),
        (6, b"\0tensors"),
        (6, b"\x02tensor"),
        (6, b"\x01tensor"),
        (6, b"\x01"),
        (3999, &zeros),
        (4001, &zeros),
        (4000, &zeros[..zeros.len() - 1]),
        (4000, &[zeros.as_slice(), &[0]].concat()),
        (4000, &[zeros.as_slice(), zeros.get(1..).unwrap()].concat()),
    ] {
        let found = chunk(bytes, damaged);
        assert!(
            matches!(found, Err(ContainerError::Chunk { .. })),
            "{bytes} {damaged:?}: {found:?}"
        );
    }
    // It decodes, but to something else than the digest says.
    for other in [&b"\0tensos"[..], &[1, 0, 0]] {
        let mut made = sound();
        made.chunks.clear();
        let segments = std::mem::take(&mut file(&mut made).segments);
        for (number, mut old) in segments.into_iter().enumerate() {
            old.chunks.clear();
            let chunks: &[&[u8]] = match number {
                0 => &[b"\0head"],
                1 if other.len() > 3 => &[other],
                1 => &[b"\0tensor"],
                2 if other.len() == 3 => &[other],
                2 => &[&[1, 0x80, 0x3f]],
                _ => &[],
            };
            made.files.swap(0, 1);
            made.segment(old, chunks);
            made.files.swap(0, 1);
        }
        let found = restore(&made.bytes());
        assert!(
            matches!(&found, Err(ContainerError::Digest { file, .. }) if file == "model"),
            "{found:?}"
        );
    }
}

/// Nothing that a chunk claims is written before it was checked, and nothing is written after a damaged one.
#[test]
fn nothing_is_restored_beyond_what_is_damaged() {
    let mut made = Handmade::new(0, &["zstd_1"]);
    let zeros = vec![0u8; 4 << 20];
    let (bytes, _) = write("zstd_1", Form::File, &one(&zeros));
    let encoded = open(&bytes).unwrap().files()[0].encoded();
    let frame = bytes[16..][..encoded as usize].to_vec();
    made.file("model", b"");
    made.files[0].bytes = 40 << 22;
    let mut chunks: Vec<&[u8]> = vec![&frame; 40];
    chunks[20] = b"";
    made.segment(Segment::bytes(40 << 22), &chunks);
    let bytes = made.bytes();
    let container = open(&bytes).unwrap();
    let mut out = Vec::new();
    let found = container.restore(&container.files()[0], &mut out, &crate::common::NEVER);
    let text = text(&found.unwrap_err());
    assert!(text.contains("chunk 20 of"), "{text}");
    assert!(out.len() <= 20 << 22);
}

/// Sums that tests ask for.
trait Encoded {
    fn encoded(&self) -> u64;
}

impl Encoded for llmcl_container::FileEntry {
    fn encoded(&self) -> u64 {
        self.segments
            .iter()
            .map(llmcl_container::Segment::encoded_bytes)
            .sum()
    }
}
