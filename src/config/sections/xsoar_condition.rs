//! Owns how a condition of a pre-process rule becomes an expression: operator by operator.
//!
//! A missing field makes comparisons false and their negations true, as in packs.

use std::collections::{BTreeSet, HashSet};

use crate::content::check::rule_field;
use crate::content::field::FieldType;
use crate::content::{Content, Target};
use crate::expr::path::is_bare_key;
use crate::expr::xsoar::filter;
use crate::expr::xsoar::model::{Argument, Operand, Test, Tests};

use super::content::field_name;
use super::map::KEYWORDS;
use super::preprocess_xsoar::Untranslatable;

/// Where the expression stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// `when`: fields are those of the new incident.
    Rule,
    /// `where`: left sides are the earlier incident's, right sides the new one's.
    Where,
}

/// What is known of fields, and what was asked for in vain.
pub struct Fields<'c> {
    content: &'c Content,
    mapped: &'c HashSet<String>,
    unmapped: BTreeSet<String>,
}

impl<'c> Fields<'c> {
    /// Fields that some section maps.
    pub fn new(content: &'c Content, mapped: &'c HashSet<String>) -> Fields<'c> {
        Fields { content, mapped, unmapped: BTreeSet::new() }
    }

    /// Fields that were read and that nothing maps.
    pub fn unmapped(&self) -> impl Iterator<Item = &str> {
        self.unmapped.iter().map(String::as_str)
    }

    /// A field as text, in an expression; `prefix` is `new.`, `existing.` or nothing.
    fn text(&mut self, written: &str, prefix: &str) -> Result<(String, FieldType), Untranslatable> {
        let written = rule_field(written);
        if let Some(label) = written.strip_prefix("labels.") {
            if prefix.is_empty() {
                // A label is the attribute of the event of that name.
                let path = format!("\"{}\"", label.replace('"', "\"\""));
                return Ok((format!("event({})", literal(&path)), FieldType::LongText));
            }
            return Err(Untranslatable::new("labels of earlier incidents are not remembered"));
        }
        let (name, kind) = incident_field(self.content, written);
        if !self.mapped.contains(&name) {
            self.unmapped.insert(name);
            return Ok(("text(NULL)".to_owned(), kind));
        }
        let bare = is_bare_key(&name) && !KEYWORDS.contains(&name.to_lowercase().as_str());
        let name = if bare { name } else { format!("\"{}\"", name.replace('"', "\"\"")) };
        Ok((format!("text({prefix}{name})"), kind))
    }
}

/// The name that a field has in our incidents, and what it holds.
pub fn incident_field(content: &Content, written: &str) -> (String, FieldType) {
    match content.target(written) {
        Target::System(system) if system.name == "type" => ("type".to_owned(), FieldType::ShortText),
        Target::System(system) => (if system.name == "created" { "created".to_owned() } else { field_name(system.name) }, system.kind),
        Target::Custom(field) => (field_name(&field.cli_name), field.kind),
        Target::Unknown(_) => (field_name(written), FieldType::Internal),
    }
}

fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// Lists of lists of tests as one expression.
pub fn condition(tests: &Tests, fields: &mut Fields<'_>, side: Side) -> Result<String, Untranslatable> {
    let mut groups = Vec::new();
    for group in tests.iter().filter(|group| !group.is_empty()) {
        let alternatives = group.iter().map(|one| test(one, fields, side)).collect::<Result<Vec<_>, _>>()?;
        groups.push(if alternatives.len() == 1 { alternatives.concat() } else { format!("({})", alternatives.join(" OR ")) });
    }
    Ok(if groups.is_empty() { "TRUE".to_owned() } else { groups.join(" AND ") })
}

/// The modern name of an operator; as it is written if there is none.
pub fn modern(operator: &str) -> &str {
    filter::find(operator).map_or(operator, |known| known.name)
}

fn test(test: &Test, fields: &mut Fields<'_>, side: Side) -> Result<String, Untranslatable> {
    let Argument::Simple(left) = &test.left.value else {
        return Err(Untranslatable::new("a left side is not a field"));
    };
    let (left, kind) = fields.text(left, if side == Side::Where { "existing." } else { "" })?;
    let operator = modern(&test.operator);
    let list = matches!(kind, FieldType::MultiSelect | FieldType::TagsSelect | FieldType::Grid | FieldType::Internal);
    let fold = |text: &str| if test.ignore_case { format!("lower({text})") } else { text.to_owned() };
    let folded = fold(&left);
    // Operators without a right side.
    match operator {
        "isExists" => return Ok(format!("{left} IS NOT NULL")),
        "isNotExists" => return Ok(format!("{left} IS NULL")),
        "isNotEmpty" => return Ok(format!("({left} IS NOT NULL AND NOT {left} IN ('', '[]', '{{}}'))")),
        "isEmpty" => return Ok(format!("({left} IS NULL OR {left} IN ('', '[]', '{{}}'))")),
        "isTrue" => return Ok(format!("coalesce(lower({left}) = 'true', FALSE)")),
        "isFalse" => return Ok(format!("coalesce(lower({left}) = 'false', FALSE)")),
        _ => {}
    }
    let right_operand = test.right.as_ref().ok_or_else(|| Untranslatable::new(format!("`{}` needs a right side", test.operator)))?;
    let constant = constant(right_operand);
    let right = fold(&right(right_operand, fields, side)?);
    let holds = |text: String| format!("coalesce({text}, FALSE)");
    let holds_not = |text: String| format!("coalesce(NOT ({text}), TRUE)");
    let numbers = |sign: &str| format!("coalesce(number({left}) {sign} number({right}), FALSE)");
    let times = |sign: &str| format!("coalesce(parse_time({left}) {sign} parse_time({right}), FALSE)");
    let words = || {
        let text = constant.as_deref().ok_or_else(|| Untranslatable::new(format!("the list of `{}` is not a constant", test.operator)))?;
        let words: Vec<String> = text.split(',').map(str::trim).filter(|word| !word.is_empty()).map(literal).collect();
        if words.is_empty() { Err(Untranslatable::new(format!("the list of `{}` is empty", test.operator))) } else { Ok(words.join(", ")) }
    };
    let equals = if list { format!("(({folded} = {right}) OR array_any({folded}, {right}))") } else { format!("{folded} = {right}") };
    Ok(match operator {
        "isEqualString" => holds(equals),
        "isNotEqualString" => holds_not(equals),
        "isEqualNumber" => numbers("="),
        "isNotEqualNumber" => format!("coalesce(number({left}) != number({right}), TRUE)"),
        "greaterThan" => numbers(">"),
        "greaterThanOrEqual" => numbers(">="),
        "lessThan" => numbers("<"),
        "lessThanOrEqual" => numbers("<="),
        "containsString" | "containsGeneral" => holds(format!("contains({folded}, {right})")),
        "notContainsString" | "notContainsGeneral" => holds_not(format!("contains({folded}, {right})")),
        "startWith" => holds(format!("starts_with({folded}, {right})")),
        "notStartWith" => holds_not(format!("starts_with({folded}, {right})")),
        "endWith" => holds(format!("ends_with({folded}, {right})")),
        "notEndWith" => holds_not(format!("ends_with({folded}, {right})")),
        "match" => {
            let pattern = constant.ok_or_else(|| Untranslatable::new("the pattern of `match` is not a constant"))?;
            let flags = if test.ignore_case { "(?i)" } else { "" };
            holds(format!("{left} ~ {}", literal(&format!("{flags}{pattern}"))))
        }
        "inList" | "in" if !test.ignore_case => holds(format!("{left} IN ({})", words()?)),
        "notInList" | "notIn" if !test.ignore_case => holds_not(format!("{left} IN ({})", words()?)),
        "inList" | "in" => holds(format!("lower({left}) IN ({})", words()?.to_lowercase())),
        "notInList" | "notIn" => holds_not(format!("lower({left}) IN ({})", words()?.to_lowercase())),
        "stringHasLength" => numbers_of(&format!("length({left})"), &right),
        "isBefore" => times("<"),
        "isAfter" => times(">"),
        "isSame" => times("="),
        "IsInCidrRanges" => holds(format!("ip_in({left}, {})", words()?)),
        "IsNotInCidrRanges" => holds_not(format!("ip_in({left}, {})", words()?)),
        _ => return Err(Untranslatable::new(format!("the operator `{}` is not available in rules", crate::config::read::shortened(&test.operator)))),
    })
}

fn numbers_of(left: &str, right: &str) -> String {
    format!("coalesce(number({left}) = number({right}), FALSE)")
}

/// The text of a right side that is the same for every incident.
fn constant(operand: &Operand) -> Option<String> {
    match &operand.value {
        Argument::Simple(text) if !operand.from_context && !text.contains("${") => Some(text.clone()),
        _ => None,
    }
}

/// A constant, `${field}` of the new incident, or a text with such in it.
fn right(operand: &Operand, fields: &mut Fields<'_>, side: Side) -> Result<String, Untranslatable> {
    let Argument::Simple(text) = &operand.value else {
        return Err(Untranslatable::new("a right side is neither a constant nor a field"));
    };
    let prefix = if side == Side::Where { "new." } else { "" };
    if let Some(constant) = constant(operand) {
        return Ok(literal(&constant));
    }
    if !text.contains("${") {
        return Ok(fields.text(text, prefix)?.0);
    }
    let mut parts = Vec::new();
    let mut rest = text.as_str();
    while let Some((before, after)) = rest.split_once("${") {
        let (name, behind) = after.split_once('}').ok_or_else(|| Untranslatable::new("a `${` without its `}`"))?;
        if !before.is_empty() {
            parts.push(literal(before));
        }
        parts.push(fields.text(name, prefix)?.0);
        rest = behind;
    }
    if !rest.is_empty() {
        parts.push(literal(rest));
    }
    Ok(match parts.as_slice() {
        [one] => one.clone(),
        _ => format!("concat({})", parts.join(", ")),
    })
}
