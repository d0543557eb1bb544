//! "Did you mean …": the nearest of a list of names.

/// Returns the candidate nearest to `name`, if one is near enough to be what was meant.
///
/// Distance is the number of letters to insert, delete, replace or swap with their neighbour; a third of the
/// longer name's letters may differ. Ties go to the first candidate.
pub fn closest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    candidates
        .into_iter()
        .filter_map(|candidate| {
            let limit = name
                .chars()
                .count()
                .max(candidate.chars().count())
                .div_ceil(3);
            let distance = distance(name, candidate);
            (distance > 0 && distance <= limit).then_some((distance, candidate))
        })
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// The optimal string alignment distance.
fn distance(a: &str, b: &str) -> usize {
    let a: Vec<char> = a.chars().take(64).collect();
    let b: Vec<char> = b.chars().take(64).collect();
    let width = b.len() + 1;
    let mut rows = vec![0usize; (a.len() + 1) * width];
    for i in 0..=a.len() {
        for j in 0..=b.len() {
            rows[i * width + j] = if i == 0 || j == 0 {
                i + j
            } else {
                let replaced = usize::from(a[i - 1] != b[j - 1]);
                let mut least = (rows[(i - 1) * width + j] + 1)
                    .min(rows[i * width + j - 1] + 1)
                    .min(rows[(i - 1) * width + j - 1] + replaced);
                if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                    least = least.min(rows[(i - 2) * width + j - 2] + 1);
                }
                least
            };
        }
    }
    rows[a.len() * width + b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_names_are_found_and_far_ones_are_not() {
        assert_eq!(closest("laod", ["load", "lord", "x"]), Some("load"));
        assert_eq!(closest("zstd19", ["zstd_19", "xz_9"]), Some("zstd_19"));
        assert_eq!(closest("bench", ["verdict", "atlas"]), None);
        assert_eq!(closest("same", ["same"]), None);
        assert_eq!(closest("", ["a"]), Some("a"));
    }
}
