//! Printing: data to standard output, all else to standard error.

use std::io::{self, Write};

use anstream::{stderr, stdout};

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
    // There is nobody left to tell that this failed.
    let _ = writeln!(stderr().lock(), "{line}");
}
