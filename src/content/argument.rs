//! Owns how values of a pack (`{simple}`, `{complex}`) come from the tree of a file into the
//! data model that [`crate::expr::xsoar`] evaluates: every scalar as the text that stands there,
//! mistakes at their line, and a list of the operators that are used.

use serde_json::{Map, Value as Json};

use crate::config::node::{Node, Value};
use crate::config::source_map::{Span, Spanned};
use crate::expr::xsoar::model::{Argument, Tests};
use crate::expr::xsoar::read::{self as model, ShapeError};

use super::read::Reader;

/// An operator that an expression names, and where.
#[derive(Debug, Clone, PartialEq)]
pub struct OperatorUse {
    /// As written: modern, with a legacy prefix, a script's name or GUID.
    pub name: Spanned<String>,
    /// Among filters and conditions; else among transformers.
    pub filter: bool,
    /// JSON pointer to what has the operator, without the `value` levels.
    pub pointer: String,
}

/// The place that a JSON pointer inside an expression means: the operator that it leads to or
/// into, else the expression as a whole.
pub fn locate(operators: &[OperatorUse], pointer: &str, whole: Span) -> Span {
    let plain: String = pointer.split('/').filter(|part| !part.is_empty() && *part != "value").map(|part| format!("/{part}")).collect();
    let inside = operators.iter().filter(|used| plain.starts_with(&used.pointer));
    inside.max_by_key(|used| used.pointer.len()).map_or(whole, |used| used.name.span)
}

/// A value as it stands in a file.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Expression {
    /// What is evaluated.
    pub argument: Argument,
    /// Its place.
    pub span: Span,
    /// The operators in it.
    pub operators: Vec<OperatorUse>,
}

impl Expression {
    /// Reads a value; `None` if it cannot be one (reported as an error).
    pub fn read(node: &Node, what: &str, reader: &mut Reader<'_>) -> Option<Expression> {
        let json = as_text(node, reader);
        match model::argument(&json) {
            Ok(argument) => Some(Expression { argument, span: node.span, operators: operators(node) }),
            Err(error) => {
                shape(node, what, &error, reader);
                None
            }
        }
    }

    /// The same for a value that may be missing.
    pub fn maybe(node: Option<&Node>, what: &str, reader: &mut Reader<'_>) -> Expression {
        node.and_then(|node| Expression::read(node, what, reader)).unwrap_or_default()
    }
}

/// Lists of lists of tests, as they stand in a file.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Conditions {
    /// Outer list AND, inner list OR.
    pub tests: Tests,
    /// Their place.
    pub span: Span,
    /// The operators in them.
    pub operators: Vec<OperatorUse>,
}

impl Conditions {
    /// Reads tests; `None` if they cannot be that (reported as an error).
    pub fn read(node: &Node, what: &str, reader: &mut Reader<'_>) -> Option<Conditions> {
        let json = as_text(node, reader);
        match model::tests(&json) {
            Ok(tests) => {
                if tests.iter().any(Vec::is_empty) {
                    reader.warn("empty-group", format!("{what} has an empty group of alternatives, which counts as true"), node.point());
                }
                Some(Conditions { tests, span: node.span, operators: operators(node) })
            }
            Err(error) => {
                shape(node, what, &error, reader);
                None
            }
        }
    }
}

fn shape(node: &Node, what: &str, error: &ShapeError, reader: &mut Reader<'_>) {
    let at = pointed(node, &error.pointer);
    reader.error("expression", format!("{what}: {}", error.what), at.point());
}

/// The tree as JSON in which every scalar but null is the text that stands there.
fn as_text(node: &Node, reader: &Reader<'_>) -> Json {
    match &node.value {
        Value::List(items) => Json::Array(items.iter().map(|item| as_text(item, reader)).collect()),
        Value::Mapping(entries) => {
            let mut object = Map::new();
            for (key, node) in entries {
                object.insert(key.value.clone(), as_text(node, reader));
            }
            Json::Object(object)
        }
        _ => reader.text_of(node).map_or(Json::Null, Json::String),
    }
}

/// The node that a JSON pointer leads to, or the last one on the way.
fn pointed<'n>(node: &'n Node, pointer: &str) -> &'n Node {
    let mut node = node;
    for part in pointer.split('/').skip(1) {
        let next = match &node.value {
            Value::List(items) => part.parse::<usize>().ok().and_then(|index| items.get(index)),
            Value::Mapping(entries) => entries.iter().find(|(key, _)| key.value.eq_ignore_ascii_case(part)).map(|(_, node)| node),
            _ => None,
        };
        match next {
            Some(next) => node = next,
            None => break,
        }
    }
    node
}

fn operators(node: &Node) -> Vec<OperatorUse> {
    let mut found = Vec::new();
    collect(node, true, &mut String::new(), &mut found);
    found
}

fn collect(node: &Node, filter: bool, pointer: &mut String, found: &mut Vec<OperatorUse>) {
    let before = pointer.len();
    match &node.value {
        Value::List(items) => {
            for (number, item) in items.iter().enumerate() {
                pointer.push_str(&format!("/{number}"));
                collect(item, filter, pointer, found);
                pointer.truncate(before);
            }
        }
        Value::Mapping(entries) => {
            for (key, node) in entries {
                let name = key.value.as_str();
                match &node.value {
                    Value::Text { text, .. } if name == "operator" => {
                        found.push(OperatorUse { name: Spanned::new(text.trim().to_owned(), node.span), filter, pointer: pointer.clone() });
                        continue;
                    }
                    _ => {}
                }
                if name != "value" {
                    pointer.push('/');
                    pointer.push_str(name);
                }
                collect(node, name == "filters" || (filter && name != "transformers"), pointer, found);
                pointer.truncate(before);
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::diagnostic::Diagnostics;
    use crate::config::yaml;

    fn read(text: &str) -> (Option<Expression>, String) {
        let mut out = Diagnostics::new();
        let file = out.add_file("x.yml", text);
        let node = yaml::read_imported(file, &mut out).unwrap_or_else(|| panic!("{}", out.plain()));
        let expression = Expression::read(&node, "`x`", &mut Reader::new(&mut out));
        (expression, out.plain())
    }

    #[test]
    #[allow(clippy::unwrap_used)]
    fn scalars_keep_their_text() {
        for (text, expected) in
            [("yes", "yes"), ("True", "True"), ("1.50", "1.50"), ("0x1F", "0x1F"), ("''", ""), ("{simple: on}", "on"), ("{simple: 007}", "007")]
        {
            let (expression, said) = read(text);
            assert_eq!(expression.unwrap().argument, Argument::Simple(expected.to_owned()), "{text}: {said}");
        }
        assert!(read("{}").0.unwrap().argument.is_unset());
        assert!(read("{complex: {}}").0.unwrap().argument.is_unset());
    }

    #[test]
    #[allow(clippy::unwrap_used)]
    fn operators_are_listed_with_places() {
        let text = "complex:\n  root: a\n  filters:\n  - - {operator: isExists, left: {value: {complex: {root: b, transformers: [{operator: uniq}]}}, iscontext: true}}\n  transformers:\n  - operator: join\n";
        let (expression, _) = read(text);
        let used: Vec<(String, bool)> = expression.unwrap().operators.into_iter().map(|used| (used.name.value, used.filter)).collect();
        assert_eq!(used, [("isExists".to_owned(), true), ("uniq".to_owned(), false), ("join".to_owned(), false)]);
    }

    #[test]
    fn mistakes_have_their_line() {
        let (expression, said) = read("complex:\n  root: a\n  filters:\n  - - left: b\n");
        assert!(expression.is_none());
        assert!(said.starts_with("x.yml:4:"), "{said}");
    }
}
