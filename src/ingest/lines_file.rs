//! A file of lines that are written before they are final: appended one after the other,
//! read again, and written anew from some line on where later events have changed them.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::FileExt;

/// Disk space asked for at once, in bytes. A file system that knows what is to come need not
/// find room for every page by itself, which is a good part of what a write costs.
const RESERVE_BYTES: u64 = 32 << 20;
/// Size in bytes from which on space is asked for: small files, written at once, are not worth the calls.
const RESERVE_FROM: u64 = 128 << 10;
/// Bytes that wait in memory for their place while a file is written anew.
const PENDING_BYTES: usize = 32 << 20;
/// Bytes read at once.
pub const READ_BYTES: usize = 1 << 20;

/// A regular file that is read and written, and nobody else's.
#[derive(Debug)]
pub struct LinesFile {
    file: File,
    /// Bytes written.
    len: u64,
    /// How far space is reserved; `None` where the file system does not do that.
    reserved: Option<u64>,
}

impl LinesFile {
    /// An empty file, opened for reading and writing.
    pub fn new(file: File) -> LinesFile {
        LinesFile { file, len: 0, reserved: Some(0) }
    }

    /// A file without a name, which goes when it is dropped.
    pub fn unnamed() -> io::Result<LinesFile> {
        Ok(LinesFile::new(tempfile::tempfile()?))
    }

    /// Bytes written.
    pub fn len(&self) -> u64 {
        self.len
    }

    /// True when nothing was written.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Reads what stands at `at`, until `bytes` are full or the file ends; returns how many bytes these are.
    pub fn read(&self, at: u64, bytes: &mut [u8]) -> io::Result<usize> {
        let count = usize::try_from(self.len.saturating_sub(at)).map_or(bytes.len(), |rest| rest.min(bytes.len()));
        self.file.read_exact_at(bytes.get_mut(..count).unwrap_or_default(), at)?;
        Ok(count)
    }

    /// Begins to write everything from byte `from` on anew.
    pub fn rewrite(&mut self, from: u64) -> Rewrite<'_> {
        Rewrite { file: self, read: from, written: from, waiting: VecDeque::new(), waiting_bytes: 0, spill: None }
    }

    fn reserve(&mut self, more: u64) {
        let Some(reserved) = self.reserved else { return };
        let end = self.len + more;
        if end <= reserved || end < RESERVE_FROM {
            return;
        }
        let from = reserved.max(self.len);
        let count = (end - from).max(RESERVE_BYTES);
        self.reserved = allocate(&self.file, from, count).then_some(from + count);
    }

    /// Gives back what was reserved and not used.
    fn release(&mut self) -> io::Result<()> {
        if self.reserved.is_some_and(|reserved| reserved > self.len) {
            self.reserved = Some(0);
            self.file.set_len(self.len)?;
        }
        Ok(())
    }
}

impl Write for LinesFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.reserve(bytes.len() as u64);
        let count = self.file.write_at(bytes, self.len)?;
        self.len += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.release()
    }
}

impl Drop for LinesFile {
    fn drop(&mut self) {
        // Whoever needs to know has called `flush`.
        let _ = self.release();
    }
}

/// Asks for disk space beyond the end of a file, whose length stays. False where that cannot
/// be had: then writing finds its room, or says that there is none.
#[cfg(target_os = "linux")]
fn allocate(file: &File, from: u64, count: u64) -> bool {
    use std::os::fd::AsRawFd;
    let (Ok(from), Ok(count)) = (libc::off_t::try_from(from), libc::off_t::try_from(count)) else { return false };
    // SAFETY: the call has no pointers, and the descriptor is open as long as `file`.
    unsafe { libc::fallocate(file.as_raw_fd(), libc::FALLOC_FL_KEEP_SIZE, from, count) == 0 }
}

#[cfg(not(target_os = "linux"))]
fn allocate(_: &File, _: u64, _: u64) -> bool {
    false
}

/// One pass over the lines of a file.
pub trait Pass {
    /// Reads what comes next, until `bytes` are full or the file ends; returns how many bytes these are.
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize>;
    /// Adds new bytes.
    fn push(&mut self, bytes: &[u8]) -> io::Result<()>;
}

/// A file that is copied to a writer.
pub struct Copy<'a> {
    file: &'a LinesFile,
    read: u64,
    out: &'a mut dyn Write,
}

impl<'a> Copy<'a> {
    /// Begins at the first byte.
    pub fn new(file: &'a LinesFile, out: &'a mut dyn Write) -> Copy<'a> {
        Copy { file, read: 0, out }
    }

    /// Copies what was not read yet as it is.
    pub fn rest(&mut self) -> io::Result<()> {
        let mut buffer = vec![0; READ_BYTES];
        loop {
            let count = self.read(&mut buffer)?;
            if count == 0 {
                return Ok(());
            }
            self.push(buffer.get(..count).unwrap_or_default())?;
        }
    }
}

impl Pass for Copy<'_> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let count = self.file.read(self.read, bytes)?;
        self.read += count as u64;
        Ok(count)
    }

    fn push(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.out.write_all(bytes)
    }
}

/// A file that is read and written anew in one pass. New bytes wait until the old ones in
/// their place were read: in memory, beyond a bound in a file without a name.
pub struct Rewrite<'a> {
    file: &'a mut LinesFile,
    /// How far old bytes were read.
    read: u64,
    /// How far new bytes were written.
    written: u64,
    waiting: VecDeque<Waiting>,
    waiting_bytes: usize,
    spill: Option<Spill>,
}

enum Waiting {
    Memory(Vec<u8>),
    /// So many bytes, next in the spill.
    Spilled(usize),
}

struct Spill {
    file: LinesFile,
    read: u64,
}

impl Pass for Rewrite<'_> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let count = self.file.read(self.read, bytes)?;
        self.read += count as u64;
        Ok(count)
    }

    fn push(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self.waiting_bytes + bytes.len() <= PENDING_BYTES {
            self.waiting_bytes += bytes.len();
            self.waiting.push_back(Waiting::Memory(bytes.to_vec()));
        } else {
            let spill = match &mut self.spill {
                Some(spill) => spill,
                none => none.insert(Spill { file: LinesFile::unnamed()?, read: 0 }),
            };
            spill.file.write_all(bytes)?;
            self.waiting.push_back(Waiting::Spilled(bytes.len()));
        }
        self.settle(self.read)
    }
}

impl Rewrite<'_> {
    /// Writes what has room before `end`.
    fn settle(&mut self, end: u64) -> io::Result<()> {
        while let Some(first) = self.waiting.front() {
            if self.written + first.len() as u64 > end {
                break;
            }
            match (self.waiting.pop_front(), &mut self.spill) {
                (Some(Waiting::Memory(bytes)), _) => {
                    self.waiting_bytes -= bytes.len();
                    self.put(&bytes)?;
                }
                (Some(Waiting::Spilled(len)), Some(spill)) => {
                    let mut bytes = vec![0; len];
                    spill.file.read(spill.read, &mut bytes)?;
                    spill.read += len as u64;
                    self.put(&bytes)?;
                }
                _ => break,
            }
        }
        Ok(())
    }

    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.file.write_all_at(bytes, self.written)?;
        self.written += bytes.len() as u64;
        Ok(())
    }

    /// Writes what still waits, and ends the file behind it.
    pub fn finish(mut self) -> io::Result<()> {
        self.settle(u64::MAX)?;
        self.file.len = self.written;
        self.file.reserved = None;
        self.file.file.set_len(self.written)
    }
}

impl Waiting {
    fn len(&self) -> usize {
        match self {
            Waiting::Memory(bytes) => bytes.len(),
            Waiting::Spilled(len) => *len,
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn content(file: &LinesFile) -> Vec<u8> {
        let mut bytes = vec![0; file.file.metadata().unwrap().len() as usize];
        assert_eq!(file.read(0, &mut bytes).unwrap(), bytes.len());
        assert_eq!(file.len(), bytes.len() as u64);
        bytes
    }

    /// Blocks grow, shrink and grow again, with more waiting than memory takes.
    #[test]
    fn what_is_written_anew_stands_in_order() {
        const BLOCK: usize = 1 << 20;
        let blocks = 2 * PENDING_BYTES / BLOCK;
        let block = |number: usize, len: usize| vec![b'a' + (number % 26) as u8; len];
        let new_len = |number: usize| match number {
            0 => BLOCK,
            n if n < blocks / 2 => BLOCK * 5 / 2,
            n if n < blocks * 3 / 4 => BLOCK / 16,
            _ => BLOCK + 7,
        };
        for (from, count) in [(0, blocks), (3, blocks), (blocks - 1, blocks), (0, 3)] {
            let mut file = LinesFile::unnamed().unwrap();
            (0..count).for_each(|number| file.write_all(&block(number, BLOCK)).unwrap());
            let mut rewrite = file.rewrite((from * BLOCK) as u64);
            let mut old = vec![0; BLOCK];
            for number in from..count {
                assert_eq!(rewrite.read(&mut old).unwrap(), BLOCK);
                assert!(old == block(number, BLOCK));
                rewrite.push(&block(number, new_len(number))).unwrap();
            }
            assert_eq!(rewrite.read(&mut old).unwrap(), 0);
            rewrite.finish().unwrap();
            let expected: Vec<u8> = (0..count).flat_map(|number| block(number, if number < from { BLOCK } else { new_len(number) })).collect();
            assert!(content(&file) == expected);
        }
    }

    #[test]
    fn nothing_stays_reserved() {
        use std::os::unix::fs::MetadataExt;
        let mut file = LinesFile::unnamed().unwrap();
        let bytes = vec![7; RESERVE_FROM as usize + 1];
        file.write_all(&bytes).unwrap();
        file.flush().unwrap();
        assert_eq!(content(&file), bytes);
        assert!(file.file.metadata().unwrap().blocks() * 512 <= RESERVE_FROM + (1 << 16));
        file.write_all(&bytes).unwrap();
        file.flush().unwrap();
        assert_eq!(content(&file).len(), bytes.len() * 2);
    }
}
