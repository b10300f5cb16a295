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
/// Bytes of one command's context output. Larger values are stored elsewhere and named.
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
