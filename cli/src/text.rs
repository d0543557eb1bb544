//! Printing: data to standard output, all else to standard error.

use std::io::{self, Write};
use std::sync::OnceLock;

use anstream::{AutoStream, ColorChoice, stdout};

use crate::exit::Exit;

/// Prints data. A reader that has gone away (`… | head`) ends the program quietly.
pub(crate) fn print(text: &str) -> Result<(), Exit> {
    let mut out = stdout().lock();
    let result = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    match result {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Err(Exit::Done),
        Err(error) => {
            tell(&format!("error: cannot write to standard output: {error}"));
            Err(Exit::Store)
        }
    }
}

/// Tells something to the person at the terminal.
pub(crate) fn tell(line: &str) {
    // Many lines are told in a run; whether they may be coloured is found out once.
    static CHOICE: OnceLock<ColorChoice> = OnceLock::new();
    let choice = *CHOICE.get_or_init(|| AutoStream::choice(&io::stderr()));
    let mut out = AutoStream::new(io::stderr().lock(), choice);
    // In one piece, so that no other process's lines come in between. There is nobody left to tell that this failed.
    let _ = out.write_all(format!("{line}\n").as_bytes());
}
