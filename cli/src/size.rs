//! Sizes and durations as people read and write them.

use std::str::FromStr;
use std::time::Duration;

/// A number of bytes, written with an optional K, M, G or T: powers of 1,024.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Size(pub(crate) u64);

impl FromStr for Size {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = || format!("`{text}` is no size; write 512M or 12G");
        let word = text.trim_end_matches("iB").trim_end_matches('B');
        let (number, shift) = match word.char_indices().last() {
            Some((at, 'k' | 'K')) => (&word[..at], 10),
            Some((at, 'm' | 'M')) => (&word[..at], 20),
            Some((at, 'g' | 'G')) => (&word[..at], 30),
            Some((at, 't' | 'T')) => (&word[..at], 40),
            _ => (word, 0),
        };
        let number: u64 = number.trim().parse().map_err(|_| wrong())?;
        number.checked_mul(1 << shift).map(Self).ok_or_else(wrong)
    }
}

/// A number of bytes: `86.7 MiB`.
pub(crate) fn bytes(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    #[expect(clippy::cast_precision_loss, reason = "three digits are shown")]
    let mut number = bytes as f64;
    let mut unit = 0;
    while number >= 1023.95 && unit + 1 < UNITS.len() {
        number /= 1024.0;
        unit += 1;
    }
    match unit {
        0 => format!("{bytes} B"),
        _ => format!("{number:.1} {}", UNITS[unit]),
    }
}

/// A duration: `17ms`, `3.42s`, `1m 02s`, `2h 03m`.
pub(crate) fn duration(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match seconds {
        0 => format!("{}ms", duration.as_millis()),
        1..60 => format!("{:.2}s", duration.as_secs_f64()),
        60..3600 => format!("{}m {:02}s", seconds / 60, seconds % 60),
        _ => format!("{}h {:02}m", seconds / 3600, seconds / 60 % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read() {
        assert_eq!("512M".parse(), Ok(Size(512 << 20)));
        assert_eq!("12GiB".parse(), Ok(Size(12 << 30)));
        assert_eq!("100".parse(), Ok(Size(100)));
        assert!("much".parse::<Size>().is_err());
        assert!("99999999999T".parse::<Size>().is_err());
    }

    #[test]
    fn sizes_and_durations_are_written() {
        assert_eq!(bytes(17), "17 B");
        assert_eq!(bytes(90_868_376), "86.7 MiB");
        assert_eq!(bytes((1 << 30) - 1), "1.0 GiB");
        assert_eq!(duration(Duration::from_millis(17)), "17ms");
        assert_eq!(duration(Duration::from_millis(3420)), "3.42s");
        assert_eq!(duration(Duration::from_secs(62)), "1m 02s");
        assert_eq!(duration(Duration::from_secs(7380)), "2h 03m");
    }
}
