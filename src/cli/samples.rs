//! Sample files for `coverage` and `diff`: batches in order, on the caller's thread, with
//! the place of each message.

use std::path::PathBuf;
use std::thread::JoinHandle;

use crossbeam_channel::{Receiver, Sender, bounded};
use indicatif::ProgressBar;

use super::output;
use crate::error::Error;
use crate::ingest::batch::{Message, RawBatch};
use crate::ingest::decode::DecodeLimits;
use crate::ingest::files::{BATCH_ROWS_MAX, FileError, Input, Reader, list, source_of};
use crate::ingest::plan::Plan;

/// Batches read ahead (count).
const BATCHES_AHEAD: usize = 2;

/// Files being read.
pub struct Samples {
    /// All files, in order.
    pub files: Vec<PathBuf>,
    batches: Receiver<RawBatch>,
    recycle: Sender<Vec<u8>>,
    reader: JoinHandle<Vec<FileError>>,
    bar: ProgressBar,
}

impl Samples {
    /// Lists and opens samples; each batch is of one file, whose number is the partition
    /// of its messages. `source` gives each file's source.
    pub fn open(paths: &[PathBuf], mut source: impl FnMut(&std::path::Path) -> u16) -> Result<Samples, Error> {
        let files = list(paths)?;
        let inputs: Vec<Input> = files.iter().map(|path| Input { path: path.clone(), source: source(path) }).collect();
        let (send, batches) = bounded(BATCHES_AHEAD);
        let (recycle, recycled) = bounded(BATCHES_AHEAD);
        let mut reader = Reader::new(send, recycled, BATCH_ROWS_MAX, DecodeLimits::default().message_bytes);
        let bar = output::progress(0, false);
        let seen = bar.clone();
        let reader = std::thread::Builder::new().name("reader".into()).spawn(move || {
            let mut damaged = Vec::new();
            for (number, input) in inputs.iter().enumerate() {
                if let Err(error) = reader.run(input, number as u16, &mut |bytes| seen.inc(bytes as u64)) {
                    damaged.push(error);
                }
            }
            damaged
        })?;
        Ok(Samples { files, batches, recycle, reader, bar })
    }

    /// The next batch; `None` at the end.
    pub fn next_batch(&mut self) -> Option<RawBatch> {
        self.batches.recv().ok()
    }

    /// Takes an arena back.
    pub fn recycle(&self, arena: Option<Vec<u8>>) {
        if let Some(arena) = arena {
            // A full channel: there are enough.
            let _ = self.recycle.try_send(arena);
        }
    }

    /// The end: what could not be read.
    pub fn finish(self) -> Result<Vec<FileError>, Error> {
        self.bar.finish_and_clear();
        drop(self.batches);
        self.reader.join().map_err(|_| Error::bug("the reader failed"))
    }
}

/// `file:line` of a message.
pub fn place(files: &[PathBuf], message: &Message) -> String {
    let file = files.get(message.partition as usize).map(|path| path.display().to_string()).unwrap_or_default();
    format!("{file}:{}", message.offset.saturating_add(1))
}

/// Which source of a plan a file belongs to, as `replay` finds it; `fixed` is `--source`.
pub fn sources<'a>(plan: &'a Plan, fixed: Option<&str>) -> Result<impl Fn(&std::path::Path) -> u16 + use<'a>, Error> {
    let names: Vec<&'a str> = plan.sources.iter().map(|source| &*source.name).collect();
    let fixed = match fixed {
        Some(name) => match names.iter().position(|known| *known == name) {
            Some(number) => Some(number as u16),
            None => return Err(Error::user(format!("the pipeline has no source `{name}`")).hint(format!("its sources: {}", names.join(", ")))),
        },
        None => None,
    };
    Ok(move |path: &std::path::Path| fixed.unwrap_or_else(|| source_of(path, plan)))
}
