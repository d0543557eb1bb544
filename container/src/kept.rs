//! Chunks of tensors that others are given, kept until the last of them is decoded, so that none is decoded twice.

use std::collections::HashMap;
use std::sync::Arc;

use crate::index::Segment;

/// The most bytes that are kept; what is beyond is decoded again. An embedding that is the output as well is of a small
/// model, whose embeddings are smaller than this.
const MOST_BYTES: usize = 256 << 20;

/// Decoded chunks, by their segments and numbers.
#[derive(Debug, Default)]
pub(crate) struct Kept {
    chunks: HashMap<(usize, usize), Arc<Vec<u8>>>,
    bytes: usize,
    /// Of each segment that others are given, the last segment in the file that needs it: one of those, or itself.
    last_use: HashMap<usize, usize>,
}

impl Kept {
    /// Keeps nothing yet of the segments of a file.
    pub(crate) fn of(segments: &[Segment]) -> Kept {
        let pairs = segments.iter().enumerate();
        Kept::of_pairs(pairs.filter_map(|(place, segment)| Some((segment.given?, place))))
    }

    fn of_pairs(pairs: impl Iterator<Item = (usize, usize)>) -> Kept {
        let mut kept = Kept::default();
        for (given, place) in pairs {
            let last = kept.last_use.entry(given).or_insert(given);
            *last = place.max(*last);
        }
        kept
    }

    /// Keeps a chunk of a segment that was decoded for segment `by`, if a later one needs it and there is room.
    pub(crate) fn add(&mut self, segment: usize, by: usize, number: usize, chunk: &Arc<Vec<u8>>) {
        let is_needed = self.last_use.get(&segment).is_some_and(|&last| last > by);
        if is_needed && self.bytes + chunk.len() <= MOST_BYTES {
            let before = self.chunks.insert((segment, number), Arc::clone(chunk));
            self.bytes += chunk.len();
            self.bytes -= before.map_or(0, |before| before.len());
        }
    }

    /// A chunk of a segment, for segment `by`. If no later one needs it, it is kept no longer.
    pub(crate) fn find(
        &mut self,
        segment: usize,
        by: usize,
        number: usize,
    ) -> Option<Arc<Vec<u8>>> {
        if self.last_use.get(&segment).is_some_and(|&last| last > by) {
            return self.chunks.get(&(segment, number)).cloned();
        }
        let chunk = self.chunks.remove(&(segment, number))?;
        self.bytes -= chunk.len();
        Some(chunk)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chunk(bytes: usize) -> Arc<Vec<u8>> {
        Arc::new(vec![0; bytes])
    }

    #[test]
    fn chunks_are_kept_until_the_last_that_needs_them() {
        // 1 is given to 3 and 4; 5 to 2, which comes before it.
        let mut kept = Kept::of_pairs([(5, 2), (1, 3), (1, 4)].into_iter());
        // Nobody is given 0.
        kept.add(0, 0, 0, &chunk(10));
        assert!(kept.find(0, 3, 0).is_none());
        kept.add(1, 1, 7, &chunk(10));
        assert!(kept.find(1, 3, 6).is_none());
        assert!(kept.find(1, 3, 7).is_some());
        assert!(kept.find(1, 4, 7).is_some());
        assert!(kept.find(1, 4, 7).is_none());
        kept.add(5, 2, 0, &chunk(10));
        assert!(kept.find(5, 5, 0).is_some());
        // It is the last that needs itself.
        kept.add(5, 5, 0, &chunk(10));
        assert!(kept.find(5, 5, 0).is_none());
        assert_eq!(kept.bytes, 0);
    }

    #[test]
    fn no_more_is_kept_than_may_be() {
        let mut kept = Kept::of_pairs([(0, 1)].into_iter());
        kept.add(0, 0, 0, &chunk(MOST_BYTES - 10));
        kept.add(0, 0, 1, &chunk(11));
        assert!(kept.find(0, 1, 1).is_none());
        kept.add(0, 0, 2, &chunk(10));
        assert!(kept.find(0, 1, 2).is_some());
        // The same again takes no more room.
        kept.add(0, 0, 0, &chunk(9));
        kept.add(0, 0, 3, &chunk(20));
        assert!(kept.find(0, 1, 3).is_some());
    }
}
