//! Intervals of a statistic by a percentile bootstrap over clusters of rows.
//!
//! The tensors of one model are not independent, so models are drawn, not tensors: a resample draws as many
//! clusters as there are, with replacement, and takes all the rows of each (B. Efron and R. Tibshirani, "An
//! introduction to the bootstrap", 1993, §8 and §13). The interval runs between two quantiles of the statistic over
//! the resamples.
//!
//! Random numbers are those of SplitMix64 (G. Steele, D. Lea, C. Flood, "Fast splittable pseudorandom number
//! generators", 2014). Each statistic of each group begins anew from the seed. So an interval depends on the rows of
//! its group, their order and the seed, and on nothing else: not on other groups, other statistics, or threads.

use super::key::groups;
use super::{Table, TableError};
use crate::expr::float_quantile;
use crate::value::Value;

/// How to find intervals.
#[derive(Debug, Clone, PartialEq)]
pub struct Bootstrap {
    /// The column whose values are the clusters.
    pub cluster: String,
    /// How many resamples to draw.
    pub resamples: u32,
    /// The seed.
    pub seed: u64,
    /// The share of the resamples that lie inside of the interval, such as 0.95.
    pub level: f64,
    /// With fewer clusters there is no interval.
    pub min_clusters: usize,
}

impl Bootstrap {
    pub(super) fn check(&self) -> Result<(), TableError> {
        if self.resamples > 0 && self.level > 0.0 && self.level < 1.0 {
            Ok(())
        } else {
            Err(TableError::BadBootstrap)
        }
    }
}

/// Why there is no interval.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Withheld {
    /// So few clusters tell nothing of others.
    TooFew(usize),
    /// The statistic has no value for a resample, such as when a filter lets none of its rows through; intervals over
    /// the other resamples would be too narrow.
    NoValue,
}

impl Withheld {
    /// Says so, for a cell of a table.
    pub(super) fn note(self, bootstrap: &Bootstrap, statistic: &str) -> String {
        match self {
            Withheld::TooFew(found) => format!(
                "no intervals: {found} of at least {} different `{}`",
                bootstrap.min_clusters, bootstrap.cluster
            ),
            Withheld::NoValue => {
                format!("no interval of `{statistic}`: it has no value for a resample")
            }
        }
    }
}

/// Finds the interval of a statistic over some rows; `statistic` is given places in `rows`.
pub(super) fn interval(
    table: &Table,
    rows: &[usize],
    cluster: &[usize],
    bootstrap: &Bootstrap,
    statistic: impl Fn(&[usize]) -> Option<f64>,
) -> Result<(Value, Value), Withheld> {
    // Rows are in order, so the place of each is found by bisection.
    let clusters: Vec<Vec<usize>> = groups(table, rows.iter().copied(), cluster)
        .into_iter()
        .map(|cluster| {
            cluster
                .into_iter()
                .filter_map(|row| rows.binary_search(&row).ok())
                .collect()
        })
        .collect();
    if clusters.is_empty() || clusters.len() < bootstrap.min_clusters {
        return Err(Withheld::TooFew(clusters.len()));
    }
    let mut random = SplitMix64(bootstrap.seed);
    let mut drawn = Vec::new();
    let mut values = Vec::new();
    for _ in 0..bootstrap.resamples {
        drawn.clear();
        for _ in 0..clusters.len() {
            drawn.extend_from_slice(&clusters[random.below(clusters.len())]);
        }
        values.push(statistic(&drawn).ok_or(Withheld::NoValue)?);
    }
    let outside = (1.0 - bootstrap.level) / 2.0;
    let mut end = |at| {
        float_quantile(&mut values, at)
            .and_then(Value::float)
            .ok_or(Withheld::NoValue)
    };
    Ok((end(outside)?, end(1.0 - outside)?))
}

/// The generator SplitMix64.
struct SplitMix64(u64);

impl SplitMix64 {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Draws a number below `limit`. Some come up more often than others by one in 2^64 / `limit`, which no table
    /// is large enough to show.
    #[expect(
        clippy::cast_possible_truncation,
        reason = "the product's upper half is below `limit`"
    )]
    fn below(&mut self, limit: usize) -> usize {
        ((u128::from(self.next()) * limit as u128) >> 64) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The first numbers of the reference implementation, <https://prng.di.unimi.it/splitmix64.c>.
    #[test]
    fn numbers_of_the_reference() {
        let mut random = SplitMix64(1_234_567);
        assert_eq!(
            [(); 3].map(|()| random.next()),
            [
                6_457_827_717_110_365_317,
                3_203_168_211_198_807_973,
                9_817_491_932_198_370_423
            ]
        );
    }

    #[test]
    fn draws_are_below_the_limit_and_reach_all() {
        let mut random = SplitMix64(0);
        let mut counts = [0; 7];
        for _ in 0..7000 {
            counts[random.below(7)] += 1;
        }
        assert!(
            counts.iter().all(|count| (850..1150).contains(count)),
            "{counts:?}"
        );
    }
}
