//! How the program speaks to a person: colours on terminals only, progress, tables,
//! numbers, logs.

use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::args::Args;
use crate::error::Error;
use crate::ingest::folder::Target;
use crate::ingest::lines_file::LinesFile;

static COLOUR: OnceLock<(bool, bool)> = OnceLock::new();

/// Libraries that are told of at `debug` only, unless somebody names them.
const QUIET: &str = "buoyant_kernel=warn,buoyant_kernel_engine=warn,deltalake_core=warn";

/// Settles colours and logging.
///
/// # Errors
/// A `--log` that is no filter. `RUST_LOG` is not ours alone: what it says wrongly is left out.
pub fn init(args: &Args) -> Result<(), Error> {
    let allowed = |terminal: bool| match args.color.as_str() {
        "always" => true,
        "never" => false,
        _ => terminal && std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty()),
    };
    let _ = COLOUR.set((allowed(std::io::stdout().is_terminal()), allowed(std::io::stderr().is_terminal())));
    let said = args.log.clone().or_else(|| std::env::var("RUST_LOG").ok()).unwrap_or_else(|| "warn".to_owned());
    // The archive's libraries tell of every look at a table, which happens every second.
    let filter = if said.split(',').any(|part| part.trim() == "info") { format!("{QUIET},{said}") } else { said.clone() };
    let filter = match tracing_subscriber::EnvFilter::try_new(filter) {
        Err(error) if args.log.is_some() => {
            let hint = "off, error, warn, info, debug, trace; or by part: info,catchment::kafka=debug";
            return Err(Error::user(format!("--log: `{said}` is no filter: {error}")).hint(hint));
        }
        read => read.unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("warn")),
    };
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(colour_err());
    // A second initialisation (tests) keeps the first.
    let _ = log.try_init();
    Ok(())
}

/// Colours on standard output.
pub fn colour_out() -> bool {
    COLOUR.get().is_some_and(|(out, _)| *out)
}

/// Colours on standard error.
pub fn colour_err() -> bool {
    COLOUR.get().is_some_and(|(_, err)| *err)
}

/// What a piece of text is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Style {
    /// Wrong.
    Bad,
    /// Right.
    Good,
    /// Doubtful.
    Warn,
    /// A heading.
    Head,
    /// Of less weight.
    Dim,
}

fn paint(text: &str, style: Style) -> String {
    let code = match style {
        Style::Bad => "31;1",
        Style::Good => "32;1",
        Style::Warn => "33;1",
        Style::Head => "1",
        Style::Dim => "2",
    };
    format!("\u{1b}[{code}m{text}\u{1b}[0m")
}

/// Text for standard output.
pub fn style(text: &str, style: Style) -> String {
    if colour_out() { paint(text, style) } else { text.to_owned() }
}

/// Text for standard error.
pub fn err_style(text: &str, style: Style) -> String {
    if colour_err() { paint(text, style) } else { text.to_owned() }
}

/// A number with thousands apart: `1,234,567`.
pub fn number(n: u64) -> String {
    let digits = n.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A share as a percentage.
pub fn percent(part: u64, whole: u64) -> String {
    if whole == 0 { "–".to_owned() } else { format!("{:.1} %", part as f64 * 100.0 / whole as f64) }
}

/// A progress bar on a terminal; nothing elsewhere. `total` in bytes, 0 = unknown.
pub fn progress(total: u64, quiet: bool) -> ProgressBar {
    if quiet || !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = if total > 0 { ProgressBar::new(total) } else { ProgressBar::new_spinner() };
    bar.set_draw_target(ProgressDrawTarget::stderr_with_hz(10));
    let template = if total > 0 {
        "{spinner} {bar:28} {bytes}/{total_bytes} {binary_bytes_per_sec} {msg} eta {eta}"
    } else {
        "{spinner} {bytes} {binary_bytes_per_sec} {msg} {elapsed}"
    };
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    bar
}

/// A table that fits the terminal, without a frame: easy to read and to cut.
pub fn table(head: &[&str], right: &[usize]) -> comfy_table::Table {
    use comfy_table::{Attribute, Cell, CellAlignment, ContentArrangement, Table};
    let mut table = Table::new();
    table.load_style(comfy_table::presets::NOTHING);
    // The table measures its cells itself, so it must know what is text and what is look.
    let bold = colour_out();
    if bold {
        table.enforce_styling();
    }
    let title = |title: &&str| if bold { Cell::new(title).add_attribute(Attribute::Bold) } else { Cell::new(title) };
    table.set_content_arrangement(ContentArrangement::Dynamic).set_header(head.iter().map(title).collect::<Vec<_>>());
    for column in right {
        if let Some(column) = table.column_mut(*column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table
}

/// Refuses outputs that would destroy something: opening a file for writing empties it, be
/// it an input that is still to be read, or another output.
pub fn refuse_overwrite(targets: &[&Path], inputs: &[PathBuf]) -> Result<(), Error> {
    let places: Vec<Option<PathBuf>> = targets.iter().map(|target| place(target)).collect();
    for (number, (target, at)) in targets.iter().zip(&places).enumerate() {
        let Some(at) = at else { continue };
        if inputs.iter().any(|input| place(input).as_ref() == Some(at)) {
            return Err(Error::user(format!("{} would be overwritten before it is read", target.display())).hint("write to another file"));
        }
        if places.iter().take(number).any(|other| other.as_ref() == Some(at)) {
            return Err(Error::user(format!("{} is named for two outputs", target.display())).hint("write each to a file of its own"));
        }
    }
    Ok(())
}

/// The one true path of a regular file, also of one that does not exist yet.
fn place(path: &Path) -> Option<PathBuf> {
    if path.as_os_str() == "-" {
        return None;
    }
    match path.canonicalize() {
        Ok(path) => path.is_file().then_some(path),
        Err(_) => {
            let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
            Some(directory.canonicalize().ok()?.join(path.file_name()?))
        }
    }
}

/// What became of a write: true where the reader of our output has seen enough (`… | head`).
pub fn reader_left(written: io::Result<()>) -> Result<bool, Error> {
    match written {
        Ok(()) => Ok(false),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(true),
        Err(error) => Err(Error::environment(format!("cannot write: {error}"))),
    }
}

/// Opens a place to write to: a file, or standard output for `-`.
pub fn writer(path: &Path) -> Result<Box<dyn Write + Send>, Error> {
    if path.as_os_str() == "-" {
        return Ok(Box::new(std::io::BufWriter::with_capacity(1 << 18, std::io::stdout())));
    }
    let file = std::fs::File::create(path).map_err(|error| Error::user(format!("cannot write {}: {error}", path.display())))?;
    Ok(Box::new(std::io::BufWriter::with_capacity(1 << 18, file)))
}

/// Opens a place for incidents: a regular file can be corrected later, all else cannot.
pub fn target(path: &Path) -> Result<Target<'static>, Error> {
    let other = path.as_os_str() == "-" || std::fs::metadata(path).is_ok_and(|meta| !meta.is_file());
    if !other && let Ok(file) = std::fs::OpenOptions::new().read(true).write(true).create(true).truncate(true).open(path) {
        return Ok(Target::File(LinesFile::new(file)));
    }
    // Also files that we may write and not read.
    Ok(Target::Stream(writer(path)?))
}

/// CPU seconds (user and system) and peak resident bytes of this process so far.
pub fn resources() -> (f64, f64, u64) {
    // SAFETY: `getrusage` fills the struct that it is given; zero is a valid value of it.
    let usage = unsafe {
        let mut usage: libc::rusage = std::mem::zeroed();
        libc::getrusage(libc::RUSAGE_SELF, &mut usage);
        usage
    };
    let seconds = |t: libc::timeval| t.tv_sec as f64 + t.tv_usec as f64 / 1e6;
    // The kernel's own count of this program image; `ru_maxrss` also remembers the process that started us.
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok());
    (seconds(usage.ru_utime), seconds(usage.ru_stime), peak.unwrap_or(usage.ru_maxrss as u64) * 1024)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn an_output_is_no_input_and_no_other_output() {
        let dir = tempfile::tempdir().unwrap();
        let there = dir.path().join("events.ndjson");
        std::fs::write(&there, "{}").unwrap();
        let again = dir.path().join(".").join("events.ndjson");
        let (new, also_new) = (dir.path().join("new"), dir.path().join("./new"));
        let refused = |targets: &[&Path]| refuse_overwrite(targets, std::slice::from_ref(&there)).is_err();
        assert!(refused(&[again.as_path()]));
        assert!(refused(&[new.as_path(), also_new.as_path()]));
        assert!(!refused(&[new.as_path(), Path::new("-"), Path::new("-"), Path::new("/dev/null"), Path::new("/dev/null")]));
    }

    #[test]
    fn who_has_seen_enough_is_no_error() {
        assert!(reader_left(Err(io::ErrorKind::BrokenPipe.into())).unwrap());
        assert!(!reader_left(Ok(())).unwrap());
        assert!(reader_left(Err(io::ErrorKind::StorageFull.into())).is_err());
    }
}
