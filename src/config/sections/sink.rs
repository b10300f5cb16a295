//! Owns `sink:`.

use crate::config::diagnostic::{Diagnostic, Diagnostics};
use crate::config::limits::TOPIC_NAME_MAX;
use crate::config::model::{Labels, Sink};
use crate::config::node::{Node, Value};
use crate::config::read::{self, Fields, Note, shortened};

const LABELS: [(&str, Labels); 4] = [("mapper", Labels::Mapper), ("unmapped", Labels::Unmapped), ("all", Labels::All), ("none", Labels::None)];

/// A mapping, or just the topic. `imported`: some fields come from a mapper of a content pack.
pub fn read_sink(node: Option<&Node>, imported: bool, out: &mut Diagnostics) -> Sink {
    let mut sink = Sink { topic: None, labels: if imported { Labels::Mapper } else { Labels::Unmapped }, raw: true };
    let Some(node) = node else { return sink };
    if !matches!(node.value, Value::Mapping(_)) {
        sink.topic = read_topic(node, "`sink`", out);
        return sink;
    }
    let Some(mut fields) = Fields::open(node, "`sink`", out) else { return sink };
    sink.topic = fields.get("topic", out).and_then(|node| read_topic(node, "`topic`", out));
    if let Some(labels) = fields.get("labels", out).and_then(|node| read::choice(node, "`labels`", &LABELS, out)) {
        sink.labels = labels;
    }
    if let Some(raw) = fields.get("raw", out).and_then(|node| read::boolean(node, "`raw`", out)) {
        sink.raw = raw;
    }
    fields.close(&[Note::Elsewhere("topics", "the key is `topic`: there is one")], out);
    sink
}

fn read_topic(node: &Node, what: &str, out: &mut Diagnostics) -> Option<String> {
    let topic = read::text(node, what, out)?;
    let legal = topic.value.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-'));
    if topic.value.is_empty() || topic.value.len() > TOPIC_NAME_MAX || !legal {
        out.push(
            Diagnostic::error("bad-value", format!("`{}` is not a topic name", shortened(&topic.value)))
                .at(topic.span)
                .hint(format!("topic names have letters, digits, `.`, `_` and `-`, at most {TOPIC_NAME_MAX}")),
        );
        return None;
    }
    Some(topic.value)
}
