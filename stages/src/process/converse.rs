//! Runs a child that is fed on its standard input while its output is read.

use std::io::{self, Read, Write};
use std::panic;
use std::process::{Command, Stdio};
use std::thread::{self, ScopedJoinHandle};
use std::time::{Duration, Instant};

use llmcl_stages_api::task::TaskError;
use nix::sys::signal::Signal;

use super::group::Group;
use super::{Exit, Limits, POLL, ProcessError, Tail};

/// How a child and its two partners ended.
#[derive(Debug)]
pub struct Conversation<T> {
    /// How the child ended.
    pub exit: Exit,
    /// How feeding it ended; a child that ends early leaves a broken pipe here.
    pub fed: io::Result<()>,
    /// What reading its output came to.
    pub read: T,
    /// The end of its standard error.
    pub stderr: Tail,
}

/// Runs `command` to its end: `feed` writes its standard input, `read` reads its standard output, each in a thread
/// of its own, so that neither has to wait for the other.
///
/// A child whose output is no longer read gets `limits.grace` to end. `ask` is called every few milliseconds;
/// when it returns an error, the child is killed. In every case the child is dead when this returns.
///
/// # Errors
/// If it cannot be started or is stopped. How it exits is not judged here.
pub fn converse<T: Send>(
    command: &mut Command,
    limits: &Limits,
    feed: impl FnOnce(&mut dyn Write) -> io::Result<()> + Send,
    read: impl FnOnce(&mut dyn Read) -> T + Send,
    ask: &mut dyn FnMut() -> Result<(), TaskError>,
) -> Result<Conversation<T>, ProcessError> {
    let program = command.get_program().to_string_lossy().into_owned();
    let watch = |source| ProcessError::Watch {
        program: program.clone(),
        source,
    };
    let mut group = Group::start().map_err(watch)?;
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let child = group.spawn(command).map_err(|source| ProcessError::Start {
        program: program.clone(),
        source,
    })?;
    let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());

    thread::scope(|scope| {
        // Each thread drops its end of the pipe when it is done, which the child notices.
        let feeder = scope.spawn(move || match stdin {
            Some(mut stdin) => feed(&mut stdin).and_then(|()| stdin.flush()),
            None => Err(io::ErrorKind::BrokenPipe.into()),
        });
        let reader = scope.spawn(move || match stdout {
            Some(mut stdout) => read(&mut stdout),
            None => read(&mut io::empty()),
        });
        let kept = limits.kept_output;
        let listener = scope.spawn(move || {
            let mut tail = Tail::new(kept);
            // What cannot be read any more is only lost to a message.
            let _ = stderr.map(|mut stderr| drain(&mut stderr, &mut tail));
            tail
        });

        let mut pause = Duration::from_millis(1);
        let mut unread_since = None;
        let ended = loop {
            match group.try_wait() {
                Ok(Some(status)) => break Ok(Exit::of(status)),
                Ok(None) => {}
                Err(source) => break Err(Failure::Watch(source)),
            }
            if let Err(reason) = ask() {
                break Err(Failure::Stopped(reason));
            }
            if reader.is_finished()
                && unread_since.get_or_insert_with(Instant::now).elapsed() > limits.grace
            {
                group.signal(Signal::SIGKILL);
            }
            thread::sleep(pause);
            pause = (2 * pause).min(POLL);
        };
        // The pipes are closed with the last process of the group, so that every thread comes to its end.
        group.end();
        let fed = joined(feeder);
        let read = joined(reader);
        let stderr = joined(listener);
        match ended {
            Ok(exit) => Ok(Conversation {
                exit,
                fed,
                read,
                stderr,
            }),
            Err(Failure::Watch(source)) => Err(watch(source)),
            Err(Failure::Stopped(reason)) => Err(ProcessError::Stopped {
                program: program.clone(),
                reason: Box::new(reason),
                stderr,
            }),
        }
    })
}

/// Why the child was not waited for.
enum Failure {
    Watch(io::Error),
    Stopped(TaskError),
}

fn drain(stderr: &mut impl Read, tail: &mut Tail) -> io::Result<()> {
    let mut buffer = [0; 4096];
    loop {
        match stderr.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(count) => tail.push(buffer.get(..count).unwrap_or_default()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// What a thread returned; its panic goes on here.
fn joined<T>(thread: ScopedJoinHandle<'_, T>) -> T {
    thread
        .join()
        .unwrap_or_else(|payload| panic::resume_unwind(payload))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn talk<T: Send>(
        program: &str,
        feed: &[u8],
        read: impl FnOnce(&mut dyn Read) -> T + Send,
    ) -> Result<Conversation<T>, ProcessError> {
        let limits = Limits {
            kept_output: 100,
            grace: Duration::from_millis(50),
        };
        converse(
            Command::new("/bin/sh").args(["-c", program]),
            &limits,
            |stdin| stdin.write_all(feed),
            read,
            &mut || Ok(()),
        )
    }

    fn length(stdout: &mut dyn Read) -> u64 {
        io::copy(stdout, &mut io::sink()).unwrap()
    }

    #[test]
    fn more_than_any_pipe_holds_goes_both_ways() {
        let bytes = vec![7; 5 << 20];
        let talk = talk("cat; echo done >&2", &bytes, length).unwrap();
        assert_eq!(talk.exit, Exit::Code(0));
        assert!(talk.fed.is_ok());
        assert_eq!(talk.read, bytes.len() as u64);
        assert_eq!(talk.stderr.text(), "done\n");
    }

    #[test]
    fn a_child_that_does_not_read_ends_the_feeding() {
        let talk = talk("exit 3", &vec![7; 5 << 20], length).unwrap();
        assert_eq!(talk.exit, Exit::Code(3));
        assert!(talk.fed.is_err());
    }

    #[test]
    fn a_child_that_nobody_listens_to_is_killed_after_its_grace() {
        let talk = talk("exec sleep 600", b"", |_| ()).unwrap();
        assert_eq!(talk.exit, Exit::Signal("SIGKILL".to_owned()));
    }

    #[test]
    fn a_stop_kills_a_child_that_says_nothing() {
        let mut asked = 0;
        let stopped = converse(
            Command::new("/bin/sh").args(["-c", "exec sleep 600"]),
            &Limits::default(),
            |_| Ok(()),
            length,
            &mut || {
                asked += 1;
                if asked < 3 {
                    return Ok(());
                }
                Err(TaskError::input("enough"))
            },
        );
        assert!(
            matches!(stopped, Err(ProcessError::Stopped { reason, .. }) if reason.message == "enough")
        );
    }
}
