//! Owns how expressions and paths are taken out of YAML values, and what to say when
//! they do not parse.

use crate::expr::ast;
use crate::expr::parse::{ParseError, parse, parse_path};
use crate::expr::path::Path;

use super::diagnostic::{Diagnostic, Diagnostics};
use super::expr_text::ExprText;
use super::node::{Node, Style, Value, json_number};
use super::read::{ends_in_brackets, shortened, wrong_type};
use super::source_map::{Span, Spanned};

/// An expression. Numbers, `true`, `false` and a written `null` are constants. What is no
/// expression is a mistake and stands as a broken `NULL`, so that nothing else is
/// reported because of it.
pub fn expression(node: &Node, what: &str, out: &mut Diagnostics) -> ExprText {
    let (text, style) = match &node.value {
        Value::Text { text, style } => (text.clone(), *style),
        Value::Number(raw) => (json_number(raw), Style::Plain),
        Value::Boolean(truth) => (if *truth { "TRUE" } else { "FALSE" }.to_owned(), Style::Plain),
        Value::Null { written: true } => ("NULL".to_owned(), Style::Plain),
        Value::Null { written: false } => {
            let message = format!("{what} has no value");
            let diagnostic = Diagnostic::error("missing-value", message).at(node.span);
            out.push(diagnostic.hint("write an expression, or NULL for no value"));
            return broken(node.span);
        }
        Value::List(_) | Value::Mapping(_) => {
            let message = format!("{what} must be an expression, not {}", node.kind());
            let hint = match &node.value {
                Value::List(_) => "an expression that starts with [ needs quotes",
                _ => "an expression with `: ` or { in it needs quotes",
            };
            out.push(Diagnostic::error("wrong-type", message).at(node.point()).hint(hint));
            return broken(node.point());
        }
    };
    let files = out.files().clone();
    let file = files.file(node.span.file).map_or("", |file| file.text.as_str());
    match parse(&text) {
        Ok(expr) => ExprText::new(&text, expr, node.span, style, file),
        Err(error) => {
            let mut expr = ExprText::new(&text, null(), node.span, style, file);
            expr.broken = true;
            let cut_at_comma = ends_in_brackets(node) && file.get(node.span.end as usize..).is_some_and(|rest| rest.trim_start().starts_with(','));
            let hint = if cut_at_comma {
                Some("inside { } a comma ends the value: put the whole expression in quotes".to_owned())
            } else {
                error.hint.clone().or_else(|| constant_hint(&text, style, &error))
            };
            out.push(Diagnostic::error("expression", format!("{what}: {}", error.message)).at(expr.locate(error.start, error.end)).maybe_hint(hint));
            expr
        }
    }
}

/// The place in the file of one byte of a text.
pub fn place_in_text(node: &Node, at: usize, out: &Diagnostics) -> Span {
    let Value::Text { text, style } = &node.value else { return node.span };
    let file = out.files().file(node.span.file).map_or("", |file| file.text.as_str());
    ExprText::new(text, null(), node.span, *style, file).locate(at, at + 1)
}

/// Stands for an expression that is missing or broken, which is reported already.
pub fn broken(span: Span) -> ExprText {
    let mut expr = ExprText::without_source("NULL", null(), span);
    expr.broken = true;
    expr
}

fn null() -> ast::Expr {
    ast::Expr { node: ast::Node::Null, start: 0, end: 0 }
}

/// `brand: "Palo Alto"`: YAML takes the quotes away, and two words are no expression.
fn constant_hint(text: &str, style: Style, error: &ParseError) -> Option<String> {
    let words_only = text.chars().all(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_' | '.' | ','));
    if !words_only || text.contains(" - ") || error.start == 0 || text.len() > 60 {
        return None;
    }
    let why = match style {
        Style::Single | Style::Double => "YAML takes the outer quotes away; ",
        Style::Plain | Style::Block => "",
    };
    Some(format!("{why}a text constant is written \"'{text}'\""))
}

/// A path and nothing else: `user.name`, `Records[0].id`.
pub fn path(node: &Node, what: &str, out: &mut Diagnostics) -> Option<Spanned<Path>> {
    let Some(text) = node.word() else {
        wrong_type(node, what, "a path such as `user.name`", out);
        return None;
    };
    match parse_path(text) {
        Ok(path) => Some(Spanned::new(path, node.span)),
        Err(error) => {
            out.push(
                Diagnostic::error("path", format!("{what}: `{}` is not a path: {}", shortened(text), error.message))
                    .at(node.span)
                    .hint(error.hint.unwrap_or_else(|| "a path is keys with dots: user.name, Records[0].id, \"odd key\".b".to_owned())),
            );
            None
        }
    }
}
