//! Owns how pre-process rules of content packs become rules like ours.
//!
//! Conditions become expressions, so they run over whole batches like any other. What is an
//! equality of one field in both incidents becomes `match`; the rest stays a comparison. In the
//! product the first rule whose conditions hold is the only one that counts, even if it then finds
//! no earlier incident: later rules carry "and no such rule before".

use std::collections::HashSet;

use crate::config::diagnostic::{Diagnostic, Diagnostics};
use crate::config::expr_text::ExprText;
use crate::config::limits::{MATCH_FIELDS_MAX, RULES_MAX, WITHIN_MS_MAX};
use crate::config::model::{Action, LinkTo, Nulls, Rule, RuleMode};
use crate::config::node::{Node, Value};
use crate::config::read::{self, shortened};
use crate::config::source_map::{Span, Spanned};
use crate::content::item::{Item, Kind};
use crate::content::preprocess::{self, PreprocessRule};
use crate::content::{Body, Content};
use crate::expr::parse::parse;
use crate::expr::xsoar::model::{Argument, Operand, Test, Tests};

use super::content::Imported;
use super::xsoar_condition::{Fields, Side, condition, modern};

/// How far back earlier incidents count where a rule does not say: 30 days, as the product's
/// editor offers.
const PERIOD_MS_DEFAULT: i64 = 30 * 86_400_000;

/// `xsoar: [ids]` or `xsoar: all`.
pub fn read(node: &Node, imported: &Imported, mapped: &HashSet<String>, out: &mut Diagnostics) -> Vec<Rule> {
    let mut chosen: Vec<(Spanned<String>, &Item, &PreprocessRule)> = Vec::new();
    if let Value::Text { text, .. } = &node.value
        && text == "all"
    {
        for item in imported.content.of_kind(Kind::PreprocessRule).filter(|item| imported.content.in_window(item)) {
            if let Some(Body::Rule(rule)) = &item.body {
                chosen.push((Spanned::new(item.head.id.clone(), node.span), item, rule));
            }
        }
    } else {
        for node in read::one_or_many(node).iter().take(RULES_MAX) {
            let Some(id) = read::name(node, "a rule", out) else { continue };
            match imported.content.rule(&id.value) {
                Some((item, rule)) => chosen.push((id, item, rule)),
                None => imported.missing("pre-process rule", &[Kind::PreprocessRule], &id, out),
            }
        }
    }
    chosen.retain(|(_, _, rule)| rule.enabled);
    chosen.sort_by_key(|(_, _, rule)| rule.index);
    let mut rules = Vec::new();
    // Conditions of rules above that end the search without an effect.
    let mut before: Vec<String> = Vec::new();
    for (id, item, rule) in chosen {
        imported.tell(item, out);
        match translate(&imported.content, &id, item, rule, mapped, &before, out) {
            Ok((made, when)) => {
                if rule.action.needs_existing() {
                    before.push(when);
                }
                rules.push(made);
            }
            Err(why) => {
                let message = format!("the rule `{}` cannot run: {}", shortened(&id.value), why.message);
                out.push(Diagnostic::error("rule", message).at(why.span.unwrap_or(rule.span)).also(id.span, "named here").maybe_hint(why.hint));
            }
        }
    }
    rules
}

/// Why a rule cannot be carried over.
pub struct Untranslatable {
    /// What is in the way.
    pub message: String,
    /// Where, if that is known.
    pub span: Option<Span>,
    /// What helps.
    pub hint: Option<String>,
}

impl Untranslatable {
    /// Without a place of its own.
    pub fn new(message: impl Into<String>) -> Untranslatable {
        Untranslatable { message: message.into(), span: None, hint: None }
    }
}

fn translate(
    content: &Content,
    id: &Spanned<String>,
    item: &Item,
    rule: &PreprocessRule,
    mapped: &HashSet<String>,
    before: &[String],
    out: &mut Diagnostics,
) -> Result<(Rule, String), Untranslatable> {
    let action = match rule.action {
        preprocess::Action::Drop => Action::Drop,
        preprocess::Action::DropAndUpdate => Action::DropAndUpdate,
        preprocess::Action::Link => Action::Link,
        preprocess::Action::LinkAndClose => Action::LinkAndClose,
        preprocess::Action::Close => Action::Close,
        preprocess::Action::Script => {
            let mut why = Untranslatable::new("its action is a script, and scripts of packs are not run");
            why.hint = Some("write its condition as a rule with another action, or leave it out".to_owned());
            return Err(why);
        }
    };
    let mut fields = Fields::new(content, mapped);
    let new = condition(&rule.new.tests, &mut fields, Side::Rule)?;
    let when = before.iter().fold(new.clone(), |when, earlier| format!("({when}) AND NOT coalesce({earlier}, FALSE)"));
    let (mut matches, rest) = if rule.action.needs_existing() { split(rule, content) } else { (Vec::new(), Tests::new()) };
    // A field that nothing maps is empty in both, which is no equality.
    let missing: Vec<String> = matches.iter().filter(|field| !mapped.contains(*field) && *field != "type").cloned().collect();
    let never = !missing.is_empty();
    if never {
        matches.clear();
    }
    matches.truncate(MATCH_FIELDS_MAX);
    let where_ = if rest.is_empty() { None } else { Some(condition(&rest, &mut fields, Side::Where)?) };
    if rule.action.needs_existing() && matches.is_empty() {
        // Every incident is a candidate; those of one tenant meet.
        matches.push("tenant".to_owned());
    }
    let when = if never { "FALSE".to_owned() } else { when };
    for name in fields.unmapped().chain(missing.iter().map(String::as_str)) {
        let message = format!("no section maps `{}`, which the rule `{}` reads: it is always empty there", shortened(name), shortened(&id.value));
        out.push(Diagnostic::warning("unknown-field", message).at(rule.new.span));
    }
    let within = rule.action.needs_existing().then(|| rule.period_ms.unwrap_or(PERIOD_MS_DEFAULT).min(WITHIN_MS_MAX));
    let made = Rule {
        name: id.clone(),
        span: id.span,
        when: Some(expression(&when, rule.new.span, item)?),
        matches: matches.into_iter().map(|field| Spanned::new(field, id.span)).collect(),
        nulls: Nulls::Skip,
        where_: where_.map(|text| expression(&text, rule.existing.span, item)).transpose()?,
        within_ms: within,
        link_to: match rule.link_to {
            preprocess::LinkTo::Oldest => LinkTo::Oldest,
            preprocess::LinkTo::Newest => LinkTo::Newest,
        },
        open_only: rule.action.needs_existing() && !rule.search_closed,
        action,
        mode: RuleMode::Enforce,
    };
    Ok((made, new))
}

/// Tests on an earlier incident that say that a field is the same in both, as `match`; the rest.
fn split(rule: &PreprocessRule, content: &Content) -> (Vec<String>, Tests) {
    let constants: Vec<(String, &str)> = rule.new.tests.iter().filter_map(|group| constant_field(group, content)).collect();
    let mut matches = Vec::new();
    let mut rest = Tests::new();
    for group in &rule.existing.tests {
        let same = match group.as_slice() {
            [test] => same_field(test, content),
            _ => None,
        };
        // Both are compared with one constant.
        let same = same.or_else(|| constant_field(group, content).filter(|known| constants.contains(known)).map(|(field, _)| field));
        match same {
            Some(field) if !matches.contains(&field) => matches.push(field),
            Some(_) => {}
            None => rest.push(group.clone()),
        }
    }
    (matches, rest)
}

/// The field and the text of a test that alone says that they are equal.
fn constant_field<'t>(group: &'t [Test], content: &Content) -> Option<(String, &'t str)> {
    let [test] = group else { return None };
    if test.ignore_case || modern(&test.operator) != "isEqualString" {
        return None;
    }
    match &test.right.as_ref()?.value {
        Argument::Simple(text) if !test.right.as_ref()?.from_context && !text.contains("${") => Some((field_of(&test.left, content)?, text)),
        _ => None,
    }
}

fn same_field(test: &Test, content: &Content) -> Option<String> {
    if test.ignore_case || !matches!(modern(&test.operator), "isEqualString" | "isEqualNumber" | "isSame") {
        return None;
    }
    let left = field_of(&test.left, content)?;
    let right = test.right.as_ref().filter(|right| right.from_context || is_whole_template(right))?;
    (field_of(right, content)? == left).then_some(left)
}

fn is_whole_template(operand: &Operand) -> bool {
    matches!(&operand.value, Argument::Simple(text) if text.starts_with("${") && text.ends_with('}') && text.matches("${").count() == 1)
}

fn field_of(operand: &Operand, content: &Content) -> Option<String> {
    match &operand.value {
        Argument::Simple(text) => Some(super::xsoar_condition::incident_field(content, crate::content::check::rule_field(text)).0),
        _ => None,
    }
}

fn expression(text: &str, span: Span, item: &Item) -> Result<ExprText, Untranslatable> {
    let span = if span == Span::default() { item.head.span } else { span };
    match parse(text) {
        Ok(expr) => Ok(ExprText::without_source(text, expr, span)),
        Err(error) => Err(Untranslatable::new(format!("its conditions are too large or odd for an expression ({})", error.message))),
    }
}
