//! How the program speaks to a person: colours on terminals only, progress, tables,
//! numbers, logs.

use std::io::{IsTerminal, Write};
use std::path::Path;
use std::sync::OnceLock;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::args::Args;
use crate::error::Error;
use crate::ingest::folder::Target;
use crate::ingest::lines_file::LinesFile;

static COLOUR: OnceLock<(bool, bool)> = OnceLock::new();

/// Settles colours and logging.
pub fn init(args: &Args) {
    let allowed = |terminal: bool| match args.color.as_str() {
        "always" => true,
        "never" => false,
        _ => terminal && std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty()),
    };
    let _ = COLOUR.set((allowed(std::io::stdout().is_terminal()), allowed(std::io::stderr().is_terminal())));
    let filter = args.log.clone().or_else(|| std::env::var("RUST_LOG").ok()).unwrap_or_else(|| "warn".to_owned());
    let filter = tracing_subscriber::EnvFilter::try_new(filter).unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("warn"));
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(colour_err());
    // A second initialisation (tests) keeps the first.
    let _ = log.try_init();
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
    use comfy_table::{CellAlignment, ContentArrangement, Table};
    let mut table = Table::new();
    table.load_style(comfy_table::presets::NOTHING);
    table.set_content_arrangement(ContentArrangement::Dynamic).set_header(head.iter().map(|title| style(title, Style::Head)).collect::<Vec<_>>());
    for column in right {
        if let Some(column) = table.column_mut(*column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table
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
