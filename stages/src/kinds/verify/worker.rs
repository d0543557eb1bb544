//! The worker: a process that decodes what it is given and knows nothing else.

use std::io::{self, BufWriter, Read, Write};

use llmcl_codecs::{DecodeError, Method};

use super::protocol::{
    ANSWER, MESSAGE_MAX_BYTES, METHOD_MAX_BYTES, NONE, PIECE_MAX_BYTES, REQUEST, SOME, garbage,
    read_array, read_byte, read_u32, read_u64, write_short,
};
use crate::encoded::MethodId;
use crate::{failure, methods};

/// Decodes what comes in at `input` until it ends, and writes what that comes to, in the terms of this kind's own
/// protocol. It is all that a process does that runs the worker `decode`; it reads no file and asks for nothing.
///
/// It holds the profile and one encoding at a time in memory, besides what the method needs.
///
/// # Errors
/// If `input` does not follow the protocol or ends in the middle, or `output` fails. An encoding that cannot be
/// decoded is an answer.
pub fn decode_worker(input: &mut dyn Read, output: &mut dyn Write) -> io::Result<()> {
    if read_array::<8>(input)? != *REQUEST {
        return Err(garbage("this is no request of this program's `verify`"));
    }
    let method = read_method(input)?;
    let profile = match read_byte(input)? {
        NONE => None,
        SOME => Some(read_long(input, Vec::new())?),
        other => return Err(garbage(format!("a profile cannot begin with {other}"))),
    };
    output.write_all(ANSWER)?;
    let mut encoded = Vec::new();
    loop {
        match read_byte(input)? {
            NONE => return output.flush(),
            SOME => encoded = read_long(input, encoded)?,
            other => return Err(garbage(format!("an encoding cannot begin with {other}"))),
        }
        let mut pieces = BufWriter::with_capacity(PIECE_MAX_BYTES, Pieces { output });
        let decoded = method.decode(&encoded, profile.as_deref(), &mut pieces);
        let written = pieces.flush();
        drop(pieces);
        match decoded {
            Err(DecodeError::Write(error)) => return Err(error),
            Err(error) => {
                written?;
                output.write_all(&[0; 4])?;
                output.write_all(&[SOME])?;
                let message = failure::chain(&error);
                let end = message.floor_char_boundary(MESSAGE_MAX_BYTES);
                write_short(output, message.get(..end).unwrap_or_default().as_bytes())?;
                return output.flush();
            }
            Ok(()) => {
                written?;
                output.write_all(&[0; 4])?;
                output.write_all(&[NONE])?;
                output.flush()?;
            }
        }
    }
}

fn read_method(input: &mut dyn Read) -> io::Result<Box<dyn Method>> {
    let length = read_u32(input)?;
    if length > METHOD_MAX_BYTES {
        return Err(garbage(format!("a method of {length} bytes")));
    }
    let json = take(input, u64::from(length), Vec::new())?;
    let method: MethodId =
        serde_json::from_slice(&json).map_err(|error| garbage(format!("the method: {error}")))?;
    methods::of_value(&method.to_value()).map_err(|error| garbage(error.message))
}

fn read_long(input: &mut dyn Read, into: Vec<u8>) -> io::Result<Vec<u8>> {
    let length = read_u64(input)?;
    take(input, length, into)
}

/// Reads that many bytes into the memory of `into`.
fn take(input: &mut dyn Read, length: u64, mut into: Vec<u8>) -> io::Result<Vec<u8>> {
    into.clear();
    usize::try_from(length)
        .ok()
        .and_then(|length| into.try_reserve_exact(length).ok())
        .ok_or_else(|| garbage(format!("{length} bytes do not fit the memory")))?;
    input.take(length).read_to_end(&mut into)?;
    if into.len() as u64 == length {
        Ok(into)
    } else {
        Err(io::ErrorKind::UnexpectedEof.into())
    }
}

/// A writer that puts the length before each piece.
struct Pieces<'a> {
    output: &'a mut dyn Write,
}

impl Write for Pieces<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = bytes.len().min(PIECE_MAX_BYTES);
        if let Some(piece) = bytes.get(..count)
            && count > 0
        {
            write_short(self.output, piece)?;
        }
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
