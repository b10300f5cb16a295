//! Results as they leave: lines of JSON, CSV, Arrow, Parquet, or cells for a table on a terminal.

use std::io::Write;

use datafusion::arrow::array::{Array, ArrayRef, AsArray, Int64Array, RecordBatch};
use datafusion::arrow::compute::cast;
use datafusion::arrow::datatypes::{DataType, Int64Type, SchemaRef, TimeUnit};
use datafusion::arrow::ipc::writer::StreamWriter;
use datafusion::arrow::json::LineDelimitedWriter;
use datafusion::arrow::util::display::{ArrayFormatter, FormatOptions};
use datafusion::arrow::{csv, error::ArrowError};
use datafusion::parquet::arrow::ArrowWriter;

use crate::config::units::format_duration_ms;
use crate::error::Error;

/// Rows of a table on a terminal (count): nobody reads more, and all of them are held to line up.
pub const TABLE_ROWS_MAX: usize = 10_000;

/// A format of results.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// For people.
    Table,
    /// One JSON object a line.
    Json,
    /// With a head.
    Csv,
    /// An Arrow stream.
    Arrow,
    /// A Parquet file.
    Parquet,
}

impl Format {
    /// As typed.
    pub const NAMES: [(&str, Format); 5] =
        [("table", Format::Table), ("json", Format::Json), ("csv", Format::Csv), ("arrow", Format::Arrow), ("parquet", Format::Parquet)];

    /// Reads a name.
    pub fn parse(name: &str) -> Option<Format> {
        Format::NAMES.iter().find(|(known, _)| *known == name).map(|(_, format)| *format)
    }

    /// Whether it knows maps.
    pub fn has_maps(self) -> bool {
        matches!(self, Format::Json | Format::Arrow | Format::Parquet)
    }
}

/// What a terminal shows.
#[derive(Debug, Default)]
pub struct Cells {
    /// Names of the columns.
    pub head: Vec<String>,
    /// Numbers of columns that hold numbers.
    pub right: Vec<usize>,
    /// The first rows, up to [`TABLE_ROWS_MAX`].
    pub rows: Vec<Vec<String>>,
    /// All rows.
    pub count: usize,
}

enum Kind<'a> {
    Table(Cells),
    Json(LineDelimitedWriter<&'a mut dyn Write>),
    Csv(Box<csv::Writer<&'a mut dyn Write>>),
    Arrow(StreamWriter<&'a mut dyn Write>),
    Parquet(Box<ArrowWriter<Sendable<'a>>>),
}

/// Parquet's writer wants to be sent to other threads; it is not.
struct Sendable<'a>(&'a mut (dyn Write + Send));

impl Write for Sendable<'_> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.0.flush()
    }
}

/// A result that is being written.
pub struct Output<'a> {
    kind: Kind<'a>,
}

fn wrong(error: &dyn std::fmt::Display) -> Error {
    Error::environment(format!("the result cannot be written: {error}"))
}

impl<'a> Output<'a> {
    /// Begins a result of this shape.
    ///
    /// # Errors
    /// Columns that the format does not know; a target that cannot be written to.
    pub fn new(format: Format, schema: &SchemaRef, to: &'a mut (dyn Write + Send)) -> Result<Output<'a>, Error> {
        let kind = match format {
            Format::Table => {
                let head = schema.fields().iter().map(|field| field.name().clone()).collect();
                let right = schema.fields().iter().enumerate().filter(|(_, field)| is_number(field.data_type())).map(|(at, _)| at).collect();
                Kind::Table(Cells { head, right, ..Cells::default() })
            }
            Format::Json => Kind::Json(LineDelimitedWriter::new(to)),
            Format::Csv => {
                let mut writer = csv::WriterBuilder::new().with_header(true).build(to as &mut dyn Write);
                // The head stands there also where no row does.
                writer.write(&RecordBatch::new_empty(schema.clone())).map_err(|error| wrong(&error))?;
                Kind::Csv(Box::new(writer))
            }
            Format::Arrow => Kind::Arrow(StreamWriter::try_new(to as &mut dyn Write, schema).map_err(|error| wrong(&error))?),
            Format::Parquet => Kind::Parquet(Box::new(ArrowWriter::try_new(Sendable(to), schema.clone(), None).map_err(|error| wrong(&error))?)),
        };
        Ok(Output { kind })
    }

    /// Appends rows.
    ///
    /// # Errors
    /// A target that cannot be written to.
    pub fn write(&mut self, batch: &RecordBatch) -> Result<(), Error> {
        match &mut self.kind {
            Kind::Table(cells) => push(cells, batch).map_err(|error| wrong(&error)),
            Kind::Json(writer) => writer.write(batch).map_err(|error| wrong(&error)),
            Kind::Csv(writer) => writer.write(batch).map_err(|error| wrong(&error)),
            Kind::Arrow(writer) => writer.write(batch).map_err(|error| wrong(&error)),
            Kind::Parquet(writer) => writer.write(batch).map_err(|error| wrong(&error)),
        }
    }

    /// Ends the result; the cells, if it is for a terminal.
    ///
    /// # Errors
    /// A target that cannot be written to.
    pub fn finish(self) -> Result<Option<Cells>, Error> {
        match self.kind {
            Kind::Table(cells) => return Ok(Some(cells)),
            Kind::Json(mut writer) => writer.finish().map_err(|error| wrong(&error))?,
            Kind::Csv(_) => {}
            Kind::Arrow(mut writer) => writer.finish().map_err(|error| wrong(&error))?,
            Kind::Parquet(writer) => drop(writer.close().map_err(|error| wrong(&error))?),
        }
        Ok(None)
    }
}

fn is_number(data_type: &DataType) -> bool {
    data_type.is_numeric()
}

fn push(cells: &mut Cells, batch: &RecordBatch) -> Result<(), ArrowError> {
    cells.count += batch.num_rows();
    let options = FormatOptions::default();
    let durations = batch.columns().iter().map(durations).collect::<Result<Vec<_>, _>>()?;
    let columns = batch.columns().iter().map(|column| ArrayFormatter::try_new(column.as_ref(), &options)).collect::<Result<Vec<_>, _>>()?;
    let cell = |(column, duration): (&ArrayFormatter<'_>, &Option<Int64Array>), row: usize| match duration {
        Some(duration) if duration.is_valid(row) => Ok(format_duration_ms(duration.value(row))),
        _ => column.value(row).try_to_string(),
    };
    for row in 0..batch.num_rows().min(TABLE_ROWS_MAX.saturating_sub(cells.rows.len())) {
        cells.rows.push(columns.iter().zip(&durations).map(|column| cell(column, row)).collect::<Result<Vec<_>, _>>()?);
    }
    Ok(())
}

/// A column of durations in milliseconds: people read `50m5s`, not `PT3005S`.
fn durations(column: &ArrayRef) -> Result<Option<Int64Array>, ArrowError> {
    if !matches!(column.data_type(), DataType::Duration(_)) {
        return Ok(None);
    }
    let millis = cast(&cast(column, &DataType::Duration(TimeUnit::Millisecond))?, &DataType::Int64)?;
    Ok(millis.as_primitive_opt::<Int64Type>().cloned())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::sync::Arc;

    use datafusion::arrow::array::DurationMicrosecondArray;

    use super::*;

    #[test]
    fn durations_as_people_write_them() {
        let column: ArrayRef = Arc::new(DurationMicrosecondArray::from(vec![Some(3_005_000_000), None, Some(0), Some(-90_061_001_000)]));
        let mut cells = Cells::default();
        push(&mut cells, &RecordBatch::try_from_iter([("over", column)]).unwrap()).unwrap();
        assert_eq!(cells.rows, [["50m5s"], [""], ["0s"], ["-1d1h1m1s1ms"]]);
    }
}
