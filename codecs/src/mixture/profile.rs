//! The four tables: how they are learnt and written.
//!
//! # Written form
//!
//! | field | bytes |
//! | --- | --- |
//! | `QBK4` | 4 |
//! | version, 1 | 1 |
//! | per table: for each nibble the frequencies of those before it together, and 4096 | 17 times 4 |
//!
//! All numbers are little-endian. Every nibble has a frequency of one at least, as any may come.
//!
//! # Training
//!
//! Of more than 2^18 super-blocks every n-th is taken, with the least n that leaves no more. They are put in the order
//! of the sums of their nibbles and into four groups of equal number. Then, sixteen times, each group gets the table of
//! its nibbles, each counted once more than it occurs, and each super-block goes to the group whose table codes it
//! shortest, the first of equals. A group without super-blocks keeps its table, and begins with that of all.

use crate::bytes::ByteReader;
use crate::error::{DecodeError, ProfileProblem};
use crate::rans::{DecoderTable, EncoderTable, Frequencies, SCALE_BITS};
use crate::tensor::{Dtype, TensorView};

use super::{BLOCK_BYTES, HEADER_BYTES, NIBBLE_BYTES};

/// Tables of a profile.
const TABLES: usize = 4;
/// Values of a nibble.
const NIBBLES: usize = 16;
const MAGIC: [u8; 4] = *b"QBK4";
const PROFILE_VERSION: u8 = 1;

/// The most super-blocks that are learnt from, each of which takes 64 bytes.
const MOST_BLOCKS: usize = 1 << 18;
const ROUNDS: usize = 16;

/// How often each nibble occurs.
type Counts = [u32; NIBBLES];

/// The tables of a profile.
pub(crate) struct Mixture {
    tables: Vec<Frequencies>,
    costs: Vec<Counts>,
}

impl Mixture {
    /// The tables of the profile that a method was given.
    ///
    /// # Errors
    ///
    /// Where it was given none, or something else.
    pub(crate) fn of_profile(profile: Option<&[u8]>) -> Result<Mixture, ProfileProblem> {
        let profile = profile.ok_or(ProfileProblem::Missing)?;
        let tables = read(profile).map_err(|error| ProfileProblem::Unsound(error.to_string()))?;
        Ok(Mixture {
            costs: tables.iter().map(costs).collect(),
            tables,
        })
    }

    /// The number of the table that codes these nibbles shortest, the first of equals.
    pub(super) fn choose(&self, nibbles: &[u8; NIBBLE_BYTES]) -> u8 {
        cheapest(&self.costs, &count(nibbles)) as u8
    }

    pub(super) fn encoders(&self) -> Vec<EncoderTable> {
        self.tables.iter().map(EncoderTable::new).collect()
    }

    pub(super) fn decoder(&self) -> DecoderTable {
        DecoderTable::new(&self.tables)
    }
}

/// The profile of tensors. Those of other types than `Q4_K` do not count.
pub(crate) fn train(tensors: &[TensorView<'_>]) -> Vec<u8> {
    let mut blocks = counted_blocks(tensors);
    // Equal ones stay in their order.
    blocks.sort_by_key(|counts| -> u32 {
        counts
            .iter()
            .zip(0..)
            .map(|(count, nibble)| count * nibble)
            .sum()
    });
    let mut groups: Vec<usize> = (0..blocks.len())
        .map(|place| place * TABLES / blocks.len())
        .collect();
    let everything = blocks.iter().fold([0; NIBBLES], add);
    let mut tables: Vec<Frequencies> = (0..TABLES).filter_map(|_| fit(&everything)).collect();
    for _ in 0..ROUNDS {
        let mut sums = [[0; NIBBLES]; TABLES];
        for (counts, &group) in blocks.iter().zip(&groups) {
            if let Some(sum) = sums.get_mut(group) {
                *sum = add(*sum, counts);
            }
        }
        for (table, sum) in tables.iter_mut().zip(&sums) {
            let learnt = sum.iter().any(|&count| count > 0).then(|| fit(sum));
            if let Some(learnt) = learnt.flatten() {
                *table = learnt;
            }
        }
        let costs: Vec<_> = tables.iter().map(costs).collect();
        for (counts, group) in blocks.iter().zip(&mut groups) {
            *group = cheapest(&costs, counts);
        }
    }
    write(&tables)
}

/// The nibbles of super-blocks, or of evenly spaced ones if there are too many.
fn counted_blocks(tensors: &[TensorView<'_>]) -> Vec<Counts> {
    let of_type = || tensors.iter().filter(|tensor| tensor.dtype == Dtype::Q4K);
    let all: usize = of_type()
        .map(|tensor| tensor.data.len() / BLOCK_BYTES)
        .sum();
    let every = all.div_ceil(MOST_BLOCKS).max(1);
    of_type()
        .flat_map(|tensor| tensor.data.as_chunks::<BLOCK_BYTES>().0)
        .step_by(every)
        .map(|block| count(&block[HEADER_BYTES..]))
        .collect()
}

fn count(nibbles: &[u8]) -> Counts {
    let mut counts = [0; NIBBLES];
    for &byte in nibbles {
        counts[usize::from(byte & 15)] += 1;
        counts[usize::from(byte >> 4)] += 1;
    }
    counts
}

/// Adds counts; of the most super-blocks they stay below 2^26.
fn add(mut sum: Counts, counts: &Counts) -> Counts {
    for (sum, count) in sum.iter_mut().zip(counts) {
        *sum += count;
    }
    sum
}

/// The table of some counts, each taken for one more; always one.
fn fit(counts: &Counts) -> Option<Frequencies> {
    let mut all = [0; 256];
    for (slot, count) in all.iter_mut().zip(counts) {
        *slot = count + 1;
    }
    Frequencies::fit(&all)
}

/// What each nibble costs by a table, in bits times 65,536.
fn costs(table: &Frequencies) -> Counts {
    let scaled = table.scaled();
    let mut costs = [0; NIBBLES];
    for (cost, frequency) in costs.iter_mut().zip(scaled) {
        let bits = f64::from(SCALE_BITS) - libm::log2(f64::from(frequency.max(1)));
        *cost = libm::round(bits * 65_536.0) as u32;
    }
    costs
}

/// The table that codes nibbles shortest, the first of equals. There are 2^26 of them at most, of 12 bits.
fn cheapest(costs: &[Counts], counts: &Counts) -> usize {
    let bits = |costs: &Counts| -> u64 {
        let each = costs.iter().zip(counts);
        each.map(|(&cost, &count)| u64::from(cost) * u64::from(count))
            .sum()
    };
    let best = costs.iter().map(bits).zip(0..).min();
    best.map_or(0, |(_, place)| place)
}

fn write(tables: &[Frequencies]) -> Vec<u8> {
    let mut profile = MAGIC.to_vec();
    profile.push(PROFILE_VERSION);
    for table in tables {
        let mut sum = 0u32;
        profile.extend(sum.to_le_bytes());
        for frequency in table.scaled().iter().take(NIBBLES) {
            sum += frequency;
            profile.extend(sum.to_le_bytes());
        }
    }
    profile
}

fn read(profile: &[u8]) -> Result<Vec<Frequencies>, DecodeError> {
    let mut reader = ByteReader::new(profile);
    let refuse = |what, at, expected, found: u32| DecodeError::Field {
        what,
        at,
        expected,
        found: found.into(),
    };
    let magic = reader.array("head of a profile")?;
    if magic != MAGIC {
        let found = u32::from_le_bytes(magic);
        return Err(refuse("head of a profile", 0, "`QBK4`", found));
    }
    let version = reader.byte("version of a profile")?;
    if version != PROFILE_VERSION {
        return Err(refuse("version of a profile", 4, "1", version.into()));
    }
    let mut tables = Vec::with_capacity(TABLES);
    for _ in 0..TABLES {
        let at = reader.at();
        let refuse = |found| {
            let expected = "of sums that rise from 0 to 4096";
            refuse("frequency table", at, expected, found)
        };
        let mut before = u32::from_le_bytes(reader.array("frequency table")?);
        if before != 0 {
            return Err(refuse(before));
        }
        let mut frequencies = [0; 256];
        for frequency in frequencies.iter_mut().take(NIBBLES) {
            let sum = u32::from_le_bytes(reader.array("frequency table")?);
            let own = sum.checked_sub(before).filter(|&own| own > 0);
            *frequency = own.ok_or_else(|| refuse(sum))?;
            before = sum;
        }
        if before != 1 << SCALE_BITS {
            return Err(refuse(before));
        }
        // Counts that add up to the scale are the frequencies that are fitted to them.
        tables.push(Frequencies::fit(&frequencies).ok_or_else(|| refuse(before))?);
    }
    reader.finish()?;
    Ok(tables)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Super-blocks whose nibbles are these and up to three more, in turn.
    fn profile_of(nibbles: &[u8]) -> Vec<u8> {
        let blocks = nibbles.iter().cycle().take(50 * nibbles.len());
        let data: Vec<u8> = blocks
            .flat_map(|nibble| {
                (0..BLOCK_BYTES).map(move |at| {
                    let [low, high] = [at, at / 3].map(|at| (nibble + (at % 4) as u8).min(15));
                    low | high << 4
                })
            })
            .collect();
        train(&[TensorView {
            name: "tensor",
            dtype: Dtype::Q4K,
            shape: &[50, 256 * nibbles.len() as u64],
            data: &data,
        }])
    }

    #[test]
    fn four_kinds_of_super_blocks_get_a_table_each() {
        let profile = profile_of(&[4, 0, 12, 8, 0]);
        assert_eq!(profile.len(), 277);
        let tables = read(&profile).unwrap();
        let shares: Vec<u32> = tables
            .iter()
            .zip([0, 4, 8, 12])
            .map(|(table, first)| table.scaled()[first..first + 4].iter().sum())
            .collect();
        assert!(shares.iter().all(|&share| share > 4070), "{shares:?}");
    }

    #[test]
    fn the_cheapest_table_is_chosen() {
        let mixture = Mixture::of_profile(Some(&profile_of(&[4, 0, 12, 8]))).unwrap();
        let chosen = [0x11, 0x55, 0xab, 0xff].map(|byte| mixture.choose(&[byte; NIBBLE_BYTES]));
        assert_eq!(chosen, [0, 1, 2, 3]);
    }

    #[test]
    fn little_and_nothing_make_a_profile_too() {
        assert_eq!(read(&profile_of(&[7])).unwrap().len(), TABLES);
        let nothing = train(&[]);
        assert_eq!(read(&nothing).unwrap()[3].scaled()[..16], [256; 16]);
        // Of another type.
        let bytes = TensorView {
            name: "tensor",
            dtype: Dtype::U8,
            shape: &[144],
            data: &[7; 144],
        };
        assert_eq!(train(&[bytes]), nothing);
    }

    #[test]
    fn what_is_no_profile_is_refused() {
        let profile = profile_of(&[7, 3]);
        for length in 0..profile.len() {
            assert!(read(&profile[..length]).is_err());
        }
        // The head, and the highest byte of each number.
        for at in (0..5).chain((8..profile.len()).step_by(4)) {
            let mut changed = profile.clone();
            changed[at] = !changed[at];
            let problem = Mixture::of_profile(Some(&changed)).err();
            assert!(
                matches!(problem, Some(ProfileProblem::Unsound(_))),
                "byte {at}"
            );
        }
        assert_eq!(
            Mixture::of_profile(None).err(),
            Some(ProfileProblem::Missing)
        );
    }

    proptest! {
        #[test]
        fn hostile_profiles_are_refused_or_sound(
            changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4)
        ) {
            let mut profile = train(&[]);
            for (at, byte) in changes {
                let at = at.index(profile.len());
                profile[at] = byte;
            }
            if let Ok(tables) = read(&profile) {
                prop_assert!(tables.iter().all(|table| table.scaled()[..16].iter().all(|&f| f > 0)));
                prop_assert_eq!(write(&tables), profile);
            }
        }
    }
}
