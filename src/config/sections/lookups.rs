//! Owns `lookups:`.

use std::path::Path;
use std::sync::Arc;

use crate::config::diagnostic::{Diagnostic, Diagnostics};
use crate::config::limits::LOOKUPS_MAX;
use crate::config::lookup::{LookupError, LookupKind, LookupTable};
use crate::config::model::Lookup;
use crate::config::node::Node;
use crate::config::read::{self, Fields};
use crate::config::source_map::Spanned;
use crate::config::suggest;

use super::is_identifier;

const KINDS: [(&str, LookupKind); 3] = [("exact", LookupKind::Exact), ("cidr", LookupKind::Cidr), ("glob", LookupKind::Glob)];

/// Name → table; `dir` is where relative paths start. Tables are read here; one that
/// cannot be read is a mistake, and stands as an empty one.
pub fn read_lookups(node: &Node, dir: &Path, out: &mut Diagnostics) -> Vec<Lookup> {
    read::entries(node, "`lookups`", LOOKUPS_MAX, out).iter().filter_map(|(name, node)| read_lookup(name, node, dir, out)).collect()
}

fn read_lookup(name: &Spanned<String>, node: &Node, dir: &Path, out: &mut Diagnostics) -> Option<Lookup> {
    if !is_identifier(&name.value.replace(['-', '.'], "_")) {
        let message = format!("`{}` cannot be the name of a table", read::shortened(&name.value));
        out.push(Diagnostic::error("bad-value", message).at(name.span).hint("names have letters, digits, `_`, `-` and `.`"));
        return None;
    }
    let mut fields = Fields::open(node, "a lookup table", out)?;
    let file = fields.need("file", "lookups/assets.csv", out).and_then(|node| read::text(node, "`file`", out));
    let key = fields.need("key", "host", out).and_then(|node| read::text(node, "`key`", out));
    let kind = fields.get("match", out).and_then(|node| read::choice(node, "`match`", &KINDS, out));
    let kind = kind.unwrap_or(LookupKind::Exact);
    fields.close(&[], out);
    let path = file.as_ref().map_or(dir.to_owned(), |file| dir.join(&file.value));
    let table = match (&file, &key) {
        (Some(file), Some(key)) => read_table(&path, kind, file, key, out),
        _ => None,
    };
    let key = key.unwrap_or_else(|| Spanned::new(String::new(), name.span));
    let broken = table.is_none();
    let table = table.unwrap_or_else(|| LookupTable::empty(&path, &key.value, kind));
    Some(Lookup { name: name.clone(), file: path, key, kind, table: Arc::new(table), broken })
}

fn read_table(path: &Path, kind: LookupKind, file: &Spanned<String>, key: &Spanned<String>, out: &mut Diagnostics) -> Option<LookupTable> {
    match LookupTable::open(path, &key.value, kind) {
        Ok(table) => {
            warn_about_rows(&table, file, key, out);
            Some(table)
        }
        Err(error) => {
            report(&error, file, key, path, out);
            None
        }
    }
}

fn report(error: &LookupError, file: &Spanned<String>, key: &Spanned<String>, path: &Path, out: &mut Diagnostics) {
    let diagnostic = match error {
        LookupError::Io { source, .. } if source.kind() == std::io::ErrorKind::NotFound => {
            Diagnostic::error("missing-file", format!("the table {} does not exist", file.value))
                .at(file.span)
                .maybe_hint(similar_file(path).map(|name| format!("did you mean `{name}`?")).or_else(|| error.hint()))
        }
        LookupError::Io { source, .. } => Diagnostic::error("missing-file", format!("cannot read {}: {source}", file.value)).at(file.span),
        LookupError::NoKeyColumn { .. } => Diagnostic::error("lookup", format!("{}: {error}", file.value)).at(key.span).maybe_hint(error.hint()),
        _ => Diagnostic::error("lookup", format!("{}: {error}", file.value)).at(file.span).maybe_hint(error.hint()),
    };
    out.push(diagnostic);
}

fn warn_about_rows(table: &LookupTable, file: &Spanned<String>, key: &Spanned<String>, out: &mut Diagnostics) {
    let data = table.current();
    let rows = |n: usize| format!("{n} row{}", if n == 1 { "" } else { "s" });
    if data.repeated_keys > 0 {
        out.push(
            Diagnostic::warning("lookup", format!("{}: {} with a key that an earlier row has", file.value, rows(data.repeated_keys)))
                .at(key.span)
                .hint("the first row of a key is found, the others never are"),
        );
    }
    if data.empty_keys > 0 {
        out.push(
            Diagnostic::warning("lookup", format!("{}: {} without `{}`", file.value, rows(data.empty_keys), key.value))
                .at(key.span)
                .hint("they are never found"),
        );
    }
    if data.rows() == 0 {
        out.push(Diagnostic::warning("lookup", format!("{}: the table has no rows", file.value)).at(file.span));
    }
}

/// A file in the same directory with nearly the same name.
fn similar_file(path: &Path) -> Option<String> {
    let names: Vec<String> = std::fs::read_dir(path.parent()?).ok()?.filter_map(|entry| entry.ok()?.file_name().into_string().ok()).collect();
    suggest::nearest(path.file_name()?.to_str()?, names.iter().map(String::as_str)).map(str::to_owned)
}
