//! What the stretches of a file are, and how they are written down.

use crate::bytes::{ByteReader, write_varint};
use crate::error::DecodeError;
use crate::formats::gguf::{self, Gguf, Part};
use crate::mixture::BLOCK_BYTES;
use crate::tensor::{Dtype, TensorView};

/// The most tensors, and the most entries of metadata, of a file that is parted. What describes a model of hundreds of
/// layers is a tenth of it; without a bound, a file could be all descriptions, which take more memory than they are
/// long.
const MOST_DESCRIBED: u64 = 1 << 14;
/// Where a GGUF file says how many there are.
const COUNTS: std::ops::Range<usize> = 8..24;

/// What a stretch is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Whatever is no tensor.
    Meta,
    /// Tensors of `Q4_K`.
    Q4K,
    /// Tensors of other types.
    Other,
    /// Tensors of `F32`.
    F32,
}

/// Bytes of each kind, in their order.
pub(super) type KindBytes = [u64; 4];

impl Kind {
    const ALL: [Kind; 4] = [Kind::Meta, Kind::Q4K, Kind::Other, Kind::F32];

    fn of(part: Part, file: &Gguf<'_>) -> Kind {
        let Part::Tensor(place) = part else {
            return Kind::Meta;
        };
        match file.tensors.get(place).and_then(|tensor| tensor.dtype) {
            Some(Dtype::Q4K) => Kind::Q4K,
            Some(Dtype::F32) => Kind::F32,
            _ => Kind::Other,
        }
    }

    /// Bytes of this kind.
    pub(super) fn bytes(self, all: &KindBytes) -> u64 {
        all.get(self as usize).copied().unwrap_or_default()
    }
}

/// Bytes of a file that are of one kind.
#[derive(Clone, Copy)]
pub(super) struct Piece<'a> {
    pub(super) kind: Kind,
    pub(super) data: &'a [u8],
}

/// The pieces of files, in order, none of them empty.
pub(super) fn pieces<'a>(files: &[TensorView<'a>]) -> Vec<Piece<'a>> {
    let mut pieces = Vec::new();
    for file in files.iter().map(|file| file.data) {
        match pieces_of(file) {
            Some(mut own) => pieces.append(&mut own),
            None if file.is_empty() => {}
            None => pieces.push(Piece {
                kind: Kind::Meta,
                data: file,
            }),
        }
    }
    pieces
}

/// The pieces of a file, if it is a sound GGUF file.
fn pieces_of(file: &[u8]) -> Option<Vec<Piece<'_>>> {
    let counts = file.get(COUNTS)?.as_chunks().0;
    let is_small = |count: &[u8; 8]| u64::from_le_bytes(*count) <= MOST_DESCRIBED;
    if !gguf::looks_like(file) || !counts.iter().all(is_small) {
        return None;
    }
    let found = gguf::read(file).ok()?;
    let sections = found.sections();
    let pieces = sections.map(|section| {
        let range = section.range.start as usize..section.range.end as usize;
        Some(Piece {
            kind: Kind::of(section.part, &found),
            data: file.get(range)?,
        })
    });
    pieces.collect()
}

/// What is written of pieces before their streams.
pub(super) struct Contents {
    pub(super) recipe: Vec<u8>,
    pub(super) bytes: KindBytes,
}

/// Writes the recipe of pieces.
pub(super) fn write(pieces: &[Piece<'_>]) -> Contents {
    let (mut recipe, mut bytes) = (Vec::new(), KindBytes::default());
    let stretches = || pieces.chunk_by(|one, next| one.kind == next.kind);
    write_varint(&mut recipe, stretches().count() as u64);
    for stretch in stretches() {
        let length: u64 = stretch.iter().map(|piece| piece.data.len() as u64).sum();
        let Some(kind) = stretch.first().map(|piece| piece.kind) else {
            continue;
        };
        recipe.push(kind as u8);
        write_varint(&mut recipe, length);
        if let Some(sum) = bytes.get_mut(kind as usize) {
            *sum += length;
        }
    }
    Contents { recipe, bytes }
}

/// A recipe that was read.
#[derive(Clone, Copy)]
pub(super) struct Recipe<'a> {
    /// Where its stretches begin.
    reader: ByteReader<'a>,
    count: u64,
    /// What they add up to.
    pub(super) bytes: KindBytes,
}

impl<'a> Recipe<'a> {
    /// Takes a recipe. Nothing is kept of it but where it is, so that its length is none of memory.
    ///
    /// # Errors
    ///
    /// Where bytes are missing, or it is not what [`write`] writes.
    pub(super) fn read(reader: &mut ByteReader<'a>) -> Result<Recipe<'a>, DecodeError> {
        let count = reader.varint("number of stretches")?;
        let mut recipe = Recipe {
            reader: *reader,
            count,
            bytes: KindBytes::default(),
        };
        let mut before = None;
        for _ in 0..count {
            let at = reader.at();
            let (kind, length) = read_stretch(reader)?;
            let refuse = |what, expected, found| DecodeError::Field {
                what,
                at,
                expected,
                found,
            };
            if before == Some(kind) {
                let found = kind as u64;
                return Err(refuse("kind of a stretch", "another than before", found));
            }
            let is_whole = kind != Kind::Q4K || length.is_multiple_of(BLOCK_BYTES as u64);
            if length == 0 || !is_whole {
                let expected = "some bytes, of Q4_K whole super-blocks";
                return Err(refuse("bytes of a stretch", expected, length));
            }
            let sums = recipe.bytes.iter().sum::<u64>().checked_add(length);
            if sums.is_none() {
                let expected = "less than 2^64 with those before";
                return Err(refuse("bytes of a stretch", expected, length));
            }
            if let Some(sum) = recipe.bytes.get_mut(kind as usize) {
                *sum += length;
            }
            before = Some(kind);
        }
        Ok(recipe)
    }

    /// The stretches, each with its bytes.
    pub(super) fn stretches(&self) -> impl Iterator<Item = (Kind, u64)> {
        let mut reader = self.reader;
        // They were read before.
        (0..self.count).map_while(move |_| read_stretch(&mut reader).ok())
    }
}

fn read_stretch(reader: &mut ByteReader<'_>) -> Result<(Kind, u64), DecodeError> {
    let at = reader.at();
    let found = reader.byte("kind of a stretch")?;
    let kind = Kind::ALL.get(usize::from(found)).copied();
    let kind = kind.ok_or(DecodeError::Field {
        what: "kind of a stretch",
        at,
        expected: "0 to 3",
        found: found.into(),
    })?;
    Ok((kind, reader.varint("bytes of a stretch")?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(bytes: &[u8]) -> Result<Vec<(Kind, u64)>, DecodeError> {
        let mut reader = ByteReader::new(bytes);
        let recipe = Recipe::read(&mut reader)?;
        reader.finish()?;
        Ok(recipe.stretches().collect())
    }

    #[test]
    fn neighbours_of_a_kind_are_one_stretch() {
        let piece = |kind, data| Piece { kind, data };
        let pieces = [
            piece(Kind::Meta, &[0; 5][..]),
            piece(Kind::F32, &[0; 8]),
            piece(Kind::F32, &[0; 12]),
            piece(Kind::Q4K, &[0; 288]),
            piece(Kind::Meta, &[0; 1]),
        ];
        let written = write(&pieces);
        assert_eq!(written.recipe, [4, 0, 5, 3, 20, 1, 0xa0, 2, 0, 1]);
        assert_eq!(written.bytes, [6, 288, 0, 20]);
        let expected = [
            (Kind::Meta, 5),
            (Kind::F32, 20),
            (Kind::Q4K, 288),
            (Kind::Meta, 1),
        ];
        assert_eq!(read(&written.recipe).unwrap(), expected);
        assert_eq!(write(&[]).recipe, [0]);
    }

    #[test]
    fn what_is_no_recipe_is_refused() {
        let long = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1];
        let more_than_all = [&[2, 0][..], &long, &[2], &long].concat();
        for bytes in [
            &[][..],
            &[1],
            &[1, 0],
            &[1, 0, 0],
            &[1, 4, 1],
            &[1, 1, 143, 1],
            &[2, 0, 1, 0, 1],
            &more_than_all,
            &long,
        ] {
            assert!(read(bytes).is_err(), "{bytes:?}");
        }
        assert!(read(&[&[1, 0][..], &long].concat()).is_ok());
    }

    #[test]
    fn what_is_no_sound_file_is_one_piece() {
        let mut many = b"GGUF\x03\0\0\0".to_vec();
        many.extend([0; 16]);
        let view = |data| TensorView {
            name: "file",
            dtype: Dtype::U8,
            shape: &[],
            data,
        };
        let kinds = |data| -> Vec<(Kind, usize)> {
            pieces(&[view(data)])
                .iter()
                .map(|piece| (piece.kind, piece.data.len()))
                .collect()
        };
        assert_eq!(kinds(&many), [(Kind::Meta, 24)]);
        // More tensors than are looked for, and no end of the file.
        let large = [&many[..10], &[1], &many[11..]].concat();
        for data in [&large[..], &many[..20], b"GGUF", b"GG"] {
            assert_eq!(kinds(data), [(Kind::Meta, data.len())]);
        }
        assert_eq!(kinds(&[]), []);
    }

    proptest! {
        #[test]
        fn hostile_recipes_are_refused_or_sound(bytes in prop::collection::vec(0u8..6, 0..30)) {
            if let Ok(stretches) = read(&bytes) {
                prop_assert_eq!(stretches.len(), usize::from(bytes[0]));
                prop_assert!(stretches.iter().all(|(_, bytes)| *bytes > 0));
            }
        }
    }
}
