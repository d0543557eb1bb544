//! From counts of symbols to bits.

use libm::{exp2, lgamma, log1p, log2};

/// The plug-in entropy of `counts`, in bits a symbol: −Σ (c/n)·log2(c/n), which is zero where there is no symbol or
/// one only.
///
/// It is the least that any code with one fixed length a symbol can reach if it knows the counts beforehand and their
/// description costs nothing, so it flatters short sequences. Terms are added in the order of the counts.
///
/// # Examples
///
/// ```
/// use llmcl_codecs::entropy::entropy_bits;
///
/// assert_eq!(entropy_bits(&[1, 1, 2]), 1.5);
/// assert_eq!(entropy_bits(&[0, 7]), 0.0);
/// ```
pub fn entropy_bits(counts: &[u64]) -> f64 {
    let total: u64 = counts.iter().sum();
    let total = total as f64;
    let mut bits = 0.0;
    for &count in counts.iter().filter(|&&count| count > 0) {
        let share = count as f64 / total;
        bits -= share * log2(share);
    }
    // The sum of a single term is -0.0.
    bits + 0.0
}

/// The length in bits, for the whole sequence, of a sequential code that a decoder can follow without knowing the
/// counts, and that depends on the counts only and not on the order of the symbols.
///
/// A symbol is coded bit by bit, the highest first, in the binary tree of its bits (2^d leaves for `counts`, which is
/// filled up with symbols that do not occur). A node that `n` symbols pass, `a` to the left and `b` to the right, has
/// the probability
///
/// P(node) = ½·2^(−n·h) + ½·KT(a, b)·P(left)·P(right), P(leaf) = 1,
///
/// where h is the height of the node above the leaves, so that half of the belief is that the remaining bits are noise,
/// and KT(a, b) = Γ(a+½)·Γ(b+½) / (π·Γ(n+1)) is the Krichevsky–Trofimov estimator (*The performance of universal
/// encoding*, IEEE Trans. Inf. Theory 27, 1981). The weighting is that of Willems, Shtarkov and Tjalkens (*The
/// context-tree weighting method*, IEEE Trans. Inf. Theory 41, 1995). The result is −log2 P(root). Every factor is a
/// proper sequential probability, so an arithmetic coder reaches the length to within two bits.
///
/// The code is never shorter than the plug-in entropy of the sequence and never longer than d bits a symbol and one
/// more bit in all. It learns sparse alphabets at little cost, since a branch that nobody takes costs ½·log2 n bits or
/// so, once.
pub fn code_length_bits(counts: &[u64]) -> f64 {
    let mut level: Vec<Node> = counts
        .iter()
        .map(|&count| Node { count, bits: 0.0 })
        .collect();
    let mut height = 0u32;
    while level.len() > 1 {
        height += 1;
        level = level
            .chunks(2)
            .map(|pair| match pair {
                [left, right] => Node::above(*left, *right, height),
                [left] => Node::above(*left, Node::EMPTY, height),
                _ => Node::EMPTY,
            })
            .collect();
    }
    level.first().map_or(0.0, |root| root.bits)
}

/// The length in bits of a binary sequence of `a` zeros and `b` ones under the Krichevsky–Trofimov estimator:
/// −log2 of Γ(a+½)·Γ(b+½) / (π·Γ(a+b+1)).
pub fn kt_bits(a: u64, b: u64) -> f64 {
    // Exact where there is nothing to code, which the difference of logarithms would miss by an epsilon.
    if a == 0 && b == 0 {
        return 0.0;
    }
    const LN_PI: f64 = 1.144_729_885_849_400_2;
    let (a, b) = (a as f64, b as f64);
    let nats = lgamma(a + b + 1.0) + LN_PI - lgamma(a + 0.5) - lgamma(b + 0.5);
    nats * std::f64::consts::LOG2_E
}

/// A node of the tree: how many symbols pass, and −log2 of their probability below it.
#[derive(Clone, Copy)]
struct Node {
    count: u64,
    bits: f64,
}

impl Node {
    const EMPTY: Node = Node {
        count: 0,
        bits: 0.0,
    };

    /// The node over two others, `height` bits above the leaves.
    fn above(left: Node, right: Node, height: u32) -> Node {
        let count = left.count + right.count;
        if count == 0 {
            return Node::EMPTY;
        }
        let noise = count as f64 * f64::from(height);
        let modelled = kt_bits(left.count, right.count) + left.bits + right.bits;
        Node {
            count,
            bits: mixed_bits(noise, modelled),
        }
    }
}

/// −log2(½·2^−a + ½·2^−b).
fn mixed_bits(a: f64, b: f64) -> f64 {
    let (short, long) = if a < b { (a, b) } else { (b, a) };
    short + 1.0 - log1p(exp2(short - long)) * std::f64::consts::LOG2_E
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn close(a: f64, b: f64) {
        assert!((a - b).abs() < 1e-12, "{a} is not {b}");
    }

    #[test]
    fn entropies_by_hand() {
        close(entropy_bits(&[]), 0.0);
        close(entropy_bits(&[0, 0]), 0.0);
        assert!(entropy_bits(&[0, 5, 0]).is_sign_positive());
        close(entropy_bits(&[1, 1]), 1.0);
        close(entropy_bits(&[1; 16]), 4.0);
        close(entropy_bits(&[4, 2, 1, 1]), 1.75);
        // H(1/3) = log2 3 - 2/3.
        close(entropy_bits(&[1, 2]), 3f64.log2() - 2.0 / 3.0);
    }

    #[test]
    fn kt_by_hand() {
        close(kt_bits(0, 0), 0.0);
        // ½, then ½·¾, ½·¼, and ½·¼·½ for two and one.
        close(kt_bits(1, 0), 1.0);
        close(kt_bits(2, 0), -(3f64 / 8.0).log2());
        close(kt_bits(1, 1), 3.0);
        close(kt_bits(2, 1), 4.0);
    }

    #[test]
    fn code_lengths_by_hand() {
        close(code_length_bits(&[]), 0.0);
        close(code_length_bits(&[9]), 0.0);
        close(code_length_bits(&[0, 0, 0, 0]), 0.0);
        // One symbol: noise and model agree at every node, at a bit a level.
        close(code_length_bits(&[1, 0]), 1.0);
        close(code_length_bits(&[0, 0, 1, 0, 0, 0, 0, 0]), 3.0);
        // ½·¼ + ½·⅜ = 5/16.
        close(code_length_bits(&[2, 0]), -(5f64 / 16.0).log2());
        // ½·¼ + ½·⅛ = 3/16.
        close(code_length_bits(&[1, 1]), -(3f64 / 16.0).log2());
        // Two levels: below 5/16; ½·1/16 + ½·⅜·5/16 = 1/32 + 15/256 = 23/256.
        close(code_length_bits(&[2, 0, 0, 0]), -(23f64 / 256.0).log2());
        // Three symbols are four of which one does not occur.
        close(
            code_length_bits(&[5, 2, 1]),
            code_length_bits(&[5, 2, 1, 0]),
        );
    }

    #[test]
    fn probabilities_of_all_sequences_add_up_to_one() {
        // Four symbols, length three: every sequence, by its counts.
        let mut sum = 0.0;
        for sequence in 0..64 {
            let mut counts = [0u64; 4];
            for place in 0..3 {
                counts[sequence >> (2 * place) & 3] += 1;
            }
            sum += exp2(-code_length_bits(&counts));
        }
        close(sum, 1.0);
    }

    proptest! {
        #[test]
        fn between_the_entropy_and_the_raw_length(counts in prop::collection::vec(0u64..100_000, 1..300)) {
            let total: u64 = counts.iter().sum();
            let depth = counts.len().next_power_of_two().trailing_zeros();
            let bits = code_length_bits(&counts);
            prop_assert!(bits >= entropy_bits(&counts) * total as f64 - 1e-6);
            prop_assert!(bits <= total as f64 * f64::from(depth) + 1.0 + 1e-6);
        }
    }
}
