//! Records on one file: reading them one after another, and finding them behind damage.

use super::disk::{Disk, DiskFile, Stat};
use super::format::{ALIGN, HEAD_BYTES, Head};
use crate::error::{Error, Result};
use std::io;
use std::path::Path;
use std::sync::Arc;

/// Bytes read at once when many records are wanted: few enough to stay in a core's cache between copying and checking.
const CHUNK_BYTES: usize = 128 << 10;
/// Bytes that a search may read behind heads whose bodies do not verify. One place in 2^32 looks like a head by chance;
/// behind more bytes than this, somebody has made heads up, one inside the other. From then on the search passes over
/// each such record as a whole, so that its cost stays linear.
const REFUSED_BYTES_MAX: u64 = 256 << 20;
/// Interruptions by signals after which a call is taken to fail for good.
const INTERRUPTS_MAX: u32 = 1_000;

/// Repeats a call that a signal interrupted.
pub(crate) fn uninterrupted<T>(mut call: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    let mut interrupts = 0;
    loop {
        match call() {
            Err(error)
                if error.kind() == io::ErrorKind::Interrupted && interrupts < INTERRUPTS_MAX =>
            {
                interrupts += 1;
            }
            result => return result,
        }
    }
}

/// An open file with its path for messages, whole reads and whole writes.
#[derive(Debug, Clone)]
pub(crate) struct LogFile {
    pub(crate) file: Arc<dyn DiskFile>,
    pub(crate) path: Arc<Path>,
}

impl LogFile {
    /// Reads until the buffer is full or the file ends.
    #[inline(never)]
    pub(crate) fn read_up_to(&self, buf: &mut [u8], offset: u64) -> Result<usize> {
        let mut filled = 0;
        while let Some(rest) = buf.get_mut(filled..).filter(|rest| !rest.is_empty()) {
            match uninterrupted(|| self.file.read_at(rest, offset + filled as u64)) {
                Ok(0) => break,
                Ok(read) => filled += read,
                Err(error) => return Err(Error::io("read", &self.path, error).offset_at(offset)),
            }
        }
        Ok(filled)
    }

    /// Reads until `enough` bytes are there or the file ends; takes more if they come along.
    ///
    /// Beyond `enough` one call decides: a regular file gives fewer bytes than were asked for only at its end (POSIX
    /// read(2); signals do not interrupt it on a local disk).
    #[inline]
    pub(crate) fn read_at_least(
        &self,
        enough: usize,
        buf: &mut [u8],
        offset: u64,
    ) -> Result<usize> {
        let read = uninterrupted(|| self.file.read_at(buf, offset))
            .map_err(|error| Error::io("read", &self.path, error).offset_at(offset))?;
        if read >= enough {
            return Ok(read);
        }
        let rest = buf.get_mut(read..).unwrap_or_default();
        Ok(read + self.read_up_to(rest, offset + read as u64)?)
    }

    /// Writes all of the buffer. On an error some of it may have been written.
    pub(crate) fn write_all(&self, mut buf: &[u8], mut offset: u64) -> Result<()> {
        while !buf.is_empty() {
            let written = match uninterrupted(|| self.file.write_at(buf, offset)) {
                Ok(0) => Err(io::Error::from(io::ErrorKind::WriteZero)),
                result => result,
            };
            let written = written
                .map_err(|error| Error::io("write to", &self.path, error).offset_at(offset))?;
            buf = buf.get(written..).unwrap_or_default();
            offset += written as u64;
        }
        Ok(())
    }

    pub(crate) fn set_len(&self, len: u64) -> Result<()> {
        uninterrupted(|| self.file.set_len(len))
            .map_err(|error| Error::io("cut", &self.path, error).offset_at(len))
    }

    pub(crate) fn sync(&self) -> Result<()> {
        uninterrupted(|| self.file.sync()).map_err(|error| Error::io("sync", &self.path, error))
    }

    #[inline]
    pub(crate) fn size(&self) -> Result<u64> {
        uninterrupted(|| self.file.size()).map_err(|error| Error::io("look at", &self.path, error))
    }

    pub(crate) fn stat(&self) -> Result<Stat> {
        uninterrupted(|| self.file.stat()).map_err(|error| Error::io("look at", &self.path, error))
    }

    /// Whether a path leads to this file.
    pub(crate) fn is_at(&self, disk: &dyn Disk, path: &Path) -> Result<bool> {
        let ours = self.stat()?;
        match uninterrupted(|| disk.stat(path)) {
            Ok(there) => Ok(there.same_file(&ours)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(Error::io("look at", &self.path, error)),
        }
    }

    pub(crate) fn corrupt(&self, offset: u64, what: &str) -> Error {
        Error::corrupt(&self.path, offset, what)
    }

    #[cold]
    pub(crate) fn unverified(&self, offset: u64) -> Error {
        self.corrupt(offset, UNVERIFIED)
    }
}

pub(crate) const UNVERIFIED: &str = "a record does not verify";

/// The bytes at a place in the log.
#[derive(Debug)]
pub(crate) enum Step<'b> {
    /// A record whose checks both hold.
    Record {
        offset: u64,
        head: Head,
        body: &'b [u8],
    },
    /// A whole record of which only the fixed part can be believed.
    BadBody { offset: u64, head: Head },
    /// Bytes that are no record, or the beginning of one.
    Unverified { offset: u64 },
    /// The file ends here.
    End,
}

/// Reads records forward through a buffer.
#[derive(Debug)]
pub(crate) struct Scanner<'f> {
    log: &'f LogFile,
    seed: u64,
    offset: u64,
    /// Its first `filled` bytes are the file's from `buf_at` on.
    buf: Vec<u8>,
    filled: usize,
    buf_at: u64,
    chunk_bytes: usize,
    /// Bytes that `find_record` has read behind heads whose bodies do not verify.
    refused_bytes: u64,
}

impl<'f> Scanner<'f> {
    pub(crate) fn new(log: &'f LogFile, seed: u64, offset: u64) -> Scanner<'f> {
        Scanner {
            log,
            seed,
            offset,
            buf: Vec::new(),
            filled: 0,
            buf_at: offset,
            chunk_bytes: CHUNK_BYTES,
            refused_bytes: 0,
        }
    }

    /// For a few records only.
    pub(crate) fn short(log: &'f LogFile, seed: u64, offset: u64) -> Scanner<'f> {
        Scanner {
            chunk_bytes: 4 << 10,
            ..Scanner::new(log, seed, offset)
        }
    }

    /// Reads through a buffer that there is already.
    pub(crate) fn buffered(self, buf: Vec<u8>) -> Scanner<'f> {
        Scanner { buf, ..self }
    }

    pub(crate) fn into_buffer(self) -> Vec<u8> {
        self.buf
    }

    pub(crate) fn offset(&self) -> u64 {
        self.offset
    }

    /// Continues at `offset`, with bytes read anew if `anew`.
    pub(crate) fn seek(&mut self, offset: u64, anew: bool) {
        self.offset = offset;
        if anew || offset < self.buf_at {
            self.filled = 0;
        }
    }

    /// Tells what stands here; goes on behind it if its length is known.
    #[inline]
    pub(crate) fn step(&mut self) -> Result<Step<'_>> {
        let (offset, seed) = (self.offset, self.seed);
        let Some(head) = self.head()? else {
            return Ok(if self.window(1)?.is_empty() {
                Step::End
            } else {
                Step::Unverified { offset }
            });
        };
        let record_bytes = head.record_bytes() as usize;
        if record_bytes > self.chunk_bytes && offset + head.record_bytes() > self.log.size()? {
            // Never make room for a length that the file does not have.
            return Ok(Step::Unverified { offset });
        }
        if self.window(record_bytes)?.len() < record_bytes {
            return Ok(Step::Unverified { offset });
        }
        self.offset = offset + record_bytes as u64;
        let start = (offset - self.buf_at) as usize;
        let body = self
            .buf
            .get(start + HEAD_BYTES..start + record_bytes)
            .unwrap_or_default();
        Ok(if head.body_holds(body, seed, offset) {
            Step::Record { offset, head, body }
        } else {
            Step::BadBody { offset, head }
        })
    }

    /// The next place, from here on, where a whole record stands, of at least this epoch. Stays before it.
    pub(crate) fn find_record(&mut self, epoch_min: u16) -> Result<Option<Head>> {
        loop {
            let window = self.window(HEAD_BYTES)?;
            if window.len() < HEAD_BYTES {
                return Ok(None);
            }
            let zeros = leading_zeros(window);
            if zeros >= HEAD_BYTES {
                // A record never begins with so many, and a file may end in gigabytes of them.
                self.offset += ((zeros - HEAD_BYTES) as u64 / ALIGN + 1) * ALIGN;
                continue;
            }
            let offset = self.offset;
            let mut skipped = ALIGN;
            if let Some(head) = self.head()?
                && head.epoch >= epoch_min
            {
                match self.step()? {
                    Step::Record { .. } => {
                        self.offset = offset;
                        return Ok(Some(head));
                    }
                    Step::BadBody { head, .. } => {
                        self.refused_bytes += head.record_bytes();
                        if self.refused_bytes > REFUSED_BYTES_MAX {
                            skipped = head.record_bytes();
                        }
                    }
                    Step::Unverified { .. } | Step::End => {}
                }
            }
            self.offset = offset + skipped;
        }
    }

    #[inline]
    fn head(&mut self) -> Result<Option<Head>> {
        let (seed, offset) = (self.seed, self.offset);
        Ok(self
            .window(HEAD_BYTES)?
            .first_chunk()
            .and_then(|fixed| Head::decode(fixed, seed, offset)))
    }

    /// At least `wanted` bytes from here on, or all there are.
    #[inline]
    fn window(&mut self, wanted: usize) -> Result<&[u8]> {
        let skipped = usize::try_from(self.offset.wrapping_sub(self.buf_at)).unwrap_or(usize::MAX);
        if skipped <= self.filled && self.filled - skipped >= wanted {
            return Ok(self.buf.get(skipped..self.filled).unwrap_or_default());
        }
        self.refill(wanted)
    }

    #[cold]
    fn refill(&mut self, wanted: usize) -> Result<&[u8]> {
        let skipped = usize::try_from(self.offset.saturating_sub(self.buf_at))
            .unwrap_or(usize::MAX)
            .min(self.filled);
        let held = self.filled - skipped;
        self.buf.copy_within(skipped..self.filled, 0);
        (self.filled, self.buf_at) = (held, self.offset);
        if self.buf.len() < wanted.max(self.chunk_bytes) {
            self.buf.resize(wanted.max(self.chunk_bytes), 0);
        }
        let space = self.buf.get_mut(held..).unwrap_or_default();
        self.filled += self.log.read_up_to(space, self.offset + held as u64)?;
        Ok(self.buf.get(..self.filled).unwrap_or_default())
    }
}

fn leading_zeros(bytes: &[u8]) -> usize {
    // A nonzero byte is what most places begin with.
    if bytes.first() != Some(&0) {
        return 0;
    }
    const BLOCK: usize = 64;
    let blocks = bytes.chunks_exact(BLOCK);
    let zeros = blocks.take_while(|block| *block == [0; BLOCK]).count() * BLOCK;
    let rest = bytes.get(zeros..).unwrap_or_default();
    zeros + rest.iter().take_while(|byte| **byte == 0).count()
}

#[cfg(test)]
mod tests {
    use super::super::checksum::xxh64;
    use super::super::disk::{Create, Disk, OpenFile};
    use super::super::format::{Kind, NewRecord};
    use super::*;
    use crate::sim::SimDisk;

    #[test]
    fn heads_made_up_one_inside_the_other_do_not_make_reading_quadratic() {
        const FILE_BYTES: usize = 16 << 20;
        let mut bytes = Vec::new();
        while bytes.len() + HEAD_BYTES <= FILE_BYTES {
            let start = bytes.len();
            NewRecord::marker(Kind::Put, 1, 0).encode(0, start as u64, &mut bytes);
            let claimed = (FILE_BYTES - bytes.len()) as u32;
            bytes[start + 16..start + 20].copy_from_slice(&claimed.to_le_bytes());
            let check = xxh64(&bytes[start + 8..], start as u64) as u32;
            bytes[start..start + 4].copy_from_slice(&check.to_le_bytes());
        }
        bytes.resize(FILE_BYTES, 1);
        let sim = SimDisk::new(1);
        sim.write("/x", &bytes).unwrap();
        let how = OpenFile {
            write: false,
            create: Create::Never,
            mode: 0,
        };
        let log = LogFile {
            file: sim.process().open(Path::new("/x"), how).unwrap(),
            path: Path::new("/x").into(),
        };
        let mut scanner = Scanner::new(&log, 0, 0);
        assert!(matches!(scanner.step().unwrap(), Step::BadBody { .. }));
        scanner.seek(0, false);
        assert_eq!(scanner.find_record(1).unwrap(), None);
        let refused = scanner.refused_bytes;
        let file_bytes = FILE_BYTES as u64;
        assert!(refused > REFUSED_BYTES_MAX, "the heads hold");
        assert!(refused <= REFUSED_BYTES_MAX + 2 * file_bytes, "{refused}");
    }
}
