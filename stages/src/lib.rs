//! The stage kinds: where the engine's contract meets the codecs.
