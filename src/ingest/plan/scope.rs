//! What names mean in the places where expressions stand: event paths in `filter`,
//! `classify` and `map`; incident fields in rules; `new.` and `existing.` in `where`.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, StringViewBuilder};

use crate::config::lookup::LookupTable;
use crate::config::model::{Lookup, Rule};
use crate::config::suggest;
use crate::config::{Diagnostic, Diagnostics};
use crate::expr::check::{Resolved, Scope, resolve_record};
use crate::expr::function::{Failed, Function};
use crate::expr::path::{Path, Step};
use crate::expr::typed::{Source, Typed};
use crate::expr::value::{Type, Value};

/// Lookup tables by name.
#[derive(Debug, Clone, Default)]
pub struct Tables {
    tables: BTreeMap<String, Arc<LookupTable>>,
    /// Those that could not be read, which has been said.
    broken: BTreeSet<String>,
}

impl Tables {
    /// The tables of a pipeline.
    pub fn new(lookups: &[Lookup]) -> Tables {
        Tables {
            tables: lookups.iter().map(|lookup| (lookup.name.value.clone(), lookup.table.clone())).collect(),
            broken: lookups.iter().filter(|lookup| lookup.broken).map(|lookup| lookup.name.value.clone()).collect(),
        }
    }

    /// Reads tables again whose files have changed; readers see the old table or the new one,
    /// never a mixture. A file that is wrong leaves the old table in place.
    pub fn reload_changed(&self) {
        for (name, table) in &self.tables {
            match table.reload_if_changed() {
                Ok(true) => tracing::info!(table = name.as_str(), rows = table.current().rows(), "lookup table reloaded"),
                Ok(false) => {}
                Err(error) => tracing::warn!(table = name.as_str(), %error, "lookup table not reloaded: the old one stays"),
            }
        }
    }

    /// The bound `lookup('table', …, 'column')`; else which argument is wrong, and why.
    pub fn bind(&self, table: &str, column: &str) -> Result<Arc<dyn Function>, (usize, String, Option<String>)> {
        let Some(found) = self.tables.get(table) else {
            let names: Vec<&str> = self.tables.keys().map(String::as_str).collect();
            let hint = suggest::hint(table, &names).unwrap_or_else(|| format!("declare it: lookups: {{ {table}: {{ file: …, key: … }} }}"));
            return Err((0, format!("there is no lookup table `{table}`"), Some(hint)));
        };
        if self.broken.contains(table) {
            // One mistake, one message: nobody knows its columns.
            return Ok(Arc::new(LookupCell { table: found.clone(), column: 0 }));
        }
        let Some(number) = found.column(column) else {
            let names: Vec<&str> = found.columns().iter().map(String::as_str).collect();
            return Err((2, format!("the table `{table}` has no column `{column}`"), suggest::hint(column, &names)));
        };
        Ok(Arc::new(LookupCell { table: found.clone(), column: number }))
    }
}

/// `lookup('table', key, 'column')`: the cell of the row that the key finds.
#[derive(Debug)]
struct LookupCell {
    table: Arc<LookupTable>,
    column: usize,
}

impl Function for LookupCell {
    fn call<'a>(&self, args: &[Value<'a>]) -> Result<Value<'a>, Failed> {
        let Some(Value::Text(key)) = args.first() else { return Ok(Value::Null) };
        let data = self.table.current();
        let cell = data.find(key).and_then(|row| data.cell(row, self.column));
        Ok(cell.map_or(Value::Null, |cell| Value::Text(Cow::Owned(cell.to_owned()))))
    }

    fn column(&self, args: &[ArrayRef]) -> Option<ArrayRef> {
        let keys = args.first()?.as_string_view_opt()?;
        // One state of the table for the whole batch.
        let data = self.table.current();
        let mut cells = StringViewBuilder::with_capacity(keys.len());
        for key in keys {
            cells.append_option(key.and_then(|key| data.find(key)).and_then(|row| data.cell(row, self.column)));
        }
        Some(Arc::new(cells.finish()))
    }
}

/// Event paths and attributes of the record.
pub struct EventScope<'a> {
    /// For `lookup`.
    pub tables: &'a Tables,
    /// In `map`: the bare name `occurred` means the mapped field (outside its own definition).
    pub occurred: bool,
    /// In `map`: values that a conversion cannot read are listed.
    pub mapped: bool,
}

impl Scope for EventScope<'_> {
    fn resolve(&self, path: &Path) -> Resolved {
        resolve_record(path).unwrap_or_else(|| Ok((Source::Event(path.clone()), Type::Text)))
    }

    fn lookup(&self, table: &str, column: &str) -> Result<Arc<dyn Function>, (usize, String, Option<String>)> {
        self.tables.bind(table, column)
    }

    fn lists_failures(&self) -> bool {
        self.mapped
    }

    fn alias(&self, path: &Path) -> Option<Typed> {
        (self.occurred && path.as_key() == Some("occurred")).then(|| Typed::input(Source::Field("occurred".into()), Type::Time))
    }
}

/// What is known of an incident field when rules are compiled.
#[derive(Debug, Clone)]
pub enum FieldInfo {
    /// For all types the value at one path: takes the type of its use.
    Path(Path),
    /// A value of this type.
    Typed(Type),
}

/// Incident fields.
pub struct RuleScope<'a> {
    /// For `lookup`.
    pub tables: &'a Tables,
    /// Field → what is known of it.
    pub fields: &'a BTreeMap<String, FieldInfo>,
}

impl RuleScope<'_> {
    fn unknown(&self, name: &str) -> (String, Option<String>) {
        let names: Vec<&str> = self.fields.keys().map(String::as_str).collect();
        let hint = suggest::hint(name, &names).unwrap_or_else(|| format!("map it, or read the event with event('{name}')"));
        (format!("no incident has a field `{name}`"), Some(hint))
    }
}

impl Scope for RuleScope<'_> {
    fn resolve(&self, path: &Path) -> Resolved {
        if let Some(record) = resolve_record(path) {
            return record;
        }
        let Some(name) = path.as_key() else {
            return Err((format!("`{path}` is not an incident field"), Some(format!("read the event with event('{path}')"))));
        };
        match self.fields.get(name) {
            Some(FieldInfo::Path(path)) => Ok((Source::Event(path.clone()), Type::Text)),
            Some(FieldInfo::Typed(ty)) => Ok((Source::Field(name.to_owned()), *ty)),
            None => Err(self.unknown(name)),
        }
    }

    fn lookup(&self, table: &str, column: &str) -> Result<Arc<dyn Function>, (usize, String, Option<String>)> {
        self.tables.bind(table, column)
    }
}

/// `new.field` and `existing.field`.
pub struct WhereScope<'a>(pub RuleScope<'a>);

impl Scope for WhereScope<'_> {
    fn resolve(&self, path: &Path) -> Resolved {
        let (side, name) = match path.steps() {
            [Step::Key(side), Step::Key(name)] if matches!(&**side, "new" | "existing") => (&**side, &**name),
            _ => return Err((format!("`{path}` names no side"), Some("write new.field or existing.field".into()))),
        };
        let ty = match self.0.fields.get(name) {
            Some(FieldInfo::Path(_)) => Type::Text,
            Some(FieldInfo::Typed(ty)) => *ty,
            None => return Err(self.0.unknown(name)),
        };
        let source = if side == "new" { Source::New(name.to_owned()) } else { Source::Existing(name.to_owned()) };
        Ok((source, ty))
    }

    fn lookup(&self, table: &str, column: &str) -> Result<Arc<dyn Function>, (usize, String, Option<String>)> {
        self.0.lookup(table, column)
    }
}

/// Warns of rules that read fields which are only declared: those never have a value.
pub fn warn_unmapped(rules: &[Rule], unmapped: &[&str], whens: &[Option<Typed>], wheres: &[Option<Typed>], diagnostics: &mut Diagnostics) {
    for ((rule, when), where_) in rules.iter().zip(whens).zip(wheres) {
        let conditions = [(when, &rule.when), (where_, &rule.where_)];
        let read = conditions.iter().filter_map(|(typed, text)| Some((typed.as_ref()?, text.as_ref()?.span)));
        let read = read.flat_map(|(typed, span)| typed.inputs().into_iter().map(move |(source, _)| (source, span)));
        let read = read.filter_map(|(source, span)| match source {
            Source::Field(name) | Source::New(name) | Source::Existing(name) => Some((name, span)),
            _ => None,
        });
        let matched = rule.matches.iter().map(|field| (field.value.clone(), field.span));
        for (name, span) in matched.chain(read).filter(|(name, _)| unmapped.contains(&name.as_str())) {
            let message = format!("the field `{name}` is declared, but nothing maps it: for the rule `{}` it never has a value", rule.name.value);
            diagnostics.push(Diagnostic::warning("unmapped-field", message).at(span).hint("map it"));
        }
    }
}
