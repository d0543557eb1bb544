//! Bytes as records and snapshots are written in: texts and sections with their lengths before them, all
//! little-endian.

use blake3::Hash;
use llmcl_stages_api::artifact::BlobRef;

/// Writes a length. Nothing in a record comes near 4 GiB: the store refuses a record long before.
pub(crate) fn count(out: &mut Vec<u8>, count: usize) {
    out.extend_from_slice(&u32::try_from(count).unwrap_or(u32::MAX).to_le_bytes());
}

pub(crate) fn text(out: &mut Vec<u8>, text: &str) {
    count(out, text.len());
    out.extend_from_slice(text.as_bytes());
}

pub(crate) fn u64(out: &mut Vec<u8>, number: u64) {
    out.extend_from_slice(&number.to_le_bytes());
}

pub(crate) fn digest(out: &mut Vec<u8>, digest: &Hash) {
    out.extend_from_slice(digest.as_bytes());
}

pub(crate) fn blob(out: &mut Vec<u8>, blob: BlobRef) {
    digest(out, &blob.digest);
    u64(out, blob.bytes);
}

pub(crate) fn section(out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    let mut content = Vec::new();
    write(&mut content);
    count(out, content.len());
    out.extend_from_slice(&content);
}

/// Reads from the front of bytes; every read past the end is nothing.
pub(crate) struct Reader<'a>(pub(crate) &'a [u8]);

impl<'a> Reader<'a> {
    pub(crate) fn take(&mut self, bytes: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(bytes)?;
        self.0 = rest;
        Some(taken)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    pub(crate) fn count(&mut self) -> Option<usize> {
        usize::try_from(u32::from_le_bytes(self.array()?)).ok()
    }

    pub(crate) fn u64(&mut self) -> Option<u64> {
        Some(u64::from_le_bytes(self.array()?))
    }

    pub(crate) fn section(&mut self) -> Option<&'a [u8]> {
        let bytes = self.count()?;
        self.take(bytes)
    }

    pub(crate) fn text(&mut self) -> Option<&'a str> {
        std::str::from_utf8(self.section()?).ok()
    }

    pub(crate) fn digest(&mut self) -> Option<Hash> {
        Some(Hash::from_bytes(self.array()?))
    }

    pub(crate) fn blob(&mut self) -> Option<BlobRef> {
        Some(BlobRef {
            digest: self.digest()?,
            bytes: self.u64()?,
        })
    }

    /// A list with its length before it. The memory that it takes grows with what is read, whatever the length says.
    pub(crate) fn list<T>(&mut self, read: impl Fn(&mut Self) -> Option<T>) -> Option<Vec<T>> {
        let count = self.count()?;
        (0..count).map(|_| read(self)).collect()
    }
}
