//! What a child writes, kept within bounds.

use std::collections::VecDeque;
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::process::{Child, ChildStderr, ChildStdout};
use std::thread;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

/// The first and the longest pause in waiting for a child that has closed its streams.
const FIRST_PAUSE: Duration = Duration::from_micros(50);
const LONGEST_PAUSE: Duration = Duration::from_millis(2);

/// How many bytes are read at once; a pipe holds 64 KiB, but most programs say little.
const BUFFER: usize = 4 * 1024;

/// The last bytes of a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tail {
    bytes: VecDeque<u8>,
    limit: usize,
    total: u64,
}

impl Tail {
    /// Makes one that keeps `limit` bytes.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self {
            bytes: VecDeque::new(),
            limit,
            total: 0,
        }
    }

    /// Adds bytes, and lets go of the first ones beyond the limit.
    pub fn push(&mut self, bytes: &[u8]) {
        self.total += bytes.len() as u64;
        self.bytes
            .extend(&bytes[bytes.len().saturating_sub(self.limit)..]);
        let excess = self.bytes.len().saturating_sub(self.limit);
        self.bytes.drain(..excess);
    }

    /// How many bytes there were, the lost ones included.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.total
    }

    /// Returns what is kept as text; what is no UTF-8 is replaced.
    #[must_use]
    pub fn text(&self) -> String {
        let (front, back) = self.bytes.as_slices();
        String::from_utf8_lossy(&[front, back].concat()).into_owned()
    }

    /// Returns the last lines that hold anything, in order.
    #[must_use]
    pub fn last_lines(&self, count: usize) -> Vec<String> {
        let text = self.text();
        let mut lines: Vec<String> = text
            .lines()
            .rev()
            .map(str::trim_end)
            .filter(|line| !line.is_empty())
            .take(count)
            .map(str::to_owned)
            .collect();
        lines.reverse();
        lines
    }
}

/// The two output streams of a child.
pub(super) struct Output {
    stdout_pipe: Option<ChildStdout>,
    stderr_pipe: Option<ChildStderr>,
    pub(super) stdout: Tail,
    pub(super) stderr: Tail,
    buffer: Vec<u8>,
    /// How long the next wait for a child lasts that has closed its streams.
    pause: Duration,
}

impl Output {
    /// Takes the pipes of a child that was started with both.
    pub(super) fn of(child: &mut Child, limit: usize) -> Self {
        Self {
            stdout_pipe: child.stdout.take(),
            stderr_pipe: child.stderr.take(),
            stdout: Tail::new(limit),
            stderr: Tail::new(limit),
            buffer: vec![0; BUFFER],
            pause: FIRST_PAUSE,
        }
    }

    /// Tells whether nobody can write to the streams any more.
    pub(super) fn is_closed(&self) -> bool {
        self.stdout_pipe.is_none() && self.stderr_pipe.is_none()
    }

    /// Waits until there is output, but no longer than `patience`, and takes it. Tells whether there was any.
    pub(super) fn wait(&mut self, patience: Duration) -> io::Result<bool> {
        if self.is_closed() {
            // Most often it is just ending.
            thread::sleep(patience.min(self.pause));
            self.pause = LONGEST_PAUSE.min(self.pause * 2);
            return Ok(false);
        }
        let [stdout_ready, stderr_ready] = {
            let mut waiting = Vec::with_capacity(2);
            waiting.extend(self.stdout_pipe.as_ref().map(|pipe| input(pipe)));
            waiting.extend(self.stderr_pipe.as_ref().map(|pipe| input(pipe)));
            let timeout = PollTimeout::try_from(patience).unwrap_or(PollTimeout::ZERO);
            match poll(&mut waiting, timeout) {
                Ok(_) => {}
                Err(Errno::EINTR) => return Ok(false),
                Err(errno) => return Err(errno.into()),
            }
            let mut ready = waiting
                .iter()
                .map(|fd| fd.revents().is_some_and(|events| !events.is_empty()));
            let mut of = |is_open: bool| is_open && ready.next().unwrap_or_default();
            [
                of(self.stdout_pipe.is_some()),
                of(self.stderr_pipe.is_some()),
            ]
        };
        let mut any = false;
        if stdout_ready {
            any |= take(&mut self.stdout_pipe, &mut self.stdout, &mut self.buffer)?;
        }
        if stderr_ready {
            any |= take(&mut self.stderr_pipe, &mut self.stderr, &mut self.buffer)?;
        }
        Ok(any)
    }

    /// Takes what is there without waiting for more, and for no longer than `patience`.
    pub(super) fn drain(&mut self, patience: Duration) -> io::Result<()> {
        let until = Instant::now() + patience;
        while !self.is_closed() && Instant::now() < until {
            let was_open = self.open_pipes();
            if !self.wait(Duration::ZERO)? && self.open_pipes() == was_open {
                break;
            }
        }
        Ok(())
    }

    fn open_pipes(&self) -> usize {
        usize::from(self.stdout_pipe.is_some()) + usize::from(self.stderr_pipe.is_some())
    }
}

fn input(pipe: &impl AsFd) -> PollFd<'_> {
    PollFd::new(pipe.as_fd(), PollFlags::POLLIN)
}

/// Reads once from a pipe that is ready, so that this does not wait; lets go of the pipe at its end.
fn take<P: Read>(pipe: &mut Option<P>, tail: &mut Tail, buffer: &mut [u8]) -> io::Result<bool> {
    let Some(open) = pipe else {
        return Ok(false);
    };
    match open.read(buffer) {
        Ok(0) => {
            *pipe = None;
            Ok(false)
        }
        Ok(count) => {
            tail.push(&buffer[..count]);
            Ok(true)
        }
        Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tail_keeps_the_end() {
        let mut tail = Tail::new(4);
        tail.push(b"ab");
        tail.push(b"cde");
        assert_eq!(tail.text(), "bcde");
        tail.push(b"0123456789");
        assert_eq!(tail.text(), "6789");
        assert_eq!(tail.total(), 15);
    }

    #[test]
    fn the_last_lines_that_hold_anything() {
        let mut tail = Tail::new(100);
        tail.push(b"one\n\ntwo\r\n  \nthree");
        assert_eq!(tail.last_lines(2), ["two", "three"]);
    }
}
