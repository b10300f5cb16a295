//! `information_schema.columns` as Postgres describes columns: with its own names of types, which
//! dashboards tell times and numbers by, and counted from 1. DataFusion's has Arrow's names there.

use std::ops::ControlFlow;
use std::sync::LazyLock;

use datafusion::sql::sqlparser::ast::{Ident, ObjectName, Query, Statement, TableAlias, TableFactor, VisitMut, VisitorMut};
use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
use datafusion::sql::sqlparser::parser::Parser;

/// Arrow's names, as patterns, with the names that Postgres has: of the type, and of its `pg_type`.
const TYPES: [(&str, &str, &str); 18] = [
    ("Utf8%", "text", "text"),
    ("LargeUtf8%", "text", "text"),
    // Maps are shown as JSON.
    ("Map(%", "text", "text"),
    ("Int64", "bigint", "int8"),
    ("UInt32", "bigint", "int8"),
    ("Int32", "integer", "int4"),
    ("UInt16", "integer", "int4"),
    ("Int16", "smallint", "int2"),
    ("Int8", "smallint", "int2"),
    ("UInt8", "smallint", "int2"),
    ("UInt64", "numeric", "numeric"),
    ("Decimal%", "numeric", "numeric"),
    ("Float64", "double precision", "float8"),
    ("Float32", "real", "float4"),
    ("Boolean", "boolean", "bool"),
    ("Date32", "date", "date"),
    ("Timestamp(%\"%", "timestamp with time zone", "timestamptz"),
    ("Timestamp(%", "timestamp without time zone", "timestamp"),
];

/// The question that takes the table's place.
static COLUMNS: LazyLock<Option<Box<Query>>> = LazyLock::new(|| {
    let case = |names: [&str; TYPES.len()]| {
        let whens: String = TYPES.iter().zip(names).map(|((arrow, _, _), name)| format!(" WHEN data_type LIKE '{arrow}' THEN '{name}'")).collect();
        format!("CASE{whens} ELSE data_type END")
    };
    let (data_type, udt_name) = (case(TYPES.map(|of| of.1)), case(TYPES.map(|of| of.2)));
    let text = format!(
        "SELECT table_catalog, table_schema, table_name, column_name, CAST(ordinal_position + 1 AS INT) AS ordinal_position, column_default, is_nullable, \
         {data_type} AS data_type, character_maximum_length, character_octet_length, numeric_precision, numeric_precision_radix, numeric_scale, datetime_precision, interval_type, \
         table_catalog AS udt_catalog, 'pg_catalog' AS udt_schema, {udt_name} AS udt_name, 'NO' AS is_identity, 'NEVER' AS is_generated, 'NO' AS is_updatable \
         FROM information_schema.columns"
    );
    match Parser::parse_sql(&PostgreSqlDialect {}, &text).ok()?.pop()? {
        Statement::Query(query) => Some(query),
        _ => None,
    }
});

struct InPlace;

impl VisitorMut for InPlace {
    type Break = ();

    fn post_visit_table_factor(&mut self, factor: &mut TableFactor) -> ControlFlow<()> {
        if let TableFactor::Table { name, alias, args: None, .. } = factor
            && is_columns(name)
            && let Some(query) = COLUMNS.as_ref()
        {
            let alias = alias.clone().unwrap_or_else(|| TableAlias { explicit: true, name: Ident::new("columns"), columns: Vec::new(), at: None });
            *factor = TableFactor::Derived { lateral: false, subquery: query.clone(), alias: Some(alias), sample: None };
        }
        ControlFlow::Continue(())
    }
}

fn is_columns(name: &ObjectName) -> bool {
    let parts: Vec<String> = name.0.iter().map(|part| part.to_string().trim_matches('"').to_lowercase()).collect();
    matches!(parts.iter().map(String::as_str).collect::<Vec<_>>()[..], [.., "information_schema", "columns"])
}

/// Puts the question where the table stands.
pub fn described(statement: &mut Statement) {
    let _ = statement.visit(&mut InPlace);
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_question_takes_the_tables_place() {
        let mut statement = Parser::parse_sql(&PostgreSqlDialect {}, "SELECT c.data_type FROM \"information_schema\".columns AS c, t").unwrap().pop().unwrap();
        described(&mut statement);
        let text = statement.to_string();
        assert!(text.starts_with("SELECT c.data_type FROM (SELECT table_catalog,") && text.ends_with("FROM information_schema.columns) AS c, t"), "{text}");
        assert!(text.contains("WHEN data_type LIKE 'Int64' THEN 'bigint'") && text.contains("THEN 'int8'"), "{text}");
        let mut other = Parser::parse_sql(&PostgreSqlDialect {}, "SELECT * FROM information_schema.tables, columns").unwrap().pop().unwrap();
        described(&mut other);
        assert_eq!(other.to_string(), "SELECT * FROM information_schema.tables, columns");
    }
}
