//! Owns `classify:`.

use crate::config::diagnostic::{Diagnostic, Diagnostics};
use crate::config::limits::{CLASSIFY_ENTRIES_MAX, CLASSIFY_RULES_MAX, TYPES_MAX};
use crate::config::model::{Classify, ClassifyDefault, ClassifyRule, XsoarClassify};
use crate::config::node::{Node, Value};
use crate::config::read::{self, Fields, Note};
use crate::config::read_expr::{broken, expression};
use crate::config::source_map::Spanned;

use crate::content::incident::default_type;

use super::content::{self, Imported};
use super::{DEAD_LETTER, DROP, type_name};

/// The section; what is missing is left empty, and the default is `drop` then.
pub fn read_classify(node: Option<&Node>, imported: Option<&Imported>, out: &mut Diagnostics) -> Classify {
    let mut classify = Classify { rules: Vec::new(), key: None, types: Vec::new(), xsoar: None, of_sources: Vec::new(), default: ClassifyDefault::Drop };
    let Some(node) = node else { return classify };
    let Some(mut fields) = Fields::open(node, "`classify`", out) else { return classify };
    if let Some(node) = fields.get("rules", out) {
        let nodes = match &node.value {
            Value::Mapping(_) => std::slice::from_ref(node),
            _ => read::list(node, "`classify.rules`", CLASSIFY_RULES_MAX, out),
        };
        classify.rules = nodes.iter().filter_map(|node| read_rule(node, out)).collect();
    }
    classify.key = fields.get("key", out).map(|node| expression(node, "`key`", out));
    if let Some(node) = fields.get("types", out) {
        classify.types = read_types(node, out);
    }
    match (fields.key_span("key"), fields.key_span("types")) {
        (Some(key), None) => out.push(
            Diagnostic::error("missing-key", "`key` needs `types`, the table that it is looked up in")
                .at(key)
                .hint("for example: types: { auth.fail: Authentication Failure }"),
        ),
        (None, Some(types)) => {
            out.push(Diagnostic::error("missing-key", "`types` needs `key`, what is looked up in it").at(types).hint("for example: key: event_key"))
        }
        _ => {}
    }
    let xsoar = fields.entry("xsoar");
    if let Some((key, node)) = xsoar {
        classify.xsoar = content::need(imported, key, out).and_then(|imported| content::classifier(node, imported, out));
    }
    let default = match (xsoar, imported) {
        // A classifier knows what to do with the rest; below it is the product's default type.
        (Some(_), Some(imported)) if fields.key_span("default").is_none() => {
            let name = default_type(&imported.content);
            classify.default = ClassifyDefault::Type(Spanned::new(name, fields.key_span("xsoar").unwrap_or(fields.head())));
            None
        }
        _ => fields.need("default", "drop, or dead_letter, or the name of a type", out),
    };
    if let Some(default) = default.and_then(|node| read_default(node, out)) {
        classify.default = default;
    }
    fields.close(&[Note::Elsewhere("rule", "the key is `rules`: a list")], out);
    if classify.produced().len() > TYPES_MAX {
        out.push(Diagnostic::error("too-many", format!("more than {TYPES_MAX} types")).at(node.head()));
    }
    classify
}

fn read_rule(node: &Node, out: &mut Diagnostics) -> Option<ClassifyRule> {
    let mut fields = Fields::open(node, "a classification rule", out)?;
    let name = fields.need("type", "Console Login Failure", out).and_then(|node| type_name(node, "`type`", out));
    let when = fields.need("when", "\"eventName = 'ConsoleLogin'\"", out).map(|node| expression(node, "`when`", out));
    let when = when.unwrap_or_else(|| broken(fields.head()));
    let named = "a classification rule is known by its type; it has no name";
    fields.close(&[Note::Elsewhere("name", named)], out);
    Some(ClassifyRule { type_name: name?, when })
}

fn read_types(node: &Node, out: &mut Diagnostics) -> Vec<(Spanned<String>, Spanned<String>)> {
    let mut types = Vec::new();
    for (key, node) in read::entries(node, "`types`", CLASSIFY_ENTRIES_MAX, out) {
        if node.is_nothing() {
            out.push(
                Diagnostic::error("missing-value", format!("`{}` names no type", read::shortened(&key.value)))
                    .at(key.span)
                    .hint("write key value: type; events that shall be dropped belong in `filter`"),
            );
            continue;
        }
        if let Some(name) = type_name(node, "a type", out) {
            types.push((key.clone(), name));
        }
    }
    types
}

fn read_default(node: &Node, out: &mut Diagnostics) -> Option<ClassifyDefault> {
    match node.word() {
        Some(DROP) => Some(ClassifyDefault::Drop),
        Some(DEAD_LETTER) => Some(ClassifyDefault::DeadLetter),
        // Surely not meant as the names of types.
        Some(word @ ("dead-letter" | "deadletter" | "dead letter" | "dead_letters" | "Drop" | "none" | "ignore")) => {
            let meant = if word.to_lowercase().starts_with("dead") { DEAD_LETTER } else { DROP };
            out.push(Diagnostic::error("bad-value", format!("`default` cannot be `{word}`")).at(node.span).hint(format!("did you mean `{meant}`?")));
            None
        }
        _ => type_name(node, "`default`", out).map(ClassifyDefault::Type),
    }
}

/// `classify: { xsoar: <id> }` of a source: nothing else stands there.
pub fn read_own(node: &Node, imported: Option<&Imported>, out: &mut Diagnostics) -> Option<XsoarClassify> {
    let mut fields = Fields::open(node, "`classify` of a source", out)?;
    fields.need("xsoar", "Acme-classifier", out);
    let found = fields.entry("xsoar").and_then(|(key, node)| content::classifier(node, content::need(imported, key, out)?, out));
    let whole = "rules, tables and defaults are for all sources: they stand under `classify` at the top";
    let notes = ["rules", "key", "types", "default"].map(|key| Note::Elsewhere(key, whole));
    fields.close(&notes, out);
    found
}
