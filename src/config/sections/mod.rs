//! Owns the sections of `pipeline.yaml`: each file reads one of them, checks all that can
//! be checked inside it, and leaves out what it cannot read.

mod classify;
mod clock;
mod content;
mod filter;
mod lookups;
mod map;
mod pipeline;
mod playbooks;
mod preprocess;
mod preprocess_xsoar;
mod sink;
mod sources;
mod tests;
mod xsoar_condition;

pub use content::{field_name, kind as field_kind};
pub use map::RESERVED_FIELDS;
pub use pipeline::read_pipeline;
pub use tests::read_tests;

use super::diagnostic::{Diagnostic, Diagnostics};
use super::model::RuleMode;
use super::node::Node;
use super::read;
use super::source_map::Spanned;

/// Words that a type cannot be named, because `classify.default` means something by them.
const DROP: &str = "drop";
const DEAD_LETTER: &str = "dead_letter";

/// The name of an incident type.
fn type_name(node: &Node, what: &str, out: &mut Diagnostics) -> Option<Spanned<String>> {
    let name = read::name(node, what, out)?;
    usable_type(&name, out).then_some(name)
}

/// Reports a name that no type can have.
fn usable_type(name: &Spanned<String>, out: &mut Diagnostics) -> bool {
    let usable = !matches!(name.value.as_str(), DROP | DEAD_LETTER | "*");
    if !usable {
        let message = format!("`{}` cannot be the name of a type", name.value);
        let hint = match name.value.as_str() {
            "*" => "`*` means every type, in `map`",
            _ => "to drop events write a filter, or `default: drop`",
        };
        out.push(Diagnostic::error("bad-value", message).at(name.span).hint(hint));
    }
    usable
}

/// `mode: enforce | shadow`.
fn rule_mode(node: Option<&Node>, out: &mut Diagnostics) -> RuleMode {
    let choices = [("enforce", RuleMode::Enforce), ("shadow", RuleMode::Shadow)];
    node.and_then(|node| read::choice(node, "`mode`", &choices, out)).unwrap_or(RuleMode::Enforce)
}

/// A word of letters, digits and `_` that starts with a letter: what may stand in an
/// expression without quotes.
fn is_identifier(text: &str) -> bool {
    let mut chars = text.chars();
    chars.next().is_some_and(|c| c.is_ascii_alphabetic() || c == '_') && chars.all(|c| c.is_ascii_alphanumeric() || c == '_')
}
