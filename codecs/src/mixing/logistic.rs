//! Log odds of probabilities, and back.

use std::sync::LazyLock;

/// Steps of a probability.
const PROBABILITIES: usize = 1 << 12;
/// The largest log odds, in nats: of one in 160,000.
const MOST: f32 = 12.0;
/// Steps of a nat.
const STEPS: f32 = 256.0;
/// All steps, from −[`MOST`] to [`MOST`].
const ODDS: usize = 6144;
/// A power of two.
const ODDS_SPACE: usize = 8192;

/// Both ways, as tables.
pub(super) struct Logistic {
    odds: Box<[f32; PROBABILITIES]>,
    probabilities: Box<[u16; ODDS_SPACE]>,
}

static LOGISTIC: LazyLock<Logistic> = LazyLock::new(|| {
    let odds = std::array::from_fn(|step| {
        let probability = (step as f64 + 0.5) / PROBABILITIES as f64;
        ln(probability / (1.0 - probability)) as f32
    });
    let probabilities = std::array::from_fn(|step| {
        let odds = step as f64 / f64::from(STEPS) - f64::from(MOST);
        let probability = 65_536.0 / (1.0 + exp(-odds));
        (probability as u16).max(1)
    });
    Logistic {
        odds: Box::new(odds),
        probabilities: Box::new(probabilities),
    }
});

impl Logistic {
    pub(super) fn get() -> &'static Logistic {
        &LOGISTIC
    }

    /// The log odds, in nats, of a probability in 4,096ths.
    #[inline(always)]
    pub(super) fn odds(&self, probability: u32) -> f32 {
        self.odds[probability as usize % PROBABILITIES]
    }

    /// The probability in 65,536ths, one at least and all but one at most, of log odds.
    #[inline(always)]
    pub(super) fn probability(&self, odds: f32) -> u16 {
        // What is no number becomes 0. From 2^23 on floats are whole numbers, with which they end.
        const WHOLE: f32 = (1 << 23) as f32;
        let step = (odds * STEPS + MOST * STEPS)
            .max(0.0)
            .min((ODDS - 1) as f32);
        let step = (step + WHOLE).to_bits() - WHOLE.to_bits();
        self.probabilities[step as usize % ODDS_SPACE]
    }
}

/// e to the power of a number of small magnitude: by a series for an eighth of it at most, and squares. Libraries differ
/// in the last bit.
fn exp(number: f64) -> f64 {
    let part = number / 256.0;
    let series = (1..20)
        .rev()
        .fold(1.0, |sum, step| 1.0 + sum * part / f64::from(step));
    (0..8).fold(series, |power, _| power * power)
}

/// The natural logarithm of a positive number, by Newton's method for [`exp`].
fn ln(number: f64) -> f64 {
    (0..60).fold(0.0, |log, _| {
        let power = exp(log);
        log + 2.0 * (number - power) / (number + power)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn series_are_what_they_stand_for() {
        for step in -1200..=1200 {
            let number = f64::from(step) / 100.0;
            let power = exp(number);
            assert!((power / number.exp() - 1.0).abs() < 1e-12, "{number}");
            assert!((ln(power) - number).abs() < 1e-12, "{number}");
        }
    }

    #[test]
    fn tables_are_what_the_format_says() {
        let logistic = Logistic::get();
        for step in 0..PROBABILITIES {
            let probability = (step as f64 + 0.5) / PROBABILITIES as f64;
            let odds = (probability / (1.0 - probability)).ln() as f32;
            assert_eq!(logistic.odds(step as u32), odds, "{step}");
        }
        for step in 0..ODDS {
            let exact = 65_536.0 / (1.0 + (12.0 - step as f64 / 256.0).exp());
            assert_eq!(
                logistic.probabilities[step],
                (exact as u16).max(1),
                "{step}"
            );
        }
    }

    #[test]
    fn odds_and_probabilities_are_each_others_opposite() {
        let logistic = Logistic::get();
        for probability in 0..PROBABILITIES as u32 {
            let odds = logistic.odds(probability);
            let back = f32::from(logistic.probability(odds)) / 16.0;
            assert!(
                (back - probability as f32 - 0.5).abs() < 5.0,
                "{probability}"
            );
        }
        assert_eq!(logistic.probability(f32::NEG_INFINITY), 1);
        assert_eq!(logistic.probability(f32::NAN), 1);
        assert_eq!(logistic.probability(0.0), 32_768);
        assert_eq!(logistic.probability(f32::INFINITY), 65_535);
    }
}
