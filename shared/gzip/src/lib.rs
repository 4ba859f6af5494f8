//! Bytes that many clients get, compressed once for all of them: a compressor for each answer would stay in memory with
//! every client that does not read its own.

use std::{
    io::Write,
    sync::{Arc, OnceLock},
};

use bytes::Bytes;
use flate2::{Compression, write::GzEncoder};

/// Bytes, and the same compressed with the first client that takes them so. Cloning is cheap; clones share both.
#[derive(Clone, Debug)]
pub struct Gzippable {
    plain: Bytes,
    gzip: Arc<OnceLock<Bytes>>,
}

impl Gzippable {
    /// The bytes as they are.
    #[must_use]
    pub fn plain(&self) -> Bytes {
        self.plain.clone()
    }

    /// The bytes, compressed by gzip.
    ///
    /// # Panics
    /// Never: memory can be written to.
    #[must_use]
    pub fn gzip(&self) -> Bytes {
        let compressed = self.gzip.get_or_init(|| {
            let mut gzip = GzEncoder::new(Vec::new(), Compression::default());
            let written = gzip.write_all(&self.plain).and_then(|()| gzip.finish());
            written.expect("memory can be written to").into()
        });
        compressed.clone()
    }
}

impl<B: Into<Bytes>> From<B> for Gzippable {
    fn from(plain: B) -> Self {
        Self {
            plain: plain.into(),
            gzip: Arc::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    #[test]
    fn the_compressed_bytes_are_the_same_and_compressed_once() {
        let text = "cats or dogs? ".repeat(100);
        let body = Gzippable::from(text.clone());
        let mut plain = String::new();
        flate2::read::GzDecoder::new(&body.gzip()[..])
            .read_to_string(&mut plain)
            .unwrap();
        assert_eq!((plain, body.plain()), (text.clone(), text.into()));
        assert!(body.gzip().len() < 100);
        assert_eq!(body.gzip().as_ptr(), body.clone().gzip().as_ptr());
    }
}
