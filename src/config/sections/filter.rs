//! Owns `filter:`.

use crate::config::diagnostic::{Diagnostic, Diagnostics};
use crate::config::limits::FILTERS_MAX;
use crate::config::model::Filter;
use crate::config::node::{Node, Value};
use crate::config::read::{self, Fields, Note};
use crate::config::read_expr::{broken, expression};

use super::rule_mode;

/// A list of filters; a single mapping is a list of one.
pub fn read_filters(node: &Node, out: &mut Diagnostics) -> Vec<Filter> {
    let nodes = match &node.value {
        Value::Mapping(_) => std::slice::from_ref(node),
        _ => read::list(node, "`filter`", FILTERS_MAX, out),
    };
    let filters: Vec<Filter> = nodes.iter().filter_map(|node| read_filter(node, out)).collect();
    read::unique(filters.iter().map(|filter| &filter.name), "filters", out);
    filters
}

fn read_filter(node: &Node, out: &mut Diagnostics) -> Option<Filter> {
    if let Value::Text { .. } = node.value {
        out.push(
            Diagnostic::error("wrong-type", "a filter needs a name, because it is counted under it")
                .at(node.span)
                .hint("write: - { name: my-filter, drop: \"…\" }"),
        );
        return None;
    }
    let mut fields = Fields::open(node, "a filter", out)?;
    let name = fields.need("name", "sysmon-noise", out).and_then(|node| read::name(node, "`name`", out));
    let drop = fields.need("drop", "\"EventID IN (7, 10)\"", out).map(|node| expression(node, "`drop`", out));
    let reason = fields.get("reason", out).and_then(|node| read::text(node, "`reason`", out));
    let mode = fields.get("mode", out);
    let mode = rule_mode(mode, out);
    let notes = [
        Note::Elsewhere("when", "a filter has `drop`: the condition under which an event is dropped"),
        Note::Elsewhere("keep", "a filter has `drop`; to keep only some events write drop: \"NOT (…)\""),
        Note::Elsewhere("action", "a filter always drops; rules with actions stand under `preprocess`"),
    ];
    let drop = drop.unwrap_or_else(|| broken(fields.head()));
    fields.close(&notes, out);
    Some(Filter { name: name?, drop, reason: reason.map(|reason| reason.value), mode })
}
