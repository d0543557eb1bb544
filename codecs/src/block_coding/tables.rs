//! The tables of a tensor: which classes share one, and the written form.
//!
//! # Written form
//!
//! As bits, lowest first, filled up with zeros to a whole byte: for each class of each axis but its first, whether it has
//! a table of its own; if not, it has that of the class before. Then, axis by axis, the tables, each after the one before
//! it on the axis; the first of an axis comes after the first of the axis before, if that is of as many classes
//! ([`Frequencies::write_after`]). Tables have frequencies of all 256 symbols, or of as many as an axis says.

use super::pass::{Counts, TableOf};
use super::{Axis, MOST_CLASSES};
use crate::bits::{BitReader, BitWriter};
use crate::bytes::ByteReader;
use crate::entropy::entropy_bits;
use crate::error::DecodeError;
use crate::rans::Frequencies;

/// Tables, and which class has which.
#[derive(Clone, Debug)]
pub(super) struct Tables {
    pub(super) of_class: Box<TableOf>,
    pub(super) frequencies: Vec<Frequencies>,
}

/// A table to be, and what it is for.
struct Shared {
    /// Of the symbols that the axis has.
    counts: Vec<u64>,
    /// Of itself, tables and code together.
    bits: f64,
    classes: usize,
}

impl Shared {
    fn of(counts: Vec<u64>, classes: usize) -> Shared {
        Shared {
            bits: bits(&counts),
            counts,
            classes,
        }
    }

    fn with(&self, other: &Shared) -> Shared {
        let mut counts = self.counts.clone();
        for (count, more) in counts.iter_mut().zip(&other.counts) {
            *count += more;
        }
        Shared::of(counts, self.classes + other.classes)
    }
}

/// What symbols take by a table of their own, with the table, about: an entropy, and for each symbol that occurs what
/// can be known of its frequency from as many counts, and how long that is.
fn bits(counts: &[u64]) -> f64 {
    let total: u64 = counts.iter().sum();
    if total == 0 {
        return 0.0;
    }
    let mut table = 3;
    for &count in counts.iter().filter(|&&count| count > 0) {
        table += 2 + (u64::BITS - count.leading_zeros()).div_ceil(2);
    }
    entropy_bits(counts) * total as f64 + f64::from(table)
}

impl Tables {
    /// Fits tables to counts: neighbours on an axis share one where that is shorter. Returns them and about how many
    /// bits they and the symbols take.
    pub(super) fn fit(axes: &[Axis], counts: &Counts) -> (Tables, f64) {
        let mut tables = Tables {
            of_class: Box::new([0; MOST_CLASSES]),
            frequencies: Vec::new(),
        };
        let mut all = 0.0;
        let mut slots = tables.of_class.iter_mut();
        let mut rest = counts.iter();
        for axis in axes {
            let own = rest.by_ref().take(axis.classes);
            let own = own.map(|counts| counts.get(..axis.symbols).unwrap_or(counts));
            let mut shared: Vec<Shared> =
                own.map(|counts| Shared::of(counts.to_vec(), 1)).collect();
            join_neighbours(&mut shared);
            for table in &shared {
                all += table.bits;
                for slot in slots.by_ref().take(table.classes) {
                    *slot = tables.frequencies.len() as u8;
                }
                tables.frequencies.extend(fit(&table.counts));
            }
        }
        (tables, all)
    }

    /// Appends the written form.
    pub(super) fn write(&self, axes: &[Axis], out: &mut Vec<u8>) {
        let mut bits = BitWriter::new(out);
        let mut rest = self.of_class.as_slice();
        let mut counts = Vec::new();
        for axis in axes {
            let (own, after) = rest.split_at(axis.classes.min(rest.len()));
            rest = after;
            let mut count = 1;
            for pair in own.windows(2) {
                let is_own = pair[0] != pair[1];
                bits.put(u32::from(is_own), 1);
                count += usize::from(is_own);
            }
            counts.push(count);
        }
        let mut tables = self.frequencies.iter();
        let mut first: Option<(Axis, &Frequencies)> = None;
        for (&axis, &count) in axes.iter().zip(&counts) {
            let mut before = first
                .filter(|(last, _)| *last == axis)
                .map(|(_, table)| table);
            for (place, table) in tables.by_ref().take(count).enumerate() {
                table.write_after(before, axis.symbols, &mut bits);
                before = Some(table);
                if place == 0 {
                    first = Some((axis, table));
                }
            }
        }
        bits.finish();
    }

    /// Takes the written form.
    ///
    /// # Errors
    ///
    /// [`DecodeError::Truncated`] where bytes are missing, [`DecodeError::Field`] where it is no such form.
    pub(super) fn read(axes: &[Axis], reader: &mut ByteReader<'_>) -> Result<Tables, DecodeError> {
        let at = reader.at();
        let mut bits = BitReader::new("tables");
        let mut of_class = Box::new([0; MOST_CLASSES]);
        let mut slots = of_class.iter_mut();
        let mut last = 0u8;
        let mut counts = Vec::new();
        for (number, axis) in axes.iter().enumerate() {
            let mut count = 1;
            for (place, slot) in slots.by_ref().take(axis.classes).enumerate() {
                let is_own = place > 0 && bits.take(reader, 1)? == 1;
                count += usize::from(is_own);
                last += u8::from(is_own || place == 0 && number > 0);
                *slot = last;
            }
            counts.push(count);
        }
        let mut frequencies: Vec<Frequencies> = Vec::new();
        let mut first = None;
        for (&axis, &count) in axes.iter().zip(&counts) {
            let of_last = first
                .filter(|(last, _)| *last == axis)
                .map(|(_, place)| place);
            first = Some((axis, frequencies.len()));
            for place in 0..count {
                let before = match place {
                    0 => of_last.and_then(|place: usize| frequencies.get(place)),
                    _ => frequencies.last(),
                };
                let next = Frequencies::read_after(before, axis.symbols, reader, &mut bits)?;
                frequencies.push(next);
            }
        }
        if bits.rest() != 0 {
            return Err(DecodeError::Field {
                what: "tables",
                at,
                expected: "filled up with zero bits",
                found: bits.rest().into(),
            });
        }
        Ok(Tables {
            of_class,
            frequencies,
        })
    }
}

/// Joins the two neighbours that gain the most by it, as long as any do.
fn join_neighbours(shared: &mut Vec<Shared>) {
    let join = |pair: &[Shared]| match pair {
        [left, right] => left.with(right),
        _ => Shared::of(Vec::new(), 0),
    };
    let mut joined: Vec<Shared> = shared.windows(2).map(join).collect();
    loop {
        let gains = joined.iter().zip(shared.windows(2)).map(|(both, pair)| {
            let each: f64 = pair.iter().map(|table| table.bits).sum();
            each - both.bits
        });
        let best = gains
            .enumerate()
            .reduce(|best, next| match next.1 > best.1 {
                true => next,
                false => best,
            });
        // What nothing was counted for has no bits, and gives way too.
        let Some((place, _)) = best.filter(|(_, gain)| *gain >= 0.0) else {
            return;
        };
        shared.remove(place);
        if let Some(slot) = shared.get_mut(place) {
            *slot = joined.remove(place);
        }
        for place in [place.wrapping_sub(1), place] {
            let pair = shared.get(place..place.wrapping_add(2));
            if let (Some(slot), Some(pair)) = (joined.get_mut(place), pair) {
                *slot = join(pair);
            }
        }
    }
}

/// Frequencies of counts, which may be too many for `u32`; of none, as if symbol 0 had been counted.
fn fit(counts: &[u64]) -> Option<Frequencies> {
    let most = counts.iter().copied().max().unwrap_or(0);
    // Their sum must be far below 2^32 too.
    let shift = (u64::BITS - most.leading_zeros()).saturating_sub(22);
    let mut small = [0; 256];
    for (small, &count) in small.iter_mut().zip(counts) {
        *small = (count >> shift) as u32 + u32::from(count > 0 && shift > 0);
    }
    if most == 0 {
        small[0] = 1;
    }
    Frequencies::fit_short(&small)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn axes_of(classes: &[usize]) -> Vec<Axis> {
        let axis = |&classes| Axis {
            classes,
            symbols: 30,
        };
        classes.iter().map(axis).collect()
    }

    fn written(axes: &[Axis], tables: &Tables) -> Vec<u8> {
        let mut bytes = Vec::new();
        tables.write(axes, &mut bytes);
        bytes
    }

    fn counts_of(classes: &[&[u64]]) -> Counts {
        classes
            .iter()
            .map(|counts| std::array::from_fn(|symbol| counts.get(symbol).copied().unwrap_or(0)))
            .collect()
    }

    #[test]
    fn neighbours_that_are_alike_share_a_table() {
        let alike: &[u64] = &[5_000, 1_000, 1_000];
        let other: &[u64] = &[1_000, 1_000, 5_000];
        let axes = axes_of(&[4, 2]);
        let counts = counts_of(&[alike, &[], alike, other, other, &[1, 1, 5]]);
        let (tables, _) = Tables::fit(&axes, &counts);
        // The first class of an axis has a table of its own, alike or not.
        assert_eq!(tables.of_class[..6], [0, 0, 0, 1, 2, 2]);
        assert_eq!(tables.frequencies.len(), 3);
        let bytes = written(&axes, &tables);
        let mut reader = ByteReader::new(&bytes);
        let read = Tables::read(&axes, &mut reader).unwrap();
        reader.finish().unwrap();
        assert_eq!(read.of_class, tables.of_class);
        assert_eq!(read.frequencies, tables.frequencies);
        for cut in 0..bytes.len() {
            assert!(Tables::read(&axes, &mut ByteReader::new(&bytes[..cut])).is_err());
        }
    }

    #[test]
    fn nothing_at_all_has_tables() {
        let (tables, bits) = Tables::fit(&axes_of(&[3, 1]), &counts_of(&[&[], &[], &[], &[]]));
        assert_eq!(tables.frequencies.len(), 2);
        assert_eq!(bits, 0.0);
    }

    #[test]
    fn more_symbols_than_32_bits_can_count() {
        let counts = counts_of(&[&[1 << 40, 1, 3 << 40]]);
        let (tables, _) = Tables::fit(&axes_of(&[1]), &counts);
        let scaled = tables.frequencies[0].scaled();
        assert_eq!(scaled.iter().sum::<u32>(), 4096);
        assert!(scaled[1] > 0 && scaled[2] > 2 * scaled[0]);
    }

    proptest! {
        #[test]
        fn tables_come_back(
            axes in prop::collection::vec(1usize..9, 1..6),
            seed in prop::collection::vec(0u64..2000, 64),
        ) {
            let classes: usize = axes.iter().sum();
            let axes = axes_of(&axes);
            let counts: Counts = (0..classes)
                .map(|class| std::array::from_fn(|symbol| {
                    let at = class * 7 + symbol;
                    if symbol < 20 { seed[at % 64].saturating_sub(700) } else { 0 }
                }))
                .collect();
            let (tables, _) = Tables::fit(&axes, &counts);
            for (class, counts) in counts.iter().enumerate() {
                let scaled = tables.frequencies[usize::from(tables.of_class[class])].scaled();
                for (count, frequency) in counts.iter().zip(scaled) {
                    prop_assert!(*count == 0 || frequency > 0);
                }
            }
            let bytes = written(&axes, &tables);
            let read = Tables::read(&axes, &mut ByteReader::new(&bytes)).unwrap();
            prop_assert_eq!(&read.of_class, &tables.of_class);
            prop_assert_eq!(&read.frequencies, &tables.frequencies);
        }

        #[test]
        fn hostile_tables_do_not_panic(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
            let _ = Tables::read(&axes_of(&[3, 4, 200]), &mut ByteReader::new(&bytes));
        }
    }
}
