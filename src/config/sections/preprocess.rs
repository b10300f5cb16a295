//! Owns `preprocess:`: deduplication and linking.

use std::collections::HashSet;

use crate::config::diagnostic::{Diagnostic, Diagnostics};
use crate::config::limits::{MATCH_FIELDS_MAX, RULES_MAX, WITHIN_MS_MAX};
use crate::config::model::{Action, LinkTo, Nulls, Preprocess, PreprocessMode, Rule, Scope};
use crate::config::node::{Node, Value};
use crate::config::read::{self, Fields, Note, shortened};
use crate::config::read_expr::expression;
use crate::config::source_map::Spanned;

use super::content::{Imported, need};
use super::{is_identifier, preprocess_xsoar, rule_mode};

const MODES: [(&str, PreprocessMode); 2] = [("first", PreprocessMode::First), ("all", PreprocessMode::All)];
const SCOPES: [(&str, Scope); 2] = [("partition", Scope::Partition), ("process", Scope::Process)];
const NULLS: [(&str, Nulls); 2] = [("skip", Nulls::Skip), ("match", Nulls::Match)];
const LINK_TO: [(&str, LinkTo); 2] = [("oldest", LinkTo::Oldest), ("newest", LinkTo::Newest)];
const ACTIONS: [(&str, Action); 5] = [
    ("drop", Action::Drop),
    ("drop_and_update", Action::DropAndUpdate),
    ("link", Action::Link),
    ("link_and_close", Action::LinkAndClose),
    ("close", Action::Close),
];

/// A mapping with `mode`, `scope` and `rules`, or just the list of rules.
///
/// `mapped` are the fields that some section maps: a rule of a pack may read others, too, and
/// finds them empty.
pub fn read_preprocess(node: Option<&Node>, imported: Option<&Imported>, mapped: &HashSet<String>, out: &mut Diagnostics) -> Preprocess {
    let mut preprocess = Preprocess { mode: PreprocessMode::First, scope: Scope::Partition, rules: Vec::new() };
    let Some(node) = node else { return preprocess };
    // A list is the rules; of a mapping `rules` may be a single one, as everywhere.
    if let Value::List(_) = node.value {
        preprocess.rules = read_rules(node, out);
        return preprocess;
    }
    let Some(mut fields) = Fields::open(node, "`preprocess`", out) else { return preprocess };
    if let Some(mode) = fields.get("mode", out).and_then(|node| read::choice(node, "`mode`", &MODES, out)) {
        preprocess.mode = mode;
    }
    if let Some(scope) = fields.get("scope", out).and_then(|node| read::choice(node, "`scope`", &SCOPES, out)) {
        preprocess.scope = scope;
    }
    if let Some(node) = fields.get("rules", out) {
        preprocess.rules = read_rules(node, out);
    }
    if let Some((key, node)) = fields.entry("xsoar") {
        let found = need(imported, key, out).map(|imported| preprocess_xsoar::read(node, imported, mapped, out)).unwrap_or_default();
        // In the order of the file.
        let first = fields.key_span("rules").is_none_or(|rules| key.span.start < rules.start);
        let at = if first { 0 } else { preprocess.rules.len() };
        preprocess.rules.splice(at..at, found);
        read::unique(preprocess.rules.iter().map(|rule| &rule.name), "rules", out);
        if preprocess.rules.len() > RULES_MAX {
            out.push(Diagnostic::error("too-many", format!("more than {RULES_MAX} rules")).at(key.span));
        }
        if preprocess.mode == PreprocessMode::All {
            let message = "with `mode: all` every rule that applies acts; rules of content packs expect that the first one ends the search";
            out.push(Diagnostic::warning("rule", message).at(key.span));
        }
    }
    fields.close(&[], out);
    preprocess
}

fn read_rules(node: &Node, out: &mut Diagnostics) -> Vec<Rule> {
    let nodes = match &node.value {
        Value::Mapping(_) => read::one_or_many(node),
        _ => read::list(node, "`rules`", RULES_MAX, out),
    };
    let rules: Vec<Rule> = nodes.iter().filter_map(|node| read_rule(node, out)).collect();
    read::unique(rules.iter().map(|rule| &rule.name), "rules", out);
    rules
}

fn read_rule(node: &Node, out: &mut Diagnostics) -> Option<Rule> {
    let mut fields = Fields::open(node, "a rule", out)?;
    let name = fields.need("name", "repeats", out).and_then(|node| read::name(node, "`name`", out));
    let when = fields.get("when", out).map(|node| expression(node, "`when`", out));
    let matches = fields.get("match", out).map(|node| read_match(node, out)).unwrap_or_default();
    let where_ = fields.get("where", out).map(|node| expression(node, "`where`", out));
    let within = fields.get("within", out).and_then(|node| read::duration_ms(node, "`within`", WITHIN_MS_MAX, out));
    let nulls = fields.get("nulls", out).and_then(|node| read::choice(node, "`nulls`", &NULLS, out));
    let link_to = fields.get("link_to", out).and_then(|node| read::choice(node, "`link_to`", &LINK_TO, out));
    let action = fields.need("action", "drop_and_update", out);
    let action_span = action.map(|node| node.span);
    let action = action.and_then(|node| read_action(node, out));
    let mode = fields.get("mode", out);
    let mode = rule_mode(mode, out);

    let has = |fields: &Fields<'_>, key: &str| fields.key_span(key).is_some();
    if !has(&fields, "match") && !has(&fields, "when") {
        out.push(
            Diagnostic::error("rule", "a rule needs `when`, `match` or both")
                .at(name.as_ref().map_or(fields.head(), |name| name.span))
                .label("this rule would apply to everything")
                .hint("`when` is a condition on the new incident, `match` names fields in which an earlier incident must be equal"),
        );
    }
    if has(&fields, "match") {
        if let Some(matched) = fields.key_span("match")
            && !has(&fields, "within")
        {
            let diagnostic = Diagnostic::error("missing-key", "`match` needs `within`")
                .at(matched)
                .label("how long are earlier incidents remembered?")
                .hint("for example: within: 1h");
            fields.missing("within", diagnostic);
        }
    } else {
        for key in ["within", "where", "nulls", "link_to"] {
            if let Some(span) = fields.key_span(key) {
                out.push(
                    Diagnostic::error("rule", format!("`{key}` has no meaning without `match`"))
                        .at(span)
                        .hint("add match: [field, …], the fields in which an earlier incident must be equal"),
                );
            }
        }
        if let (Some(action), Some(span)) = (action, action_span)
            && matches!(action, Action::DropAndUpdate | Action::Link | Action::LinkAndClose)
            // Without either the rule has been refused above.
            && has(&fields, "when")
        {
            out.push(
                Diagnostic::error("rule", format!("`{}` needs `match`", action.as_str()))
                    .at(span)
                    .label("which earlier incident?")
                    .hint("add match: [field, …] and within: 1h"),
            );
        }
    }
    let span = fields.head();
    let notes = [
        Note::Elsewhere("type", "to apply a rule to one type write when: \"type = '…'\""),
        Note::Elsewhere("drop", "a rule has `when` and an `action`: when: \"…\", action: drop"),
        Note::Elsewhere("window", "the key is `within`"),
        Note::Later("playbook", "running a playbook from a rule comes with a later step"),
        Note::Later("run", "running a playbook from a rule comes with a later step"),
        Note::Later("threshold", "thresholds come with a later step"),
    ];
    fields.close(&notes, out);
    Some(Rule {
        name: name?,
        span,
        when,
        matches,
        nulls: nulls.unwrap_or(Nulls::Skip),
        where_,
        within_ms: within,
        link_to: link_to.unwrap_or(LinkTo::Oldest),
        open_only: false,
        // A mistyped action is reported; the rule stays, so that its name is known.
        action: action.unwrap_or(Action::Drop),
        mode,
    })
}

fn read_action(node: &Node, out: &mut Diagnostics) -> Option<Action> {
    if node.word() == Some("run") {
        out.push(read::later("the action `run`", node.span, "playbooks, and rules that run them, come with a later step"));
        return None;
    }
    read::choice(node, "`action`", &ACTIONS, out)
}

fn read_match(node: &Node, out: &mut Diagnostics) -> Vec<Spanned<String>> {
    let nodes = read::one_or_many(node);
    if nodes.is_empty() {
        out.push(Diagnostic::error("bad-value", "`match` is an empty list").at(node.span).hint("name the fields in which incidents must be equal"));
    }
    if nodes.len() > MATCH_FIELDS_MAX {
        out.push(Diagnostic::error("too-many", format!("`match` has more than {MATCH_FIELDS_MAX} fields")).at(node.point()));
    }
    let mut fields: Vec<Spanned<String>> = Vec::new();
    for node in nodes.iter().take(MATCH_FIELDS_MAX) {
        let Some(field) = read::text(node, "a field of `match`", out) else { continue };
        if !is_identifier(&field.value) {
            out.push(
                Diagnostic::error("bad-value", format!("`{}` is not the name of an incident field", shortened(&field.value)))
                    .at(field.span)
                    .hint("`match` takes fields, not paths or expressions: compute the field under `map`, then name it here"),
            );
            continue;
        }
        if let Some(first) = fields.iter().find(|other| other.value == field.value) {
            out.push(Diagnostic::error("duplicate-name", format!("`{}` is named twice", field.value)).at(field.span).also(first.span, "first here"));
            continue;
        }
        fields.push(field);
    }
    fields
}
