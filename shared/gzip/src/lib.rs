//! Response bodies that are compressed once for all clients. A compressor per response would use memory until a slow client has read
//! the response.

use std::{
    io::Write,
    sync::{Arc, OnceLock},
};

use bytes::Bytes;
use flate2::{Compression, write::GzEncoder};

/// Bytes that are compressed at the first use. Cloning is cheap; clones share the plain and the compressed bytes.
#[derive(Clone, Debug)]
pub struct Gzippable {
    plain: Bytes,
    gzip: Arc<OnceLock<Bytes>>,
}

impl Gzippable {
    /// Returns the plain bytes.
    #[must_use]
    pub fn plain(&self) -> Bytes {
        self.plain.clone()
    }

    /// Returns the bytes, compressed with gzip.
    ///
    /// # Panics
    /// Never: writing to memory does not fail.
    #[must_use]
    pub fn gzip(&self) -> Bytes {
        let compressed = self.gzip.get_or_init(|| {
            let mut gzip = GzEncoder::new(Vec::new(), Compression::default());
            let written = gzip.write_all(&self.plain).and_then(|()| gzip.finish());
            written.expect("writing to memory does not fail").into()
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
    fn the_bytes_are_compressed_once() {
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
