//! What is timed: all tensors, or a choice of them that a seed makes.

use std::borrow::Cow;

use llmcl_codecs::{Dtype, TensorView};

/// A tensor, or the beginning or a part of one, that is encoded on its own.
#[derive(Clone)]
pub(super) struct Item<'a> {
    name: &'a str,
    dtype: Dtype,
    shape: Cow<'a, [u64]>,
    data: &'a [u8],
}

impl<'a> Item<'a> {
    pub(super) fn of(view: &TensorView<'a>) -> Self {
        Self {
            name: view.name,
            dtype: view.dtype,
            shape: Cow::Borrowed(view.shape),
            data: view.data,
        }
    }

    pub(super) fn view(&self) -> TensorView<'_> {
        TensorView {
            name: self.name,
            dtype: self.dtype,
            shape: &self.shape,
            data: self.data,
        }
    }

    pub(super) fn name(&self) -> &'a str {
        self.name
    }

    pub(super) fn data(&self) -> &'a [u8] {
        self.data
    }

    pub(super) fn bytes(&self) -> u64 {
        self.data.len() as u64
    }

    /// Divides it into two: as many whole elements as fit into `bytes`, as a row, and the rest.
    fn split(&self, bytes: u64) -> (Self, Self) {
        let block = self.dtype.block();
        let (elements, step) = (u64::from(block.elements), u64::from(block.bytes));
        let steps = bytes.min(self.bytes()) / step;
        let at = usize::try_from(steps * step).unwrap_or(self.data.len());
        let (front, back) = self.data.split_at(at.min(self.data.len()));
        let row = |data: &'a [u8]| Self {
            shape: Cow::Owned(vec![data.len() as u64 / step * elements]),
            data,
            ..self.clone()
        };
        (row(front), row(back))
    }
}

/// Chooses items, in an order that the seed makes, until they have `bytes` bytes; the last one is cut to what is
/// left, at the end of an element. What was chosen is returned in its first order.
pub(super) fn choose<'a>(items: &[Item<'a>], bytes: u64, seed: u64) -> Vec<Item<'a>> {
    let mut order: Vec<usize> = (0..items.len()).collect();
    let mut random = Random(seed);
    // Fisher and Yates's shuffle.
    for end in (1..order.len()).rev() {
        order.swap(end, random.below(end as u64 + 1));
    }
    let mut chosen: Vec<(usize, Item<'a>)> = Vec::new();
    let mut left = bytes;
    for index in order {
        let Some(item) = items.get(index) else {
            continue;
        };
        let item = if item.bytes() <= left {
            item.clone()
        } else {
            item.split(left).0
        };
        left -= item.bytes();
        if item.bytes() > 0 {
            chosen.push((index, item));
        }
        if left == 0 {
            break;
        }
    }
    chosen.sort_by_key(|(index, _)| *index);
    chosen.into_iter().map(|(_, item)| item).collect()
}

/// Cuts items into pieces of at most `bytes` bytes.
pub(super) fn pieces<'a>(items: Vec<Item<'a>>, bytes: u64) -> Vec<Item<'a>> {
    let mut pieces = Vec::new();
    for mut item in items {
        while item.bytes() > bytes {
            let (front, back) = item.split(bytes);
            if front.bytes() == 0 {
                break;
            }
            pieces.push(front);
            item = back;
        }
        pieces.push(item);
    }
    pieces
}

/// SplitMix64 (Steele, Lea and Flood, *Fast splittable pseudorandom number generators*, OOPSLA 2014).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    /// A number below `limit`: the upper half of a product, whose bias is below 2^-32 for any list that fits memory.
    fn below(&mut self, limit: u64) -> usize {
        let product = u128::from(self.next()) * u128::from(limit);
        usize::try_from(product >> 64).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn items<'a>(data: &'a [Vec<u8>], shapes: &'a [Vec<u64>]) -> Vec<Item<'a>> {
        data.iter()
            .zip(shapes)
            .map(|(data, shape)| {
                Item::of(&TensorView {
                    name: "t",
                    dtype: Dtype::Bf16,
                    shape,
                    data,
                })
            })
            .collect()
    }

    #[test]
    fn the_generator_is_the_published_one() {
        let mut random = Random(1_234_567);
        let numbers: Vec<u64> = (0..3).map(|_| random.next()).collect();
        assert_eq!(
            numbers,
            [
                6_457_827_717_110_365_317,
                3_203_168_211_198_807_973,
                9_817_491_932_198_370_423
            ]
        );
    }

    #[test]
    fn a_sample_is_as_large_as_asked_for_and_made_by_its_seed() {
        let data: Vec<Vec<u8>> = (1..=20u8).map(|n| vec![n; 2 * usize::from(n)]).collect();
        let shapes: Vec<Vec<u64>> = (1..=20).map(|n| vec![n]).collect();
        let items = items(&data, &shapes);
        let sample = |bytes, seed| -> Vec<&[u8]> {
            choose(&items, bytes, seed).iter().map(Item::data).collect()
        };
        let size = |sample: &[&[u8]]| sample.iter().map(|data| data.len()).sum::<usize>();
        for seed in 0..50 {
            assert_eq!(size(&sample(100, seed)), 100, "{seed}");
            assert_eq!(
                size(&sample(101, seed)),
                100,
                "not in the middle of an element"
            );
            assert_eq!(sample(100, seed), sample(100, seed));
        }
        assert!((1..50).any(|seed| sample(100, seed) != sample(100, 0)));
        // Each tensor at most once, in the order of the set.
        let chosen = sample(400, 7);
        let first: Vec<u8> = chosen.iter().map(|data| data[0]).collect();
        assert!(first.is_sorted_by(|a, b| a < b), "{first:?}");
        assert_eq!(size(&sample(1 << 40, 3)), 420);
    }

    #[test]
    fn pieces_hold_whole_elements_and_miss_nothing() {
        let data = vec![(0..=255).collect::<Vec<u8>>(), vec![], vec![9; 10]];
        let shapes = vec![vec![16, 8], vec![0], vec![5]];
        let cut = pieces(items(&data, &shapes), 101);
        let sizes: Vec<usize> = cut.iter().map(|piece| piece.data().len()).collect();
        assert_eq!(sizes, [100, 100, 56, 0, 10]);
        for piece in &cut {
            let view = piece.view();
            assert_eq!(
                view.dtype.bytes_for(view.shape),
                Some(view.data.len() as u64)
            );
        }
        assert_eq!(cut[..3].iter().flat_map(|piece| piece.data()).count(), 256);
        assert_eq!(cut[0].view().shape, [50]);
        assert_eq!(cut[4].view().shape, [5], "what is not cut keeps its shape");
    }

    #[test]
    fn narrow_elements_are_cut_where_bytes_end() {
        let (data, shape) = (vec![0; 30], vec![40]);
        let item = Item::of(&TensorView {
            name: "t",
            dtype: Dtype::F6E2M3,
            shape: &shape,
            data: &data,
        });
        let (front, back) = item.split(10);
        assert_eq!((front.bytes(), front.view().shape), (9, &[12][..]));
        assert_eq!((back.bytes(), back.view().shape), (21, &[28][..]));
    }
}
