//! Writers around what a method or a cast puts out.

use std::fmt;
use std::io::{self, Write};

use blake3::{Hash, Hasher};
use llmcl_stages_api::task::{Host, TaskError};

/// After how many bytes the engine is asked again whether the task is to go on.
const ASK_BYTES: usize = 1 << 18;

/// A writer that passes on what it gets and stops with an error when the engine stops the task.
pub struct Watched<'a, W> {
    inner: W,
    host: &'a dyn Host,
    unasked: usize,
    stopped: Option<TaskError>,
}

impl<'a, W: Write> Watched<'a, W> {
    /// Wraps a writer.
    pub fn new(inner: W, host: &'a dyn Host) -> Self {
        Self {
            inner,
            host,
            unasked: 0,
            stopped: None,
        }
    }

    /// Why writing was stopped, if the engine stopped it.
    pub fn stopped(&mut self) -> Option<TaskError> {
        self.stopped.take()
    }

    /// The writer within.
    pub fn into_inner(self) -> W {
        self.inner
    }
}

impl<W: Write> Write for Watched<'_, W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.unasked >= ASK_BYTES {
            self.unasked = 0;
            if let Err(stop) = self.host.checkpoint() {
                let error = io::Error::other(stop.message.clone());
                self.stopped = Some(stop);
                return Err(error);
            }
        }
        let count = self.inner.write(bytes)?;
        self.unasked += count;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

/// A writer that holds what it gets against what it should get, and stops at the first difference.
pub struct Comparing<'a> {
    /// What is still to come: the first is what comes next, and none is empty.
    expected: Vec<&'a [u8]>,
    /// Bytes that were as they should be.
    matched: u64,
    difference: Option<Difference>,
    hasher: Hasher,
}

/// How decoded bytes differ from the original.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Difference {
    /// The byte at this place is another one.
    At(u64),
    /// All of these bytes are right, and there are more.
    TooLong(u64),
    /// They end too early.
    TooShort {
        /// How many there are.
        found: u64,
        /// How many there should be.
        expected: u64,
    },
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::At(at) => write!(
                f,
                "the decoded bytes differ from the original from byte {at} on"
            ),
            Self::TooLong(expected) => {
                write!(f, "more than the {expected} bytes of the original came out")
            }
            Self::TooShort { found, expected } => {
                write!(
                    f,
                    "{found} of the {expected} bytes of the original came out"
                )
            }
        }
    }
}

impl<'a> Comparing<'a> {
    /// Expects these bytes, one piece after the other.
    pub fn new(expected: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let mut expected: Vec<&[u8]> = expected
            .into_iter()
            .filter(|piece| !piece.is_empty())
            .collect();
        expected.reverse();
        Self {
            expected,
            matched: 0,
            difference: None,
            hasher: Hasher::new(),
        }
    }

    /// The first difference so far.
    #[must_use]
    pub fn difference(&self) -> Option<Difference> {
        self.difference
    }

    /// Ends the comparison and returns the digest of the bytes.
    ///
    /// # Errors
    /// If they were not those expected.
    pub fn finish(self) -> Result<Hash, Difference> {
        let missing: u64 = self.expected.iter().map(|piece| piece.len() as u64).sum();
        match self.difference {
            Some(difference) => Err(difference),
            None if missing > 0 => Err(Difference::TooShort {
                found: self.matched,
                expected: self.matched + missing,
            }),
            None => Ok(self.hasher.finalize()),
        }
    }

    fn differs(&mut self, difference: Difference) -> io::Error {
        self.difference = Some(difference);
        io::Error::other(difference.to_string())
    }
}

impl Write for Comparing<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if bytes.is_empty() {
            return Ok(0);
        }
        let Some(next) = self.expected.pop() else {
            return Err(self.differs(Difference::TooLong(self.matched)));
        };
        let count = bytes.len().min(next.len());
        let (found, _) = bytes.split_at(count);
        let (wanted, rest) = next.split_at(count);
        if found != wanted {
            let same = found.iter().zip(wanted).take_while(|(a, b)| a == b).count();
            return Err(self.differs(Difference::At(self.matched + same as u64)));
        }
        self.hasher.update(found);
        self.matched += count as u64;
        if !rest.is_empty() {
            self.expected.push(rest);
        }
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compare(expected: &[&[u8]], found: &[&[u8]]) -> Result<Hash, Difference> {
        let mut comparing = Comparing::new(expected.iter().copied());
        for piece in found {
            if comparing.write_all(piece).is_err() {
                break;
            }
        }
        comparing.finish()
    }

    #[test]
    fn equal_bytes_in_other_pieces_match() {
        let digest = compare(&[b"ab", b"", b"cdef"], &[b"a", b"bcd", b"", b"ef"]);
        assert_eq!(digest, Ok(blake3::hash(b"abcdef")));
        assert_eq!(compare(&[], &[]), Ok(blake3::hash(b"")));
    }

    #[test]
    fn every_difference_has_its_place() {
        assert_eq!(
            compare(&[b"abc", b"def"], &[b"abcdXf"]),
            Err(Difference::At(4))
        );
        assert_eq!(compare(&[b"abc"], &[b"abcd"]), Err(Difference::TooLong(3)));
        assert_eq!(
            compare(&[b"abc", b"def"], &[b"abcd"]),
            Err(Difference::TooShort {
                found: 4,
                expected: 6
            })
        );
    }
}
