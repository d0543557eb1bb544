//! The calls of the openzl C library: what is unsafe about it is in here, and nothing that is handed out is.
//!
//! A compressor lives as long as the context that uses it, and each object belongs to one thread at a time, so nothing
//! is assumed of the library that its headers do not say. It keeps no pointer to bytes that it was given.

#![allow(
    unsafe_code,
    reason = "a C library is called, and it is all that this module does"
)]

use std::ffi::{CStr, c_char};
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicI32, Ordering};

use openzl_sys as sys;

/// What the library said when it failed.
pub(super) type Message = String;

/// The version of frames that are written. A frame says which it has, and the library reads all since version 8.
const FORMAT_VERSION: i32 = 25;

/// `ZL_TernaryParam_enable` and `ZL_TernaryParam_disable`.
const YES: i32 = 1;
const NO: i32 = 2;

unsafe extern "C" {
    /// What the library writes to standard error by itself, as bits of which none is nothing.
    #[link_name = "ZL_g_logLevel"]
    static LOGGED: AtomicI32;
}

/// Keeps the library from writing of what it reports anyway.
fn be_quiet() {
    // SAFETY: it is an `int` of the library's that nobody else writes to, and an atomic number has the same form.
    unsafe { &LOGGED }.store(0, Ordering::Relaxed);
}

/// A compressor: a graph of what is done to bytes, and what is done to what becomes of them.
struct Compressor(NonNull<sys::ZL_Compressor>);

impl Compressor {
    fn read(serialized: &[u8]) -> Result<Compressor, Message> {
        // SAFETY: it has no preconditions.
        let compressor = Compressor(made(unsafe { sys::ZL_Compressor_create() })?);
        // SAFETY: it has no preconditions.
        let reader = made(unsafe { sys::ZL_CompressorDeserializer_create() })?;
        // SAFETY: both objects were just made and are used nowhere else, the slice is as long as it says, and a bundle
        // of no bytes is one that is not there.
        let report = unsafe {
            sys::ZL_CompressorDeserializer_deserialize(
                reader.as_ptr(),
                compressor.0.as_ptr(),
                serialized.as_ptr().cast(),
                serialized.len(),
                ptr::null(),
                0,
            )
        };
        let result = checked(report, |report| {
            // SAFETY: the report is the reader's, which still is there, as is the text until the reader is freed.
            unsafe { sys::ZL_CompressorDeserializer_getErrorContextString(reader.as_ptr(), report) }
        });
        // SAFETY: it was made above, is freed once, and nothing that it owns is used after this.
        unsafe { sys::ZL_CompressorDeserializer_free(reader.as_ptr()) };
        result.map(|_| compressor)
    }
}

impl Drop for Compressor {
    fn drop(&mut self) {
        // SAFETY: it was made when this was, and this is dropped once.
        unsafe { sys::ZL_Compressor_free(self.0.as_ptr()) }
    }
}

/// What writes frames by a compressor.
pub(super) struct Encoder {
    context: NonNull<sys::ZL_CCtx>,
    compressor: Compressor,
}

impl Encoder {
    /// Reads a serialised compressor.
    pub(super) fn new(serialized: &[u8]) -> Result<Encoder, Message> {
        be_quiet();
        let compressor = Compressor::read(serialized)?;
        // SAFETY: it has no preconditions.
        let context = made(unsafe { sys::ZL_CCtx_create() })?;
        let encoder = Encoder {
            context,
            compressor,
        };
        // Shows whether the compressor can be used at all.
        encoder.prepare()?;
        Ok(encoder)
    }

    /// Takes up the compressor and the parameters, which the library forgets after each frame.
    fn prepare(&self) -> Result<(), Message> {
        for (parameter, value) in [
            (sys::ZL_CParam_formatVersion, FORMAT_VERSION),
            // What a graph cannot take, such as other bytes than one for a constant, is compressed in another way.
            (sys::ZL_CParam_permissiveCompression, YES),
            // What holds the frames has checksums where they are wanted.
            (sys::ZL_CParam_compressedChecksum, NO),
            (sys::ZL_CParam_contentChecksum, NO),
        ] {
            // SAFETY: the context is this object's.
            let report =
                unsafe { sys::ZL_CCtx_setParameter(self.context.as_ptr(), parameter, value) };
            self.checked(report)?;
        }
        // SAFETY: both are this object's, so that the compressor is there for as long as the context.
        let report = unsafe {
            sys::ZL_CCtx_refCompressor(self.context.as_ptr(), self.compressor.0.as_ptr())
        };
        self.checked(report).map(|_| ())
    }

    /// Appends a frame of the data.
    pub(super) fn encode(&mut self, data: &[u8], out: &mut Vec<u8>) -> Result<(), Message> {
        self.prepare()?;
        // SAFETY: it has no preconditions.
        out.reserve(unsafe { sys::ZL_compressBound(data.len()) });
        let room = out.spare_capacity_mut();
        let most = room.len();
        // SAFETY: the context is this object's, both slices are as long as they say, and the library only writes to
        // the second.
        let report = unsafe {
            sys::ZL_CCtx_compress(
                self.context.as_ptr(),
                room.as_mut_ptr().cast(),
                most,
                data.as_ptr().cast(),
                data.len(),
            )
        };
        let written = self.checked(report)?;
        if written > most {
            return Err("a frame longer than the room for it".to_owned());
        }
        // SAFETY: so many bytes were written, one after the other, within the capacity.
        unsafe { out.set_len(out.len() + written) };
        Ok(())
    }

    fn checked(&self, report: sys::ZL_Report) -> Result<usize, Message> {
        checked(report, |report| {
            // SAFETY: the report is the context's, which is there for as long as this object, and the text is read
            // before the context is used again.
            unsafe { sys::ZL_CCtx_getErrorContextString(self.context.as_ptr(), report) }
        })
    }
}

impl Drop for Encoder {
    fn drop(&mut self) {
        // SAFETY: it was made when this was, and this is dropped once. The compressor, which it refers to, is dropped
        // afterwards.
        unsafe { sys::ZL_CCtx_free(self.context.as_ptr()) }
    }
}

/// What reads frames.
pub(super) struct Decoder(NonNull<sys::ZL_DCtx>);

impl Decoder {
    pub(super) fn new() -> Result<Decoder, Message> {
        be_quiet();
        // SAFETY: it has no preconditions.
        made(unsafe { sys::ZL_DCtx_create() }).map(Decoder)
    }

    /// Decodes a frame into `data`, and returns how many bytes it filled from the front.
    pub(super) fn decode(&mut self, frame: &[u8], data: &mut [u8]) -> Result<usize, Message> {
        // SAFETY: the context is this object's, both slices are as long as they say, and the library only writes to
        // the second.
        let report = unsafe {
            sys::ZL_DCtx_decompress(
                self.0.as_ptr(),
                data.as_mut_ptr().cast(),
                data.len(),
                frame.as_ptr().cast(),
                frame.len(),
            )
        };
        checked(report, |report| {
            // SAFETY: the report is the context's, which is there for as long as this object, and the text is read
            // before the context is used again.
            unsafe { sys::ZL_DCtx_getErrorContextString(self.0.as_ptr(), report) }
        })
    }
}

impl Drop for Decoder {
    fn drop(&mut self) {
        // SAFETY: it was made when this was, and this is dropped once.
        unsafe { sys::ZL_DCtx_free(self.0.as_ptr()) }
    }
}

/// The bytes that a frame says it decodes to.
pub(super) fn declared_bytes(frame: &[u8]) -> Result<usize, Message> {
    // SAFETY: the slice is as long as it says.
    let report = unsafe { sys::ZL_getDecompressedSize(frame.as_ptr().cast(), frame.len()) };
    checked(report, |_| ptr::null())
}

/// The bytes that a frame takes, of those that begin with it.
pub(super) fn frame_bytes(frame: &[u8]) -> Result<usize, Message> {
    // SAFETY: the slice is as long as it says.
    let report = unsafe { sys::ZL_getCompressedSize(frame.as_ptr().cast(), frame.len()) };
    checked(report, |_| ptr::null())
}

/// An object that the library made, unless it had no memory for it.
fn made<T>(object: *mut T) -> Result<NonNull<T>, Message> {
    NonNull::new(object).ok_or_else(|| "no memory".to_owned())
}

/// The number that a report holds, or what it says went wrong, of which `explain` knows more.
fn checked(
    report: sys::ZL_Report,
    explain: impl FnOnce(sys::ZL_Report) -> *const c_char,
) -> Result<usize, Message> {
    // SAFETY: it has no preconditions.
    if unsafe { sys::ZL_isError(report) } == 0 {
        // SAFETY: the report holds no error.
        return Ok(unsafe { sys::ZL_validResult(report) });
    }
    // SAFETY: neither has preconditions, and the text is one of the program's own.
    let name = unsafe { text(sys::ZL_ErrorCode_toString(sys::ZL_errorCode(report))) };
    // SAFETY: the text belongs to the object that made the report, which `explain` has at hand.
    let more = unsafe { text(explain(report)) };
    let message = more.lines().find_map(|line| line.strip_prefix("Message: "));
    Err(match message {
        Some(message) => format!("{name}: {message}"),
        None => name,
    })
}

/// A text of the library's, which is empty where there is none.
///
/// # Safety
///
/// The pointer is null, or to a text that ends in a zero and is there until this returns.
unsafe fn text(text: *const c_char) -> String {
    if text.is_null() {
        return String::new();
    }
    // SAFETY: as the caller promises.
    unsafe { CStr::from_ptr(text) }
        .to_string_lossy()
        .into_owned()
}
