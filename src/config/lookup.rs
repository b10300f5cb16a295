//! Owns lookup tables: CSV files that are searched by exact key, by address range or by
//! pattern, bounded, and replaced as a whole when their file changes.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use arc_swap::{ArcSwap, Guard};
use thiserror::Error;

use super::limits::{LOOKUP_BYTES_MAX, LOOKUP_COLUMNS_MAX, LOOKUP_GLOB_ROWS_MAX, LOOKUP_ROWS_MAX};
use super::suggest;

mod index;
use index::Index;

/// Time and size of a file, where the system tells them.
type Stamp = Option<(SystemTime, u64)>;

/// How a table is searched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LookupKind {
    /// The key equals the key column, byte for byte.
    Exact,
    /// The key is an address, the key column holds networks; the smallest that contains it wins.
    Cidr,
    /// The key column holds patterns (`*`, `?`, `[a-z]`, `{a,b}`); the first that matches wins.
    Glob,
}

/// Why a table cannot be read. Lines count from 1, the header included.
#[derive(Debug, Error)]
pub enum LookupError {
    /// The file cannot be opened or read.
    #[error("cannot read {path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// The file is larger than [`LOOKUP_BYTES_MAX`].
    #[error("the file is larger than {} bytes", LOOKUP_BYTES_MAX)]
    TooLarge,
    /// More rows than a table of this kind may have.
    #[error("more than {0} rows")]
    TooManyRows(usize),
    /// The file has no first line with column names.
    #[error("the file has no header line")]
    NoHeader,
    /// Too many columns.
    #[error("more than {} columns", LOOKUP_COLUMNS_MAX)]
    TooManyColumns,
    /// A column name stands twice in the header.
    #[error("the header names the column `{0}` twice")]
    ColumnTwice(String),
    /// The key column is not in the header.
    #[error("there is no column `{key}`")]
    NoKeyColumn {
        /// What was asked for.
        key: String,
        /// What there is.
        columns: Vec<String>,
    },
    /// A reload no longer has a column that expressions read.
    #[error("the column `{0}` is gone")]
    ColumnGone(String),
    /// A row with too few or too many cells, a key that is not one, or bytes that are not UTF-8.
    #[error("line {line}: {message}")]
    Row {
        /// Where.
        line: u64,
        /// What.
        message: String,
    },
}

impl LookupError {
    /// What to do about it, where there is something to say.
    pub fn hint(&self) -> Option<String> {
        match self {
            LookupError::Io { source, .. } if source.kind() == std::io::ErrorKind::NotFound => {
                Some("paths start from the directory of the pipeline".to_owned())
            }
            LookupError::NoHeader => Some("the first line names the columns: host,owner,criticality".to_owned()),
            LookupError::NoKeyColumn { key, columns } => {
                let columns: Vec<&str> = columns.iter().map(String::as_str).collect();
                suggest::hint(key, &columns)
            }
            _ => None,
        }
    }
}

/// One state of a table. Cells are text; an empty cell is no value.
#[derive(Debug, Default)]
pub struct TableData {
    cells: String,
    /// End of each cell in `cells`, row by row.
    ends: Vec<u32>,
    width: usize,
    index: Index,
    /// Rows whose key an earlier row has already; they are never found.
    pub repeated_keys: usize,
    /// Rows without a key; they are never found.
    pub empty_keys: usize,
    /// Time and size of the file when it was read.
    stamp: Stamp,
}

impl TableData {
    /// The row that a key finds.
    pub fn find(&self, key: &str) -> Option<u32> {
        self.index.find(self, key)
    }

    /// A cell, by row and by column number ([`LookupTable::column`]); `None` if it is empty.
    pub fn cell(&self, row: u32, column: usize) -> Option<&str> {
        if column >= self.width {
            return None;
        }
        let number = (row as usize).checked_mul(self.width)?.checked_add(column)?;
        let end = *self.ends.get(number)? as usize;
        let start = match number.checked_sub(1) {
            Some(before) => *self.ends.get(before)? as usize,
            None => 0,
        };
        self.cells.get(start..end).filter(|cell| !cell.is_empty())
    }

    /// Rows.
    pub fn rows(&self) -> usize {
        self.ends.len().checked_div(self.width).unwrap_or(0)
    }

    /// Bytes that it holds in memory, about.
    pub fn bytes(&self) -> usize {
        self.cells.capacity() + self.ends.capacity() * 4 + self.index.bytes()
    }
}

/// A table whose data can be replaced while others read it. Its columns stay what they
/// were when it was opened, so that a compiled expression can keep a column number.
#[derive(Debug)]
pub struct LookupTable {
    path: PathBuf,
    kind: LookupKind,
    key: usize,
    columns: Vec<String>,
    data: ArcSwap<TableData>,
}

impl LookupTable {
    /// Reads a CSV file with a header line.
    ///
    /// # Errors
    /// [`LookupError`]: the file is missing, too large, not CSV, or has no such key column.
    pub fn open(path: &Path, key: &str, kind: LookupKind) -> Result<LookupTable, LookupError> {
        let (bytes, stamp) = read_bounded(path)?;
        LookupTable::build(path, &bytes, stamp, key, kind)
    }

    /// Reads a table from the bytes of a CSV file with a header line.
    ///
    /// # Errors
    /// As [`LookupTable::open`].
    pub fn parse(bytes: &[u8], key: &str, kind: LookupKind) -> Result<LookupTable, LookupError> {
        LookupTable::build(Path::new(""), bytes, None, key, kind)
    }

    fn build(path: &Path, bytes: &[u8], stamp: Stamp, key: &str, kind: LookupKind) -> Result<LookupTable, LookupError> {
        utf8(bytes)?;
        let columns = header(bytes)?;
        let Some(key) = columns.iter().position(|column| column == key) else {
            return Err(LookupError::NoKeyColumn { key: key.to_owned(), columns });
        };
        let mut data = read_rows(bytes, &columns, key, kind)?;
        data.stamp = stamp;
        Ok(LookupTable { path: path.to_owned(), kind, key, columns, data: ArcSwap::from_pointee(data) })
    }

    /// A table without rows, in place of one that could not be read.
    pub fn empty(path: &Path, key: &str, kind: LookupKind) -> LookupTable {
        let data = TableData { width: 1, ..TableData::default() };
        LookupTable { path: path.to_owned(), kind, key: 0, columns: vec![key.to_owned()], data: ArcSwap::from_pointee(data) }
    }

    /// The data as it is now. Hold it for one batch, not longer.
    pub fn current(&self) -> Guard<Arc<TableData>> {
        self.data.load()
    }

    /// How it is searched.
    pub fn kind(&self) -> LookupKind {
        self.kind
    }

    /// The names of the columns.
    pub fn columns(&self) -> &[String] {
        &self.columns
    }

    /// The number of a column.
    pub fn column(&self, name: &str) -> Option<usize> {
        self.columns.iter().position(|column| column == name)
    }

    /// Reads the file again if its time or size changed; true if there is new data. Readers
    /// see the old data or the new, never a mixture.
    ///
    /// # Errors
    /// As [`LookupTable::open`]; the old data stays in place.
    pub fn reload_if_changed(&self) -> Result<bool, LookupError> {
        let io = |source| LookupError::Io { path: self.path.clone(), source };
        let meta = std::fs::metadata(&self.path).map_err(io)?;
        let stamp = meta.modified().ok().map(|time| (time, meta.len()));
        if stamp.is_some() && stamp == self.current().stamp {
            return Ok(false);
        }
        self.reload()?;
        Ok(true)
    }

    /// Reads the file again.
    ///
    /// # Errors
    /// As [`LookupTable::open`]; the old data stays in place.
    pub fn reload(&self) -> Result<(), LookupError> {
        let (bytes, stamp) = read_bounded(&self.path)?;
        let mut data = read_rows(&bytes, &self.columns, self.key, self.kind)?;
        data.stamp = stamp;
        self.data.store(Arc::new(data));
        Ok(())
    }
}

fn read_bounded(path: &Path) -> Result<(Vec<u8>, Stamp), LookupError> {
    use std::io::Read;
    let io = |source| LookupError::Io { path: path.to_owned(), source };
    let file = std::fs::File::open(path).map_err(io)?;
    let meta = file.metadata().map_err(io)?;
    let stamp = meta.modified().ok().map(|time| (time, meta.len()));
    let mut bytes = Vec::new();
    file.take(LOOKUP_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(io)?;
    if bytes.len() as u64 > LOOKUP_BYTES_MAX {
        return Err(LookupError::TooLarge);
    }
    Ok((bytes, stamp))
}

fn reader(bytes: &[u8]) -> csv::Reader<&[u8]> {
    // Spreadsheets write a byte order mark.
    let bytes = bytes.strip_prefix("\u{feff}".as_bytes()).unwrap_or(bytes);
    csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(bytes)
}

fn header(bytes: &[u8]) -> Result<Vec<String>, LookupError> {
    let mut reader = reader(bytes);
    let header = reader.headers().map_err(row_error)?;
    let columns: Vec<String> = header.iter().map(str::to_owned).collect();
    if columns.iter().all(String::is_empty) {
        return Err(LookupError::NoHeader);
    }
    if columns.len() > LOOKUP_COLUMNS_MAX {
        return Err(LookupError::TooManyColumns);
    }
    for (number, column) in columns.iter().enumerate() {
        if columns.iter().take(number).any(|other| other == column) {
            return Err(LookupError::ColumnTwice(column.clone()));
        }
    }
    Ok(columns)
}

/// Checked first, since the CSV reader does not tell the right line.
fn utf8(bytes: &[u8]) -> Result<(), LookupError> {
    std::str::from_utf8(bytes).map(drop).map_err(|error| {
        let before = bytes.get(..error.valid_up_to()).unwrap_or(bytes);
        let line = 1 + before.iter().filter(|byte| **byte == b'\n').count() as u64;
        LookupError::Row { line, message: "the text is not UTF-8".to_owned() }
    })
}

/// The rows, with the cells in the order of `columns` whatever the order in the file.
fn read_rows(bytes: &[u8], columns: &[String], key: usize, kind: LookupKind) -> Result<TableData, LookupError> {
    utf8(bytes)?;
    let there = header(bytes)?;
    let mut order = Vec::with_capacity(columns.len());
    for column in columns {
        match there.iter().position(|name| name == column) {
            Some(number) => order.push(number),
            None => return Err(LookupError::ColumnGone(column.clone())),
        }
    }
    let rows_max = if kind == LookupKind::Glob { LOOKUP_GLOB_ROWS_MAX } else { LOOKUP_ROWS_MAX };
    let mut data = TableData { width: columns.len(), ..TableData::default() };
    let mut lines = Vec::new();
    let mut reader = reader(bytes);
    let mut record = csv::StringRecord::new();
    while reader.read_record(&mut record).map_err(row_error)? {
        if lines.len() >= rows_max {
            return Err(LookupError::TooManyRows(rows_max));
        }
        lines.push(record.position().map_or(0, csv::Position::line));
        for number in &order {
            data.cells.push_str(record.get(*number).unwrap_or(""));
            // Cannot overflow: the file is bounded far below 4 GiB.
            data.ends.push(data.cells.len() as u32);
        }
    }
    let built = Index::build(kind, &data, key, &lines)?;
    data.index = built.index;
    data.repeated_keys = built.repeated;
    data.empty_keys = built.empty;
    Ok(data)
}

fn row_error(error: csv::Error) -> LookupError {
    let line = error.position().map_or(1, csv::Position::line);
    let message = match error.kind() {
        csv::ErrorKind::UnequalLengths { expected_len, len, .. } => {
            format!("{len} cells where the header has {expected_len}")
        }
        _ => error.to_string(),
    };
    LookupError::Row { line, message }
}

#[cfg(test)]
#[path = "lookup_test.rs"]
mod tests;
