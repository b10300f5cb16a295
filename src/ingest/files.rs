//! Files as a source: NDJSON, plain or compressed (gzip, zstd; told by their first
//! bytes), from paths, directories and standard input, cut into batches.
//!
//! Bytes are read straight into the arena of a batch and lines are found there: a
//! line is copied only if it straddles two batches.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};

use crossbeam_channel::{Receiver, Sender};

use super::batch::RawBatch;
use super::plan::Plan;
use super::scene::NO_TIME;

/// Lines of a batch at the most (DataFusion's own batch size).
pub const BATCH_ROWS_MAX: usize = 8192;
/// Bytes of a batch, unless one line is longer: small enough for its arena, columns and
/// output to stay in the second-level cache between stages.
pub const BATCH_BYTES: usize = 1 << 20;
/// Bytes of a batch where many types compute fields of their own: each type's rows are
/// evaluated apart, and the cost of that is per batch.
pub const BATCH_BYTES_WIDE: usize = 4 << 20;
/// Expressions of types from which on batches are wide (count).
const WIDE_FROM: usize = 64;
/// Most files of one run (partition numbers are 16 bits wide).
pub const FILES_MAX: usize = 65_536;

/// What went wrong with an input.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// It cannot be opened, listed or read.
    #[error("cannot read {path}: {error}")]
    Io {
        /// The file.
        path: PathBuf,
        /// The cause.
        error: io::Error,
    },
    /// A directory without any input.
    #[error("no input in the directory {0}: looked for .ndjson, .jsonl, .json and .log, also with .gz and .zst")]
    Nothing(PathBuf),
    /// Too many files.
    #[error("more than {FILES_MAX} files in one run")]
    TooMany,
}

/// One input and the source that its lines belong to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Input {
    /// The file; `-` is standard input.
    pub path: PathBuf,
    /// Number of the source in the pipeline.
    pub source: u16,
}

/// Lists all inputs: files as they are named, directories recursively in the order of names.
pub fn list(paths: &[PathBuf]) -> Result<Vec<PathBuf>, FileError> {
    let mut found = Vec::new();
    for path in paths {
        if path.as_os_str() == "-" {
            found.push(path.clone());
            continue;
        }
        let meta = std::fs::metadata(path).map_err(|error| FileError::Io { path: path.clone(), error })?;
        if meta.is_dir() {
            let before = found.len();
            walk(path, &mut found)?;
            if found.len() == before {
                return Err(FileError::Nothing(path.clone()));
            }
        } else {
            found.push(path.clone());
        }
    }
    if found.len() > FILES_MAX { Err(FileError::TooMany) } else { Ok(found) }
}

fn walk(dir: &Path, found: &mut Vec<PathBuf>) -> Result<(), FileError> {
    let io = |error| FileError::Io { path: dir.to_owned(), error };
    let mut entries: Vec<PathBuf> = std::fs::read_dir(dir).map_err(io)?.map(|entry| entry.map(|e| e.path())).collect::<io::Result<_>>().map_err(io)?;
    entries.sort();
    for path in entries {
        let name = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
        if name.starts_with('.') {
            continue;
        }
        if path.is_dir() {
            walk(&path, found)?;
        } else if is_input(&name) {
            found.push(path);
        }
    }
    Ok(())
}

fn is_input(name: &str) -> bool {
    let plain = name.strip_suffix(".gz").or_else(|| name.strip_suffix(".zst")).unwrap_or(name);
    [".ndjson", ".jsonl", ".json", ".log"].iter().any(|ending| plain.ends_with(ending)) && !plain.ends_with(".labels.jsonl")
}

/// The source of a file: the one whose topic is the file's name (`aws.cloudtrail.ndjson`),
/// else the one whose name stands in the path as a word (the word nearest to the end
/// counts), else the first.
pub fn source_of(path: &Path, plan: &Plan) -> u16 {
    let sources = &plan.sources;
    let file = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let by_topic = sources
        .iter()
        .position(|source| source.topics.iter().any(|topic| file.strip_prefix(&**topic).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))));
    if let Some(number) = by_topic {
        return number as u16;
    }
    let path = path.to_string_lossy().to_lowercase();
    let words: Vec<&str> = path.split(|c: char| !c.is_alphanumeric()).collect();
    let nearest = words.iter().rev().find_map(|word| sources.iter().position(|source| source.name.eq_ignore_ascii_case(word)));
    nearest.unwrap_or_default() as u16
}

/// Opens a file, or standard input, and undoes its compression.
pub fn open(path: &Path) -> io::Result<Box<dyn Read + Send>> {
    let mut plain: Box<dyn Read + Send> = if path.as_os_str() == "-" { Box::new(io::stdin()) } else { Box::new(File::open(path)?) };
    let mut magic = [0; 4];
    let mut have = 0;
    while have < magic.len() {
        match plain.read(&mut magic[have..]) {
            Ok(0) => break,
            Ok(n) => have += n,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    let whole = io::Cursor::new(magic[..have].to_vec()).chain(plain);
    Ok(match &magic[..have] {
        [0x1f, 0x8b, ..] => Box::new(flate2::bufread::MultiGzDecoder::new(BufReader::with_capacity(1 << 16, whole))),
        [0x28, 0xb5, 0x2f, 0xfd] => Box::new(zstd::stream::read::Decoder::new(whole)?),
        _ => Box::new(whole),
    })
}

/// Cuts inputs into batches.
pub struct Reader {
    batches: Sender<RawBatch>,
    recycled: Receiver<Vec<u8>>,
    seq: u64,
    rows_max: usize,
    batch_bytes: usize,
    line_bytes_max: usize,
}

/// How many bytes a batch of this plan should have.
pub fn batch_bytes(plan: &Plan) -> usize {
    let apart = plan.sources.iter().map(|source| source.sections.iter().map(|section| section.phase.outputs()).sum::<usize>()).max();
    if apart.unwrap_or_default() >= WIDE_FROM { BATCH_BYTES_WIDE } else { BATCH_BYTES }
}

impl Reader {
    /// A reader that sends to `batches` and reuses arenas from `recycled`. A line longer
    /// than `line_bytes_max` is cut there, so that the decoder refuses it.
    pub fn new(batches: Sender<RawBatch>, recycled: Receiver<Vec<u8>>, rows_max: usize, line_bytes_max: usize) -> Reader {
        Reader { batches, recycled, seq: 0, rows_max: rows_max.clamp(1, BATCH_ROWS_MAX), batch_bytes: BATCH_BYTES, line_bytes_max }
    }

    /// The same with batches of so many bytes.
    pub fn batch_bytes(mut self, bytes: usize) -> Reader {
        self.batch_bytes = bytes;
        self
    }

    /// Reads one input to its end. `read` is told of every chunk of (uncompressed) bytes.
    /// Stops early, without an error, when nobody takes batches any more.
    pub fn run(&mut self, input: &Input, partition: u16, read: &mut dyn FnMut(usize)) -> Result<(), FileError> {
        let fail = |error| FileError::Io { path: input.path.clone(), error };
        let mut file = open(&input.path).map_err(fail)?;
        let mut cut = Cut { line: 0, skipping: false };
        let mut batch = RawBatch::new(self.seq, input.source, self.arena());
        let mut error = None;
        let mut done = false;
        loop {
            if !done {
                // A line that is longer than a batch makes the arena grow, a batch at a time.
                let room = self.batch_bytes.saturating_sub(batch.arena.len()).max(self.batch_bytes / 4);
                match fill(&mut *file, &mut batch.arena, room) {
                    Ok(0) => done = true,
                    Ok(n) => read(n),
                    // What was read before is good, and is not lost.
                    Err(e) => {
                        error = Some(fail(e));
                        done = true;
                    }
                }
            }
            let rest = self.cut(&mut batch, partition, &mut cut, done);
            if batch.messages.is_empty() {
                batch.arena.drain(..rest);
                if done && batch.arena.is_empty() {
                    return error.map_or(Ok(()), Err);
                }
                continue;
            }
            let mut next = RawBatch::new(self.seq + 1, input.source, self.arena());
            next.arena.extend_from_slice(batch.arena.get(rest..).unwrap_or_default());
            batch.arena.truncate(rest);
            batch.seal();
            self.seq += 1;
            if self.batches.send(std::mem::replace(&mut batch, next)).is_err() {
                return Ok(());
            }
        }
    }

    fn arena(&self) -> Vec<u8> {
        let mut arena = self.recycled.try_recv().unwrap_or_default();
        arena.clear();
        arena.reserve(self.batch_bytes + self.batch_bytes / 4 + super::batch::ARENA_PADDING);
        arena
    }

    /// Finds lines in the arena; returns where the part that is not a whole line begins.
    fn cut(&self, batch: &mut RawBatch, partition: u16, cut: &mut Cut, end: bool) -> usize {
        let arena = std::mem::take(&mut batch.arena);
        let mut start = 0;
        for at in memchr::memchr_iter(b'\n', &arena) {
            if batch.messages.len() >= self.rows_max {
                break;
            }
            cut.line(batch, &arena, start, at, partition);
            start = at + 1;
        }
        let full = batch.messages.len() >= self.rows_max;
        if !full && end && start < arena.len() {
            cut.line(batch, &arena, start, arena.len(), partition);
            start = arena.len();
        } else if !full && arena.len() - start > self.line_bytes_max {
            // Too long for any event: what is here becomes a dead letter, the rest of the line is skipped.
            cut.line(batch, &arena, start, arena.len(), partition);
            cut.skipping = true;
            start = arena.len();
        }
        batch.arena = arena;
        start
    }
}

/// Where the reader is in a file.
struct Cut {
    /// Number of the next line, 0-based.
    line: i64,
    /// The line began in an earlier batch and was too long.
    skipping: bool,
}

impl Cut {
    fn line(&mut self, batch: &mut RawBatch, arena: &[u8], start: usize, end: usize, partition: u16) {
        let line = self.line;
        if std::mem::take(&mut self.skipping) {
            self.line += 1;
            return;
        }
        self.line += 1;
        let end = if end > start && arena[end - 1] == b'\r' { end - 1 } else { end };
        // An empty line is no event.
        if end > start {
            batch.push_span(start as u32, (end - start) as u32, partition, line, NO_TIME);
        }
    }
}

/// Reads up to `room` bytes to the end of `arena`; 0 at the end of the file.
fn fill(file: &mut dyn Read, arena: &mut Vec<u8>, room: usize) -> io::Result<usize> {
    let have = arena.len();
    // Reads into spare capacity: nothing is zeroed first.
    match file.take(room as u64).read_to_end(arena) {
        Ok(n) => Ok(n),
        // Hand out what was read; the error comes again with the next call.
        Err(_) if arena.len() > have => Ok(arena.len() - have),
        Err(error) => Err(error),
    }
}
