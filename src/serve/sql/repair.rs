//! Questions about the catalog that go beyond what our catalog knows. Clients (`psql` with its backslash
//! commands, drivers, dashboards) ask hundreds of them, about casts, operators, tablespaces and whatever
//! else a Postgres has and this is not. A function or a column that is not known is NULL there, and a
//! question that cannot be understood even so has no rows: there is nothing of what it asks for.
//!
//! Questions about data are never touched: what is wrong with them is told.

use std::ops::ControlFlow;
use std::sync::LazyLock;

use datafusion::common::{DataFusionError, SchemaError};
use datafusion::sql::sqlparser::ast::{
    CastKind, DataType, Expr, Ident, ObjectName, Query, SelectItem, SetExpr, Statement, Value, visit_expressions, visit_expressions_mut, visit_relations,
};
use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
use datafusion::sql::sqlparser::parser::Parser;
use regex::Regex;

use super::login::VERSION;

/// Things that one question may lack (count).
pub const FIXES_MAX: usize = 64;
/// Schemas of catalogs.
const SCHEMAS: [&str; 2] = ["pg_catalog", "information_schema"];

/// What a question lacks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Lacking {
    /// A function, or one for such arguments.
    Function(String),
    /// A column, perhaps of a table.
    Column(Option<String>, String),
}

fn last(name: &ObjectName) -> String {
    name.0.last().map(|part| part.to_string().trim_matches('"').to_lowercase()).unwrap_or_default()
}

/// True for a question about the catalog alone. `ours`: tables that hold data.
pub fn is_about_catalog(statement: &Statement, ours: &dyn Fn(&str) -> bool) -> bool {
    if !matches!(statement, Statement::Query(_)) {
        return false;
    }
    let (mut catalog, mut data) = (false, false);
    let _ = visit_relations(statement, |name: &ObjectName| {
        let schema = name.0.first().filter(|_| name.0.len() > 1).map(|part| part.to_string().to_lowercase());
        let table = last(name);
        if schema.is_some_and(|schema| SCHEMAS.contains(&schema.as_str())) || table.starts_with("pg_") {
            catalog = true;
        } else if ours(&table) {
            data = true;
        }
        ControlFlow::<()>::Continue(())
    });
    if !catalog && !data {
        // `SELECT current_setting(…)`: about the server.
        let _ = visit_expressions(statement, |expr| {
            if let Expr::Function(function) = expr {
                let name = last(&function.name);
                catalog |= name.starts_with("pg_") || ["current_setting", "set_config", "obj_description", "col_description"].contains(&name.as_str());
            }
            ControlFlow::<()>::Continue(())
        });
    }
    catalog && !data
}

/// What an error says that a question lacks.
pub fn lacking(error: &DataFusionError) -> Option<Lacking> {
    static FUNCTION: LazyLock<Option<Regex>> =
        LazyLock::new(|| Regex::new(r"Invalid function '([^']+)'|call to '([^']+)' function|call to function '([^']+)'|The function '([^']+)'").ok());
    match error.find_root() {
        DataFusionError::SchemaError(error, _) => match error.as_ref() {
            SchemaError::FieldNotFound { field, .. } => {
                Some(Lacking::Column(field.relation.as_ref().map(|relation| relation.table().to_lowercase()), field.name.to_lowercase()))
            }
            _ => None,
        },
        DataFusionError::Plan(text) | DataFusionError::NotImplemented(text) | DataFusionError::Internal(text) | DataFusionError::Execution(text) => {
            let found = FUNCTION.as_ref()?.captures(text)?;
            let name = (1..found.len()).find_map(|at| found.get(at))?;
            Some(Lacking::Function(name.as_str().to_lowercase()))
        }
        _ => None,
    }
}

fn null() -> Expr {
    let inner = Box::new(Expr::value(Value::Null));
    Expr::Cast { kind: CastKind::Cast, expr: inner, data_type: DataType::Text, array: false, format: None }
}

/// What a function says that is not there.
fn answer(name: &str, function: &Expr) -> Expr {
    if name.ends_with("_is_visible") {
        // There is one schema, and it is searched.
        return Expr::value(Value::Boolean(true));
    }
    if name == "current_setting" {
        let asked = function.to_string().to_lowercase();
        let (major, minor) = VERSION.split_once('.').unwrap_or((VERSION, "0"));
        for (setting, value) in [
            ("server_version_num", format!("{major}{minor:0>4}")),
            ("server_version", VERSION.to_owned()),
            ("timezone", "UTC".to_owned()),
            ("search_path", "public".to_owned()),
        ] {
            if asked.contains(&format!("'{setting}'")) {
                return Expr::value(Value::SingleQuotedString(value));
            }
        }
    }
    null()
}

/// The same question, whose columns have names: those of two that are not known would be the same.
pub fn named(statement: &mut Statement) {
    let Statement::Query(query) = statement else { return };
    let mut bodies = vec![query.body.as_mut()];
    while let Some(body) = bodies.pop() {
        match body {
            SetExpr::SetOperation { left, right, .. } => bodies.extend([left.as_mut(), right.as_mut()]),
            SetExpr::Query(query) => bodies.push(query.body.as_mut()),
            SetExpr::Select(select) => {
                let mut names: Vec<String> = Vec::new();
                for item in &mut select.projection {
                    if let SelectItem::UnnamedExpr(expr) = item {
                        let name = name_of(expr);
                        let again = names.iter().filter(|known| **known == name).count();
                        let unique = if again > 0 { format!("{name}_{again}") } else { name.clone() };
                        names.push(name);
                        *item = SelectItem::ExprWithAlias { expr: expr.clone(), alias: Ident::with_quote('"', unique) };
                    }
                }
            }
            _ => {}
        }
    }
}

/// The name of a procedure that a column of `pg_type` is compared with. The parser makes a question for a
/// number of it (`regproc`), but these columns hold names.
pub fn procedure(column: &Expr, number: &Expr) -> Option<String> {
    let of_type = match column {
        Expr::Identifier(ident) => Some(ident),
        Expr::CompoundIdentifier(parts) => parts.last(),
        _ => None,
    };
    if !of_type?.value.to_lowercase().starts_with("typ") {
        return None;
    }
    let Expr::Subquery(query) = number else { return None };
    let asked = query.to_string();
    let name = asked.strip_prefix("SELECT oid FROM pg_catalog.pg_proc WHERE proname = '")?.split('\'').next()?;
    Some(name.rsplit('.').next().unwrap_or(name).to_owned())
}

/// The same question without what it lacks; false where that stands nowhere in it.
pub fn repair(statement: &mut Statement, lacking: &Lacking) -> bool {
    let mut done = false;
    let _ = visit_expressions_mut(statement, |expr| {
        let put = match (&*expr, lacking) {
            (Expr::Function(function), Lacking::Function(name)) if last(&function.name) == *name => Some(answer(name, expr)),
            (Expr::CompoundIdentifier(parts), Lacking::Column(relation, name)) => {
                let mut from_behind = parts.iter().rev().map(|part| part.value.to_lowercase());
                let same = from_behind.next().as_ref() == Some(name) && relation.as_ref().is_none_or(|relation| from_behind.next().as_ref() == Some(relation));
                same.then(null)
            }
            (Expr::Identifier(ident), Lacking::Column(None, name)) if ident.value.to_lowercase() == *name => Some(null()),
            _ => None,
        };
        if let Some(put) = put {
            *expr = put;
            done = true;
        }
        ControlFlow::<()>::Continue(())
    });
    done
}

/// A result of the same shape without rows; `None` where the shape cannot be told.
pub fn nothing(statement: &Statement) -> Option<Statement> {
    let Statement::Query(query) = statement else { return None };
    let names = columns(query)?;
    let column = |(number, name): (usize, &String)| {
        let again = names.iter().take(number).filter(|known| *known == name).count();
        let name = if again > 0 { format!("{name}_{again}") } else { name.clone() };
        format!("CAST(NULL AS TEXT) AS \"{}\"", name.replace('"', "\"\""))
    };
    let columns: Vec<String> = names.iter().enumerate().map(column).collect();
    Parser::parse_sql(&PostgreSqlDialect {}, &format!("SELECT {} WHERE false", columns.join(", "))).ok()?.pop()
}

fn columns(query: &Query) -> Option<Vec<String>> {
    let mut body = query.body.as_ref();
    let select = loop {
        match body {
            SetExpr::Select(select) => break select,
            SetExpr::SetOperation { left, .. } => body = left,
            SetExpr::Query(query) => body = query.body.as_ref(),
            _ => return None,
        }
    };
    let name = |item: &SelectItem| match item {
        SelectItem::ExprWithAlias { alias, .. } => Some(alias.value.clone()),
        SelectItem::UnnamedExpr(expr) => Some(name_of(expr)),
        _ => None,
    };
    select.projection.iter().map(name).collect()
}

/// As Postgres calls a column that has no name.
fn name_of(expr: &Expr) -> String {
    match expr {
        Expr::Identifier(ident) => ident.value.clone(),
        Expr::CompoundIdentifier(parts) => parts.last().map(|part| part.value.clone()).unwrap_or_default(),
        Expr::Function(function) => last(&function.name),
        Expr::Cast { expr, .. } | Expr::Nested(expr) => name_of(expr),
        Expr::Case { .. } => "case".to_owned(),
        _ => "?column?".to_owned(),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn parsed(sql: &str) -> Statement {
        Parser::parse_sql(&PostgreSqlDialect {}, sql).unwrap().pop().unwrap()
    }

    #[test]
    fn only_questions_about_the_catalog() {
        let ours = |name: &str| name == "incidents";
        for (sql, about) in [
            ("SELECT 1 FROM pg_catalog.pg_class", true),
            ("SELECT 1 FROM pg_class c JOIN information_schema.tables t ON true", true),
            ("SELECT pg_backend_pid()", true),
            ("SELECT 1 FROM incidents JOIN pg_class ON true", false),
            ("SELECT nosuch(id) FROM incidents", false),
            ("SELECT nosuch(1)", false),
        ] {
            assert_eq!(is_about_catalog(&parsed(sql), &ours), about, "{sql}");
        }
    }

    #[test]
    fn what_is_lacking_is_null() {
        let mut statement = parsed("SELECT c.relacl, pg_catalog.pg_function_is_visible(c.oid), pg_size_pretty(pg_table_size(c.oid)) FROM pg_class c");
        assert!(repair(&mut statement, &Lacking::Column(Some("c".into()), "relacl".into())));
        assert!(repair(&mut statement, &Lacking::Function("pg_function_is_visible".into())));
        assert!(repair(&mut statement, &Lacking::Function("pg_size_pretty".into())));
        assert!(!repair(&mut statement, &Lacking::Function("pg_size_pretty".into())));
        assert_eq!(statement.to_string(), "SELECT CAST(NULL AS TEXT), true, CAST(NULL AS TEXT) FROM pg_class c");
        assert_eq!(answer("current_setting", &Expr::value(Value::SingleQuotedString("server_version_num".into()))).to_string(), "'160006'");
    }

    #[test]
    fn nothing_has_the_same_columns() {
        let statement = parsed("SELECT a.x AS \"The X\", f(a.y), a.z::text, 1, 2 FROM pg_nosuch a UNION SELECT 1, 2, 3, 4, 5");
        assert_eq!(
            nothing(&statement).unwrap().to_string(),
            "SELECT CAST(NULL AS TEXT) AS \"The X\", CAST(NULL AS TEXT) AS \"f\", CAST(NULL AS TEXT) AS \"z\", CAST(NULL AS TEXT) AS \"?column?\", CAST(NULL AS TEXT) AS \"?column?_1\" WHERE false"
        );
        assert!(nothing(&parsed("SELECT * FROM pg_nosuch")).is_none());
    }
}
