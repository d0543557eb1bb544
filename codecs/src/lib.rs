//! Lossless codecs for language-model weights, and the file formats that hold them.
