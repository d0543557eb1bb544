//! The content-addressed store: blobs, records, locks.
