//! The part of an incident that is written once: its top-level members up to `status`, as raw
//! tokens. An edit replaces, adds or removes members; all others stay as they are, byte for byte.

use super::encode::push_string;
use super::split::{Member, members};

/// Said of an incident that had to give up its copy of the event.
const RAW_TRUNCATED: Member<'static> = ("\"raw_truncated\"", "true");

/// The body with these fields set, `null` removing them; `None` where that changes nothing.
/// `body` is an object without its closing brace, as [`super::record::Incident`] keeps it.
pub fn set(body: &str, fields: &[(Box<str>, Box<str>)]) -> Option<String> {
    let whole = [body, "}"].concat();
    let mut members = members(&whole)?;
    let keys: Vec<String> = fields.iter().map(|(name, _)| key(name)).collect();
    let mut changed = false;
    for (key, (_, value)) in keys.iter().zip(fields) {
        let at = members.iter().position(|(known, _)| known == key);
        match (at, &**value) {
            (None, "null") => continue,
            (None, value) => members.push((key, value)),
            (Some(at), "null") => drop(members.remove(at)),
            (Some(at), value) if members[at].1 == value => continue,
            (Some(at), value) => members[at].1 = value,
        }
        changed = true;
    }
    changed.then(|| join(&members))
}

/// The token of a field; `None` where there is none. `body` as in [`set`].
pub fn field(body: &str, name: &str) -> Option<String> {
    let (whole, key) = ([body, "}"].concat(), key(name));
    members(&whole)?.into_iter().find(|(known, _)| *known == key).map(|(_, token)| token.to_owned())
}

/// The body with the fields for which `change` has a new value, given their names and tokens; `None` where that
/// changes nothing.
pub fn with(body: &str, mut change: impl FnMut(&str, &str) -> Option<(Box<str>, Box<str>)>) -> Option<String> {
    let whole = [body, "}"].concat();
    let fields: Vec<(Box<str>, Box<str>)> = members(&whole)?.into_iter().filter_map(|(key, token)| change(&super::split::text(key)?, token)).collect();
    if fields.is_empty() { None } else { set(body, &fields) }
}

/// The body without the copy of the event; `None` where it has none.
pub fn without_raw(body: &str) -> Option<String> {
    let whole = [body, "}"].concat();
    let mut members = members(&whole)?;
    let at = members.iter().position(|(key, _)| *key == "\"raw\"")?;
    members.remove(at);
    if !members.iter().any(|(key, _)| *key == RAW_TRUNCATED.0) {
        members.push(RAW_TRUNCATED);
    }
    Some(join(&members))
}

fn key(name: &str) -> String {
    let mut token = Vec::with_capacity(name.len() + 2);
    push_string(&mut token, name);
    String::from_utf8(token).unwrap_or_default()
}

/// An object of these members, without its closing brace.
pub(super) fn join(members: &[Member<'_>]) -> String {
    let mut out = String::with_capacity(members.iter().map(|(key, value)| key.len() + value.len() + 2).sum::<usize>() + 1);
    out.push('{');
    for (number, (key, value)) in members.iter().enumerate() {
        if number > 0 {
            out.push(',');
        }
        out.push_str(key);
        out.push(':');
        out.push_str(value);
    }
    out
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn fields(list: &[(&str, &str)]) -> Vec<(Box<str>, Box<str>)> {
        list.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect()
    }

    #[test]
    fn only_what_is_set_changes() {
        let body = r#"{"id":"1","a":1e999,"b":"\ud800","raw":{"x": [1, 2]}"#;
        let new = set(body, &fields(&[("a", "\"new\""), ("c", "[true]"), ("absent", "null")])).unwrap();
        assert_eq!(new, r#"{"id":"1","a":"new","b":"\ud800","raw":{"x": [1, 2]},"c":[true]"#);
        assert_eq!(set(&new, &fields(&[("a", "null"), ("b", "null"), ("c", "null")])).unwrap(), r#"{"id":"1","raw":{"x": [1, 2]}"#);
    }

    #[test]
    fn what_is_there_already_is_no_change() {
        assert_eq!(set(r#"{"id":"1","a":1.0"#, &fields(&[("a", "1.0"), ("b", "null")])), None);
        assert_eq!(without_raw(r#"{"id":"1","a":1.0"#), None);
    }

    #[test]
    fn the_event_goes_and_a_flag_stays() {
        assert_eq!(without_raw(r#"{"id":"1","raw":{"a":1},"z":2"#).unwrap(), r#"{"id":"1","z":2,"raw_truncated":true"#);
    }
}
