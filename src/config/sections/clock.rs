//! Owns `clock:` and `tenant:`.

use crate::config::diagnostic::Diagnostics;
use crate::config::limits::{LATE_MAX_MS_DEFAULT, MAX_SKEW_MS_DEFAULT, SKEW_MS_MAX};
use crate::config::model::{Clock, ClockKind, Tenant};
use crate::config::node::{Node, Value};
use crate::config::read::{self, Fields};
use crate::config::read_expr::expression;

const KINDS: [(&str, ClockKind); 2] = [("record", ClockKind::Record), ("occurred", ClockKind::Occurred)];

/// `clock: record`, or `clock: { kind: record, max_skew: 5m, late_max: 1h }`.
pub fn read_clock(node: Option<&Node>, out: &mut Diagnostics) -> Clock {
    let mut clock = Clock { kind: ClockKind::Record, max_skew_ms: MAX_SKEW_MS_DEFAULT, late_max_ms: LATE_MAX_MS_DEFAULT };
    let Some(node) = node else { return clock };
    if !matches!(node.value, Value::Mapping(_)) {
        if let Some(kind) = read::choice(node, "`clock`", &KINDS, out) {
            clock.kind = kind;
        }
        return clock;
    }
    let Some(mut fields) = Fields::open(node, "`clock`", out) else { return clock };
    if let Some(node) = fields.get("kind", out)
        && let Some(kind) = read::choice(node, "`kind`", &KINDS, out)
    {
        clock.kind = kind;
    }
    if let Some(node) = fields.get("max_skew", out)
        && let Some(ms) = read::duration_ms(node, "`max_skew`", SKEW_MS_MAX, out)
    {
        clock.max_skew_ms = ms;
    }
    if let Some(node) = fields.get("late_max", out)
        && let Some(ms) = read::duration_ms(node, "`late_max`", SKEW_MS_MAX, out)
    {
        clock.late_max_ms = ms;
    }
    fields.close(&[], out);
    clock
}

/// `tenant: acme` is a word; anything with a dot, a blank, quotes, parentheses or an
/// operator is an expression. `acme-eu` is a word: nobody subtracts tenants.
pub fn read_tenant(node: Option<&Node>, out: &mut Diagnostics) -> Tenant {
    let default = Tenant::Word("default".to_owned());
    let Some(node) = node else { return default };
    match node.word() {
        Some(word) if is_word(word) => Tenant::Word(word.to_owned()),
        Some(_) => Tenant::Expr(expression(node, "`tenant`", out)),
        None => {
            read::wrong_type(node, "`tenant`", "a word or an expression", out);
            default
        }
    }
}

fn is_word(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '-')) && !text.starts_with('-') && !text.ends_with('-')
}
