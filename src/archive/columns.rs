//! Owns the columns of the table `incident_versions`: what is always there, what the pipeline's schema
//! declares, and the rule that columns are only ever added.

use std::collections::BTreeSet;
use std::sync::Arc;

use datafusion::arrow::datatypes::{DataType, Field, Fields, Schema, SchemaRef, TimeUnit};

use crate::config::schema::{FieldKind, Schema as Declared};

/// Partition column: `base`, `tail` or `older`; see [`super::table`].
pub const LAYER: &str = "layer";
/// Partition column: the day on which the incident was created; empty in the tail.
pub const DAY: &str = "day";
/// The map of what has no column of its own.
pub const FIELDS: &str = "fields";

/// What a column holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Text; also JSON as text.
    Text,
    /// A double.
    Number,
    /// 64 bits.
    Integer,
    /// True or false.
    Boolean,
    /// Microseconds, UTC.
    Time,
    /// From text to text.
    Map,
}

impl Kind {
    /// Its Arrow type.
    pub fn data_type(self) -> DataType {
        match self {
            Kind::Text => DataType::Utf8View,
            Kind::Number => DataType::Float64,
            Kind::Integer => DataType::Int64,
            Kind::Boolean => DataType::Boolean,
            Kind::Time => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
            Kind::Map => {
                let entry = Fields::from(vec![Field::new("key", DataType::Utf8, false), Field::new("value", DataType::Utf8, true)]);
                DataType::Map(Arc::new(Field::new("key_value", DataType::Struct(entry), false)), false)
            }
        }
    }

    /// As in `fields.yaml`, for messages.
    pub fn as_str(self) -> &'static str {
        match self {
            Kind::Text => "text",
            Kind::Number => "number",
            Kind::Integer => "integer",
            Kind::Boolean => "boolean",
            Kind::Time => "time",
            Kind::Map => "map",
        }
    }

    /// What a declared field is kept as.
    pub fn of(kind: FieldKind) -> Kind {
        match kind {
            FieldKind::Text | FieldKind::Ip | FieldKind::List | FieldKind::Json => Kind::Text,
            FieldKind::Number | FieldKind::Duration | FieldKind::Severity => Kind::Number,
            FieldKind::Integer => Kind::Integer,
            FieldKind::Boolean => Kind::Boolean,
            FieldKind::Time => Kind::Time,
        }
    }

    /// What an Arrow type is; `None` for one that no column of ours has.
    pub fn of_arrow(data_type: &DataType) -> Option<Kind> {
        Some(match data_type {
            DataType::Utf8 | DataType::Utf8View | DataType::LargeUtf8 => Kind::Text,
            DataType::Float64 => Kind::Number,
            DataType::Int64 => Kind::Integer,
            DataType::Boolean => Kind::Boolean,
            DataType::Timestamp(_, _) => Kind::Time,
            DataType::Map(_, _) => Kind::Map,
            _ => return None,
        })
    }
}

/// A column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// What it holds.
    pub kind: Kind,
}

/// Columns that are always there. `record_*`: where the version came from; `record_kind` is
/// `created` (a fact of ingest) or `state` (of the keeper).
pub const FIXED: [(&str, Kind); 33] = [
    ("id", Kind::Text),
    ("version", Kind::Integer),
    ("type", Kind::Text),
    ("severity", Kind::Number),
    ("status", Kind::Text),
    ("created", Kind::Time),
    ("occurred", Kind::Time),
    ("tenant", Kind::Text),
    ("pipeline", Kind::Text),
    ("pipeline_version", Kind::Text),
    ("source_name", Kind::Text),
    ("source_topic", Kind::Text),
    ("source_partition", Kind::Integer),
    ("source_offset", Kind::Integer),
    ("source_element", Kind::Integer),
    ("closed_at", Kind::Time),
    ("closed_by", Kind::Text),
    ("close_reason", Kind::Text),
    ("close_notes", Kind::Text),
    ("attached_count", Kind::Integer),
    ("attached_first", Kind::Time),
    ("attached_last", Kind::Time),
    ("attached_rules", Kind::Text),
    ("linked", Kind::Text),
    ("updated_at", Kind::Time),
    ("updated_by", Kind::Text),
    ("record_kind", Kind::Text),
    ("record_partition", Kind::Integer),
    ("record_offset", Kind::Integer),
    ("record_time", Kind::Time),
    ("labels", Kind::Text),
    ("raw", Kind::Text),
    (FIELDS, Kind::Map),
];

/// The columns of a table, in order: the fixed ones, then the declared ones in the order in which they came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Columns {
    columns: Vec<Column>,
}

/// A declared field whose type is not that of its column.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the field `{field}` is archived as {archived}, and declared as {declared} now")]
pub struct TypeChanged {
    /// The field.
    pub field: String,
    /// What its column holds.
    pub archived: &'static str,
    /// What the schema says.
    pub declared: &'static str,
}

/// A declared field that keeps its values in the map, because its name is taken: readers do not tell case.
fn is_taken(names: &BTreeSet<String>, name: &str) -> bool {
    names.contains(&name.to_lowercase())
}

impl FromIterator<Column> for Columns {
    fn from_iter<I: IntoIterator<Item = Column>>(columns: I) -> Columns {
        Columns { columns: columns.into_iter().collect() }
    }
}

impl Columns {
    /// The columns of a new table for these declarations.
    pub fn new(declared: &Declared) -> Columns {
        let fixed = FIXED.iter().map(|(name, kind)| Column { name: (*name).to_owned(), kind: *kind }).collect();
        Columns { columns: fixed }.added(declared)
    }

    /// The columns that a schema of Arrow has, without the partition columns.
    pub fn of_arrow(schema: &Schema) -> Columns {
        let column = |field: &Arc<Field>| Some(Column { name: field.name().clone(), kind: Kind::of_arrow(field.data_type())? });
        Columns { columns: schema.fields().iter().filter(|field| field.name() != LAYER && field.name() != DAY).filter_map(column).collect() }
    }

    /// With columns for what is declared and has none yet.
    fn added(mut self, declared: &Declared) -> Columns {
        let mut names: BTreeSet<String> = self.columns.iter().map(|column| column.name.to_lowercase()).collect();
        names.extend([LAYER.to_owned(), DAY.to_owned()]);
        for field in &declared.fields {
            if !is_taken(&names, &field.name) {
                names.insert(field.name.to_lowercase());
                self.columns.push(Column { name: field.name.clone(), kind: Kind::of(field.kind) });
            }
        }
        self
    }

    /// These columns, and those that the declarations add.
    ///
    /// # Errors
    /// Fields whose type is another one than their column's: all of them.
    pub fn grown(&self, declared: &Declared) -> Result<Columns, Vec<TypeChanged>> {
        let changed = |field: &crate::config::schema::FieldSpec| {
            let column = self.columns.iter().find(|column| column.name == field.name && !is_fixed(&column.name))?;
            let kind = Kind::of(field.kind);
            (column.kind != kind).then(|| TypeChanged { field: field.name.clone(), archived: column.kind.as_str(), declared: field.kind.as_str() })
        };
        let changed: Vec<TypeChanged> = declared.fields.iter().filter_map(changed).collect();
        if !changed.is_empty() {
            return Err(changed);
        }
        let mut grown = self.clone();
        // A table of an earlier version may lack fixed ones.
        for (name, kind) in FIXED {
            if !grown.columns.iter().any(|column| column.name == name) {
                grown.columns.push(Column { name: name.to_owned(), kind });
            }
        }
        Ok(grown.added(declared))
    }

    /// In order.
    pub fn iter(&self) -> impl Iterator<Item = &Column> {
        self.columns.iter()
    }

    /// Where a column stands.
    pub fn position(&self, name: &str) -> Option<usize> {
        self.columns.iter().position(|column| column.name == name)
    }

    /// How many.
    pub fn len(&self) -> usize {
        self.columns.len()
    }

    /// True for none.
    pub fn is_empty(&self) -> bool {
        self.columns.is_empty()
    }

    /// As a schema of Arrow.
    pub fn arrow(&self) -> SchemaRef {
        Arc::new(Schema::new(self.columns.iter().map(|column| Field::new(&column.name, column.kind.data_type(), true)).collect::<Vec<_>>()))
    }
}

/// True for a column that Catchment fills itself.
pub fn is_fixed(name: &str) -> bool {
    FIXED.iter().any(|(fixed, _)| *fixed == name)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::config::schema::FieldSpec;
    use crate::config::source_map::Span;

    fn declared(fields: &[(&str, FieldKind)]) -> Declared {
        let spec = |(name, kind): &(&str, FieldKind)| FieldSpec {
            name: (*name).to_owned(),
            kind: *kind,
            required: false,
            scale: None,
            description: None,
            span: Span { file: 0, start: 0, end: 0 },
        };
        Declared { fields: fields.iter().map(spec).collect(), ..Declared::default() }
    }

    #[test]
    fn columns_are_added_and_never_changed() {
        let first = Columns::new(&declared(&[("host", FieldKind::Text), ("port", FieldKind::Integer)]));
        assert_eq!(first.len(), FIXED.len() + 2);
        // Another order, one more, one less: the old ones stay where they are.
        let grown = first.grown(&declared(&[("score", FieldKind::Number), ("host", FieldKind::Ip)])).unwrap();
        assert_eq!(grown.iter().skip(FIXED.len()).map(|column| column.name.as_str()).collect::<Vec<_>>(), ["host", "port", "score"]);
        let wrong = first.grown(&declared(&[("port", FieldKind::Text), ("host", FieldKind::Number)])).unwrap_err();
        assert_eq!(wrong.iter().map(ToString::to_string).collect::<Vec<_>>().len(), 2);
        assert_eq!(wrong[0].to_string(), "the field `port` is archived as integer, and declared as text now");
    }

    #[test]
    fn names_that_differ_in_case_only_have_one_column() {
        let columns =
            Columns::new(&declared(&[("User", FieldKind::Text), ("user", FieldKind::Number), ("Day", FieldKind::Text), ("severity", FieldKind::Severity)]));
        assert_eq!(columns.iter().skip(FIXED.len()).map(|column| column.name.as_str()).collect::<Vec<_>>(), ["User"]);
    }

    #[test]
    fn arrow_and_back() {
        let columns = Columns::new(&declared(&[("port", FieldKind::Integer), ("ok", FieldKind::Boolean), ("seen", FieldKind::Time)]));
        assert_eq!(Columns::of_arrow(&columns.arrow()), columns);
    }
}
