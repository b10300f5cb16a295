//! The prompt: statements over several lines, history, completion of words, tables and columns.

use std::path::PathBuf;

use rustyline::completion::{Completer, Pair};
use rustyline::error::ReadlineError;
use rustyline::highlight::Highlighter;
use rustyline::hint::Hinter;
use rustyline::validate::{ValidationContext, ValidationResult, Validator};
use rustyline::{CompletionType, Config, Context, Editor, Helper};

use super::ask;
use crate::cli::Answer;
use crate::cli::output::{Style, err_style, style};
use crate::error::Error;
use crate::serve::sql::client::Client;
use crate::serve::sql::output::Format;

/// Lines of history (count).
const HISTORY_MAX: usize = 1_000;

const WORDS: [&str; 46] = [
    "SELECT",
    "FROM",
    "WHERE",
    "GROUP BY",
    "ORDER BY",
    "HAVING",
    "LIMIT",
    "OFFSET",
    "JOIN",
    "LEFT JOIN",
    "ON",
    "USING",
    "AND",
    "OR",
    "NOT",
    "IN",
    "LIKE",
    "ILIKE",
    "BETWEEN",
    "IS NULL",
    "IS NOT NULL",
    "DISTINCT",
    "AS",
    "CASE",
    "WHEN",
    "THEN",
    "ELSE",
    "END",
    "WITH",
    "UNION ALL",
    "EXPLAIN",
    "ANALYZE",
    "DESC",
    "ASC",
    "count(*)",
    "sum(",
    "avg(",
    "min(",
    "max(",
    "now()",
    "interval",
    "date_trunc(",
    "approx_percentile_cont(",
    "coalesce(",
    "extract(",
    "date_bin(",
];

struct Words {
    words: Vec<String>,
}

impl Helper for Words {}
impl Highlighter for Words {}
impl Hinter for Words {
    type Hint = String;
}

impl Validator for Words {
    fn validate(&self, context: &mut ValidationContext<'_>) -> rustyline::Result<ValidationResult> {
        let text = context.input().trim();
        // Half a statement waits for its semicolon.
        let whole = text.is_empty() || text.ends_with(';') || text.starts_with('\\') || ["exit", "quit", "help"].contains(&text);
        Ok(if whole { ValidationResult::Valid(None) } else { ValidationResult::Incomplete })
    }
}

impl Completer for Words {
    type Candidate = Pair;

    fn complete(&self, line: &str, at: usize, _: &Context<'_>) -> rustyline::Result<(usize, Vec<Pair>)> {
        let before = line.get(..at).unwrap_or_default();
        let start = before.rfind(|c: char| !c.is_alphanumeric() && c != '_').map_or(0, |end| end + 1);
        let word = before.get(start..).unwrap_or_default().to_lowercase();
        let fits = self.words.iter().filter(|known| !word.is_empty() && known.to_lowercase().starts_with(&word));
        Ok((start, fits.map(|word| Pair { display: word.clone(), replacement: word.clone() }).collect()))
    }
}

fn history() -> Option<PathBuf> {
    let state = std::env::var_os("XDG_STATE_HOME").map(PathBuf::from).or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".local/state")))?;
    let dir = state.join("catchment");
    std::fs::create_dir_all(&dir).ok()?;
    Some(dir.join("sql_history"))
}

const COLUMNS: &str = "SELECT table_name, column_name FROM information_schema.columns WHERE table_schema = 'public' ORDER BY table_name, ordinal_position";

fn words(client: &mut Client) -> Vec<String> {
    let mut words: Vec<String> = WORDS.iter().map(|word| (*word).to_owned()).collect();
    for row in client.texts(COLUMNS).unwrap_or_default() {
        words.extend(row);
    }
    words.sort();
    words.dedup();
    words
}

/// Reads statements until there are no more.
pub fn run(client: &mut Client, format: Format) -> Result<Answer, Error> {
    let broken = |error: ReadlineError| Error::environment(format!("the terminal: {error}"));
    let config = Config::builder().completion_type(CompletionType::List).max_history_size(HISTORY_MAX).map_err(broken)?.auto_add_history(true).build();
    let mut editor = Editor::<Words, _>::with_config(config).map_err(broken)?;
    editor.set_helper(Some(Words { words: words(client) }));
    let history = history();
    if let Some(path) = &history {
        // There may be none yet.
        let _ = editor.load_history(path);
    }
    println!("{} ends a statement; \\d lists tables, \\d TABLE its columns, \\o FORMAT changes the output, \\q leaves", style(";", Style::Head));
    let mut format = format;
    loop {
        match editor.readline("catchment> ") {
            Ok(line) => match line.trim() {
                "" => {}
                "\\q" | "exit" | "quit" | "exit;" | "quit;" => break,
                line => {
                    if let Err(error) = answer(client, line, &mut format) {
                        eprintln!("{}: {}", err_style("error", Style::Bad), error.message);
                    }
                }
            },
            Err(ReadlineError::Interrupted) => {}
            Err(ReadlineError::Eof) => break,
            Err(error) => return Err(broken(error)),
        }
        if let Some(path) = &history {
            // Without a place for it history ends with the session.
            let _ = editor.save_history(path);
        }
    }
    Ok(Answer::Yes)
}

fn answer(client: &mut Client, line: &str, format: &mut Format) -> Result<(), Error> {
    let mut parts = line.split_whitespace();
    match (parts.next().unwrap_or_default(), parts.next()) {
        ("\\d" | "\\dt", None) => {
            let tables = "SELECT table_name AS table, count(*) AS columns FROM information_schema.columns WHERE table_schema = 'public' GROUP BY 1 ORDER BY 1";
            ask(client, tables, Format::Table, false)
        }
        ("\\d", Some(table)) => {
            let table = table.trim_end_matches(';').replace('\'', "''");
            let columns = format!(
                "SELECT column_name AS column, data_type AS type FROM information_schema.columns WHERE table_schema = 'public' AND table_name = '{table}' ORDER BY ordinal_position"
            );
            ask(client, &columns, Format::Table, false)
        }
        ("\\o", Some(name)) => match Format::parse(name) {
            Some(found) => {
                *format = found;
                Ok(())
            }
            None => Err(Error::user(format!("`{name}` is no format: {}", Format::NAMES.map(|(name, _)| name).join(", ")))),
        },
        (word, _) if word.starts_with('\\') || word == "help" => Err(Error::user("\\d, \\d TABLE, \\o FORMAT, \\q; all else is SQL")),
        _ => ask(client, line, *format, true),
    }
}
