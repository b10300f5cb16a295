//! Owns the bounds of a run: each with its unit and its reason.

/// Tasks that one run may start (count). The largest real playbook has below 300 tasks; loops over
/// a few hundred items stay far below this, a loop that feeds itself does not.
pub const STARTED_MAX: u64 = 20_000;
/// Tasks that one step starts (count): a step holds its worker, so that others get their turn.
pub const STEP_TASKS_MAX: u32 = 500;
/// Playbooks in playbooks (levels). Real ones go five deep; one that calls itself ends here.
pub const FRAMES_DEEP_MAX: u32 = 16;
/// Turns of playbooks that may go on at once in one run (count).
pub const FRAMES_MAX: usize = 256;
/// Bytes of one command's context output. What is larger is stored beside the archive and named, or cut.
pub const OUTPUT_BYTES_MAX: usize = 256 << 10;
/// Bytes of all contexts of a run: it has to fit into a Kafka record with the incident.
pub const CONTEXT_BYTES_MAX: usize = 768 << 10;
/// Bytes of the text of one war room entry.
pub const ENTRY_BYTES_MAX: usize = 16 << 10;
/// War room entries of one run (count).
pub const ENTRIES_MAX: u64 = 20_000;
/// Entries whose text a run remembers (count), and bytes of each.
pub const RECENT_MAX: usize = 32;
/// Bytes of a remembered entry.
pub const RECENT_BYTES_MAX: usize = 4 << 10;
/// Bytes of all lists that a run changed.
pub const LISTS_BYTES_MAX: usize = 64 << 10;
/// Tasks of a run that wait and are told by name (count).
pub const WAITS_MAX: usize = 64;
/// Bytes of the name of a task, or of a person, in tables.
pub const NAME_BYTES_MAX: usize = 200;
/// Indicators that a run knows (count).
pub const INDICATORS_MAX: usize = 2_000;
/// Seconds between two tries where nothing is said, and at the most: as documented.
pub const RETRY_SECONDS: i64 = 30;
/// The longest pause between two tries, in seconds.
pub const RETRY_SECONDS_MAX: i64 = 800;
/// Tries of one task (count).
pub const RETRIES_MAX: u32 = 100;
/// Longest sleep, in seconds (31 days).
pub const SLEEP_SECONDS_MAX: i64 = 31 * 86_400;
/// Seconds that a poll runs at the most where nothing is said (a day).
pub const POLL_SECONDS: i64 = 86_400;
/// Items of a `forEach` at the most (turns).
pub const TURNS_MAX: usize = 10_000;

/// Bytes of what stands in the place of a value that was too large, at the most.
const MARK_BYTES_MAX: usize = 1 << 10;

/// What stands in the place of a value that is too large.
pub fn mark() -> serde_json::Value {
    serde_json::json!({ "truncated": true, "reason": format!("larger than {} KiB", OUTPUT_BYTES_MAX >> 10) })
}

/// The keys of an output whose values are too large, all before them taken together.
pub fn too_large(context: &serde_json::Map<String, serde_json::Value>) -> Vec<String> {
    let mut left = OUTPUT_BYTES_MAX;
    let mut found = Vec::new();
    for (key, value) in context {
        let bytes = weight(value, left.max(MARK_BYTES_MAX));
        // What was stored elsewhere is small.
        if bytes <= MARK_BYTES_MAX && value.get("truncated").is_some() {
            continue;
        }
        match left.checked_sub(bytes) {
            Some(rest) => left = rest,
            None => found.push(key.clone()),
        }
    }
    found
}

/// Levels of nesting in the state of a run: readers of JSON stop at 128.
pub const STATE_DEPTH_MAX: usize = 120;
/// Levels of nesting in a field of an incident; deeper ones are texts to playbooks.
pub const FIELD_DEPTH_MAX: usize = 64;

/// How deep a JSON text is nested.
pub fn nested(json: &[u8]) -> usize {
    let (mut depth, mut most, mut inside, mut escaped) = (0_usize, 0, false, false);
    for byte in json {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if inside => escaped = true,
            b'"' => inside = !inside,
            _ if inside => {}
            b'{' | b'[' => {
                depth += 1;
                most = most.max(depth);
            }
            b'}' | b']' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    most
}

/// A text cut at a number of bytes, on a character.
pub fn cut(text: &str, bytes: usize) -> &str {
    if text.len() <= bytes {
        return text;
    }
    let end = (0..=bytes).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
    text.get(..end).unwrap_or_default()
}

/// About how many bytes a value has as JSON; stops counting at `limit`.
pub fn weight(value: &serde_json::Value, limit: usize) -> usize {
    use serde_json::Value;
    let mut sum = 0;
    let mut ahead = vec![value];
    while let Some(value) = ahead.pop() {
        sum += match value {
            Value::Null | Value::Bool(_) => 5,
            Value::Number(_) => 12,
            Value::String(text) => text.len() + 3,
            Value::Array(items) => {
                ahead.extend(items);
                2
            }
            Value::Object(members) => {
                ahead.extend(members.values());
                2 + members.keys().map(|key| key.len() + 4).sum::<usize>()
            }
        };
        if sum > limit {
            break;
        }
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::nested;

    #[test]
    fn depth_is_counted_outside_of_texts() {
        assert_eq!(nested(br#"{"a":[{"b":"[[[\"[["}],"c":{}}"#), 3);
        assert_eq!((nested(b"1"), nested(b"[]"), nested(b"]]]]")), (0, 1, 0));
    }
}
