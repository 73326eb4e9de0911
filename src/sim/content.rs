//! The bytes of a file, shared until they are changed: an image of a power cut differs from its neighbour in a few
//! sectors, and only those are copied and hashed.

use std::sync::{Arc, OnceLock};

const CHUNK: usize = 4096;

/// Bytes of the last chunk behind the end are zero, so that growing shows zeros.
#[derive(Debug, Clone, Default)]
pub(super) struct Content {
    chunks: Vec<Arc<Chunk>>,
    len: usize,
}

#[derive(Debug)]
struct Chunk {
    bytes: [u8; CHUNK],
    /// Written by the first thread that asks; a chunk that changes has another.
    hash: OnceLock<u64>,
}

impl Clone for Chunk {
    fn clone(&self) -> Chunk {
        Chunk {
            bytes: self.bytes,
            hash: OnceLock::new(),
        }
    }
}

impl Content {
    pub(super) fn new(bytes: &[u8]) -> Content {
        let mut content = Content::default();
        content.write(0, bytes);
        content
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Copies what lies from `at` on, and says how many bytes that was.
    pub(super) fn read(&self, at: usize, buf: &mut [u8]) -> usize {
        let end = self.len.min(at.saturating_add(buf.len()));
        let mut from = at;
        while from < end {
            let here = from % CHUNK;
            let count = (CHUNK - here).min(end - from);
            let chunk = &self.chunks[from / CHUNK].bytes;
            buf[from - at..][..count].copy_from_slice(&chunk[here..here + count]);
            from += count;
        }
        end.saturating_sub(at)
    }

    pub(super) fn to_vec(&self) -> Vec<u8> {
        let mut bytes = vec![0; self.len];
        self.read(0, &mut bytes);
        bytes
    }

    /// Puts the bytes at `at`; a gap before them reads as zeros.
    pub(super) fn write(&mut self, at: usize, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        let end = at + bytes.len();
        if end > self.len {
            self.set_len(end);
        }
        let mut from = at;
        while from < end {
            let here = from % CHUNK;
            let count = (CHUNK - here).min(end - from);
            self.chunk(from / CHUNK)[here..here + count]
                .copy_from_slice(&bytes[from - at..][..count]);
            from += count;
        }
    }

    pub(super) fn set_len(&mut self, len: usize) {
        let zero = || {
            Arc::new(Chunk {
                bytes: [0; CHUNK],
                hash: OnceLock::new(),
            })
        };
        self.chunks.resize_with(len.div_ceil(CHUNK), zero);
        if len < self.len && !len.is_multiple_of(CHUNK) {
            self.chunk(len / CHUNK)[len % CHUNK..].fill(0);
        }
        self.len = len;
    }

    fn chunk(&mut self, index: usize) -> &mut [u8; CHUNK] {
        let chunk = Arc::make_mut(&mut self.chunks[index]);
        chunk.hash = OnceLock::new();
        &mut chunk.bytes
    }

    pub(super) fn hash(&self) -> u64 {
        self.chunks.iter().fold(self.len as u64, |hash, chunk| {
            mix(hash, *chunk.hash.get_or_init(|| hash_bytes(&chunk.bytes)))
        })
    }
}

/// Folds a value into a hash (the product of two 64-bit numbers, both halves kept, as in wyhash).
pub(super) fn mix(hash: u64, value: u64) -> u64 {
    let product =
        u128::from(hash ^ 0x9E37_79B9_7F4A_7C15) * u128::from(value ^ 0xD6E8_FEB8_6659_FD93);
    (product as u64) ^ ((product >> 64) as u64) ^ value.rotate_left(29)
}

pub(super) fn hash_bytes(bytes: &[u8]) -> u64 {
    let words = bytes.chunks_exact(8);
    let mut last = [0; 8];
    last[..words.remainder().len()].copy_from_slice(words.remainder());
    words
        .map(|word| u64::from_le_bytes(word.try_into().expect("chunks of eight")))
        .chain([u64::from_le_bytes(last), bytes.len() as u64])
        .fold(0, mix)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn behaves_as_a_vector_of_bytes_whose_clones_never_change() {
        let mut random = super::super::random::Random::new(1);
        let (mut content, mut model) = (Content::default(), Vec::new());
        for _ in 0..2_000 {
            let (before, copy) = (model.clone(), content.clone());
            let at = random.below(3 * CHUNK);
            if random.below(4) == 0 {
                content.set_len(at);
                model.resize(at, 0);
            } else {
                let bytes = vec![random.next() as u8; random.below(CHUNK + 10)];
                content.write(at, &bytes);
                if !bytes.is_empty() {
                    model.resize(model.len().max(at + bytes.len()), 0);
                    model[at..at + bytes.len()].copy_from_slice(&bytes);
                }
            }
            assert_eq!(content.to_vec(), model);
            assert_eq!(copy.to_vec(), before);
            assert_eq!(content.hash(), Content::new(&model).hash());
            assert_eq!(content.hash() == copy.hash(), model == before);
        }
    }
}
