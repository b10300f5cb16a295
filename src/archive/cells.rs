//! Rows of any columns, built cell by cell; what is not set is empty.

use std::sync::Arc;

use datafusion::arrow::array::{
    ArrayRef, BooleanBuilder, Float64Builder, Int64Builder, MapBuilder, MapFieldNames, RecordBatch, StringBuilder, StringViewBuilder,
    TimestampMicrosecondBuilder,
};
use datafusion::arrow::error::ArrowError;

use super::columns::{Columns, FIELDS, Kind};
use crate::incident::split::{find, integer, members, text};
use crate::incident::state_read;

enum Builder {
    Text(StringViewBuilder),
    Number(Float64Builder),
    Integer(Int64Builder),
    Boolean(BooleanBuilder),
    Time(TimestampMicrosecondBuilder),
    Map(MapBuilder<StringBuilder, StringBuilder>),
}

impl Builder {
    fn new(kind: Kind) -> Builder {
        match kind {
            Kind::Text => Builder::Text(StringViewBuilder::new()),
            Kind::Number => Builder::Number(Float64Builder::new()),
            Kind::Integer => Builder::Integer(Int64Builder::new()),
            Kind::Boolean => Builder::Boolean(BooleanBuilder::new()),
            Kind::Time => Builder::Time(TimestampMicrosecondBuilder::new().with_timezone("UTC")),
            Kind::Map => {
                let names = MapFieldNames { entry: "key_value".into(), key: "key".into(), value: "value".into() };
                Builder::Map(MapBuilder::new(Some(names), StringBuilder::new(), StringBuilder::new()))
            }
        }
    }

    fn null(&mut self) -> Result<(), ArrowError> {
        match self {
            Builder::Text(builder) => builder.append_null(),
            Builder::Number(builder) => builder.append_null(),
            Builder::Integer(builder) => builder.append_null(),
            Builder::Boolean(builder) => builder.append_null(),
            Builder::Time(builder) => builder.append_null(),
            // Its keys are there already.
            Builder::Map(builder) => builder.append(true)?,
        }
        Ok(())
    }

    /// Appends the value of a JSON token; false where it is not of this type.
    fn token(&mut self, token: &str) -> bool {
        match self {
            // Lists, objects, numbers and texts that are no Unicode stay as they are written.
            Builder::Text(builder) => builder.append_value(text(token).as_deref().unwrap_or(token)),
            Builder::Number(builder) => match token.parse::<f64>().ok().filter(|number| number.is_finite() && is_number(token)) {
                Some(number) => builder.append_value(number),
                None => return false,
            },
            Builder::Integer(builder) => match integer::<i64>(token) {
                Some(number) => builder.append_value(number),
                None => return false,
            },
            Builder::Boolean(builder) => match token {
                "true" => builder.append_value(true),
                "false" => builder.append_value(false),
                _ => return false,
            },
            Builder::Time(builder) => match state_read::time(token) {
                Some(micros) => builder.append_value(micros),
                None => return false,
            },
            Builder::Map(_) => return false,
        }
        true
    }

    fn finish(&mut self) -> ArrayRef {
        match self {
            Builder::Text(builder) => Arc::new(builder.finish()),
            Builder::Number(builder) => Arc::new(builder.finish()),
            Builder::Integer(builder) => Arc::new(builder.finish()),
            Builder::Boolean(builder) => Arc::new(builder.finish()),
            Builder::Time(builder) => Arc::new(builder.finish().with_timezone("UTC")),
            Builder::Map(builder) => Arc::new(builder.finish()),
        }
    }
}

/// Rust reads `inf` and `nan` as numbers, JSON does not know them.
fn is_number(token: &str) -> bool {
    token.starts_with(|c: char| c == '-' || c.is_ascii_digit())
}

/// Rows that are being built.
pub struct Cells {
    columns: Columns,
    builders: Vec<Builder>,
    filled: Vec<bool>,
    map: Option<usize>,
    rows: usize,
}

impl Cells {
    /// None yet.
    pub fn new(columns: &Columns) -> Cells {
        let builders = columns.iter().map(|column| Builder::new(column.kind)).collect();
        Cells { columns: columns.clone(), builders, filled: vec![false; columns.len()], map: columns.position(FIELDS), rows: 0 }
    }

    /// Rows that have ended.
    pub fn len(&self) -> usize {
        self.rows
    }

    /// True for none.
    pub fn is_empty(&self) -> bool {
        self.rows == 0
    }

    /// Sets a cell of the open row to the value of a JSON token; false where it has one already, or
    /// the value is not of its type.
    pub fn token_at(&mut self, at: usize, token: &str) -> bool {
        let free = self.filled.get(at) == Some(&false);
        let set = free && token != "null" && self.builders.get_mut(at).is_some_and(|builder| builder.token(token));
        if set && let Some(filled) = self.filled.get_mut(at) {
            *filled = true;
        }
        set
    }

    /// The same, by the name of the column.
    pub fn token(&mut self, column: &str, token: &str) -> bool {
        self.columns.position(column).is_some_and(|at| self.token_at(at, token))
    }

    /// Sets cells to the members of an object.
    pub fn group(&mut self, token: &str, places: &[(&str, &str)]) {
        let Some(members) = members(token) else { return };
        for (key, column) in places {
            if let Some(token) = find(&members, key) {
                self.token(column, token);
            }
        }
    }

    /// Sets a text.
    pub fn text(&mut self, column: &str, value: &str) {
        self.set(column, |builder| match builder {
            Builder::Text(builder) => {
                builder.append_value(value);
                true
            }
            _ => false,
        });
    }

    /// Sets an integer.
    pub fn integer(&mut self, column: &str, value: i64) {
        self.set(column, |builder| match builder {
            Builder::Integer(builder) => {
                builder.append_value(value);
                true
            }
            _ => false,
        });
    }

    /// Sets a time, in microseconds.
    pub fn time(&mut self, column: &str, micros: i64) {
        self.set(column, |builder| match builder {
            Builder::Time(builder) => {
                builder.append_value(micros);
                true
            }
            _ => false,
        });
    }

    fn set(&mut self, column: &str, append: impl FnOnce(&mut Builder) -> bool) {
        let Some(at) = self.columns.position(column) else { return };
        if let (Some(filled), Some(builder)) = (self.filled.get_mut(at), self.builders.get_mut(at))
            && !*filled
        {
            *filled = append(builder);
        }
    }

    /// Adds a member to the map of the open row: texts as texts, all else as JSON.
    pub fn rest(&mut self, key: &str, token: &str) {
        if let Some(Builder::Map(builder)) = self.map.and_then(|at| self.builders.get_mut(at)) {
            builder.keys().append_value(text(key).as_deref().unwrap_or(key));
            builder.values().append_value(text(token).as_deref().unwrap_or(token));
        }
    }

    /// Ends the open row.
    ///
    /// # Errors
    /// A bug of the builders.
    pub fn end_row(&mut self) -> Result<(), ArrowError> {
        for (builder, filled) in self.builders.iter_mut().zip(&mut self.filled) {
            if !*filled {
                builder.null()?;
            }
            *filled = false;
        }
        self.rows += 1;
        Ok(())
    }

    /// The rows, as a batch; begins anew.
    ///
    /// # Errors
    /// A bug of the builders.
    pub fn finish(&mut self) -> Result<RecordBatch, ArrowError> {
        self.rows = 0;
        RecordBatch::try_new(self.columns.arrow(), self.builders.iter_mut().map(Builder::finish).collect())
    }
}
