//! Transformers with regular expressions.

use serde_json::{Map, Value};

use super::Takes::Item;
use super::{Args, Transformer, made, row};
use crate::expr::xsoar::env::Env;
use crate::expr::xsoar::fault::Fault;
use crate::expr::xsoar::path::Dt;
use crate::expr::xsoar::pattern::{Dialect, Flags, Groups, Pattern, compile, group};
use crate::expr::xsoar::value::{arg_texts, cast_text, text_of};

/// The transformers of this file.
pub const TABLE: &[Transformer] = &[
    row("replaceMatch", Item, &["regex"], &["replaceWith"], replace_match),
    row("RegexGroups", Item, &["regex"], &["groups", "keys", "flags"], regex_groups),
    row("RegexExtractAll", Item, &["regex"], &["multi_line", "ignore_case", "period_matches_newline", "error_if_no_match", "unpack_matches"], extract_all),
    row("RegexReplace", Item, &["regex"], &["output_format", "ignore_case", "multi_line", "period_matches_newline", "action_dt"], regex_replace),
    row("ReplaceMatchGroup", Item, &["regex", "replace_with"], &[], replace_group),
    row("RegexExpand", Item, &["regex"], &["template", "ignore_case", "multi_line", "period_matches_newline"], regex_expand),
    row("ExtractEmailTransformer", Item, &[], &[], emails),
];

/// Matches of one text.
const MATCHES_MAX: usize = 1 << 17;

fn pattern(args: &Args<'_>, dialect: Dialect) -> Result<std::sync::Arc<Pattern>, Fault> {
    // A number is no pattern for Python.
    let Some(Value::String(text)) = args.get("regex") else { return Err(Fault::Pattern { operator: args.operator }) };
    let flags =
        Flags { ignore_case: args.flag("ignore_case", false), multi_line: args.flag("multi_line", false), dot_all: args.flag("period_matches_newline", false) };
    compile(text, dialect, flags, args.operator)
}

fn read(value: &Value, args: &Args<'_>, env: &Env<'_>) -> Result<String, Fault> {
    let text = cast_text(value, args.operator)?;
    env.budget.steps(text.len() / 16 + 1)?;
    Ok(text)
}

fn replace_match(value: &Value, args: &Args<'_>, env: &Env<'_>) -> Result<Value, Fault> {
    let text = read(value, args, env)?;
    let pattern = pattern(args, Dialect::Go)?;
    let with = args.text_or("replaceWith", "")?;
    let names = pattern.group_names();
    let replaced = pattern.replace_all(&text, MATCHES_MAX, |groups, out| {
        env.budget.bytes(with.len() + 1)?;
        expand_go(&with, &text, groups, &names, out);
        if out.len() > text.len() { env.budget.bytes(out.len() - text.len()) } else { Ok(()) }
    })?;
    made(replaced, env)
}

/// Go's `$1`, `${name}` and `$$`.
fn expand_go(with: &str, text: &str, groups: &Groups, names: &[Option<String>], out: &mut String) {
    let mut rest = with;
    while let Some(at) = rest.find('$') {
        out.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix('$') {
            out.push('$');
            rest = after;
            continue;
        }
        let (name, after) = match rest.strip_prefix('{').and_then(|braced| braced.split_once('}')) {
            Some(found) => found,
            None => rest.split_at(rest.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(rest.len())),
        };
        if name.is_empty() {
            out.push('$');
            continue;
        }
        let number = name.parse().ok().or_else(|| names.iter().position(|known| known.as_deref() == Some(name)));
        out.push_str(number.and_then(|number| group(text, groups, number)).unwrap_or_default());
        rest = after;
    }
    out.push_str(rest);
}

/// Python's `\1` and `\g<name>`.
fn expand_python(with: &str, text: &str, groups: &Groups, names: &[Option<String>], out: &mut String) {
    let mut chars = with.char_indices();
    while let Some((at, c)) = chars.next() {
        if c != '\\' {
            out.push(c);
            continue;
        }
        match chars.next() {
            Some((_, digit)) if digit.is_ascii_digit() => out.push_str(group(text, groups, digit as usize - '0' as usize).unwrap_or_default()),
            Some((_, 'g')) if with.get(at + 2..).is_some_and(|after| after.starts_with('<')) => {
                let name = with.get(at + 3..).and_then(|after| after.split_once('>')).map_or("", |(name, _)| name);
                let number = name.parse().ok().or_else(|| names.iter().position(|known| known.as_deref() == Some(name)));
                out.push_str(number.and_then(|number| group(text, groups, number)).unwrap_or_default());
                for _ in 0..name.chars().count() + 2 {
                    chars.next();
                }
            }
            Some((_, 'n')) => out.push('\n'),
            Some((_, 't')) => out.push('\t'),
            Some((_, 'r')) => out.push('\r'),
            Some((_, other)) if !other.is_alphabetic() => out.push(other),
            Some((_, other)) => {
                out.push('\\');
                out.push(other);
            }
            None => out.push('\\'),
        }
    }
}

fn captured(text: &str, groups: &Groups, number: usize) -> Value {
    group(text, groups, number).map_or(Value::Null, Value::from)
}

fn regex_groups(value: &Value, args: &Args<'_>, env: &Env<'_>) -> Result<Value, Fault> {
    let text = read(value, args, env)?;
    let pattern = pattern(args, Dialect::Python)?;
    let Some(found) = pattern.find_at(&text, 0)? else { return Ok(Value::Array(Vec::new())) };
    let count = pattern.group_count();
    let mut picked: Vec<Value> = Vec::new();
    match args.get("groups").map(arg_texts).filter(|numbers| !numbers.is_empty()) {
        Some(numbers) => {
            for number in numbers {
                match number.trim().parse::<usize>() {
                    Ok(number) if number < count => picked.push(captured(&text, &found, number + 1)),
                    _ => return args.raise("there is no such group"),
                }
            }
        }
        None => picked.extend((1..=count).map(|number| captured(&text, &found, number))),
    }
    match args.get("keys").map(arg_texts).filter(|keys| !keys.is_empty()) {
        Some(keys) if keys.len() != picked.len() => args.raise("the numbers of keys and groups differ"),
        Some(keys) => Ok(Value::Object(keys.into_iter().zip(picked).collect::<Map<_, _>>())),
        None => Ok(Value::Array(picked)),
    }
}

fn extract_all(value: &Value, args: &Args<'_>, env: &Env<'_>) -> Result<Value, Fault> {
    let text = read(value, args, env)?;
    let pattern = pattern(args, Dialect::Python)?;
    let found = pattern.find_all(&text, MATCHES_MAX)?;
    if found.is_empty() && args.flag("error_if_no_match", false) {
        return args.raise("no match");
    }
    let unpack = args.flag("unpack_matches", false);
    let mut out = Vec::new();
    for groups in &found {
        env.budget.bytes(32 * groups.len())?;
        let all = || (1..groups.len()).map(|number| Value::from(group(&text, groups, number).unwrap_or_default()));
        match groups.len() {
            // As Python's `findall`: the match, the group, or all groups.
            0 | 1 => out.push(captured(&text, groups, 0)),
            2 => out.push(Value::from(group(&text, groups, 1).unwrap_or_default())),
            _ if unpack => out.extend(all()),
            _ => out.push(Value::Array(all().collect())),
        }
    }
    Ok(Value::Array(out))
}

fn regex_replace(value: &Value, args: &Args<'_>, env: &Env<'_>) -> Result<Value, Fault> {
    let text = read(value, args, env)?;
    let pattern = pattern(args, Dialect::Python)?;
    let names = pattern.group_names();
    let template = args.text("output_format")?.unwrap_or_else(|| "\\g<0>".to_owned());
    let action = match args.text("action_dt")?.filter(|dt| !dt.trim().is_empty()) {
        Some(dt) => Some(Dt::parse(&dt).map_err(|error| Fault::Unusable(error.what))?),
        None => None,
    };
    let replaced = pattern.replace_all(&text, MATCHES_MAX, |groups, out| {
        let mut with = String::new();
        expand_python(&template, &text, groups, &names, &mut with);
        if let Some(action) = &action {
            with = text_of(&action.evaluate(&Value::String(with), &env.budget)?);
        }
        env.budget.bytes(with.len() + 1)?;
        out.push_str(&with);
        Ok(())
    })?;
    made(replaced, env)
}

fn replace_group(value: &Value, args: &Args<'_>, env: &Env<'_>) -> Result<Value, Fault> {
    let text = read(value, args, env)?;
    let pattern = pattern(args, Dialect::Python)?;
    let with = args.need_text("replace_with")?;
    let mut out = String::new();
    let mut done = 0;
    for groups in pattern.find_all(&text, MATCHES_MAX)? {
        // Only what was captured is replaced; a group inside another one goes with it.
        for (start, end) in groups.iter().skip(1).flatten() {
            if *start < done {
                continue;
            }
            out.push_str(text.get(done..*start).unwrap_or_default());
            out.push_str(&with);
            env.budget.bytes(with.len() + 1)?;
            done = *end;
        }
    }
    out.push_str(text.get(done..).unwrap_or_default());
    made(out, env)
}

fn regex_expand(value: &Value, args: &Args<'_>, env: &Env<'_>) -> Result<Value, Fault> {
    let text = read(value, args, env)?;
    let pattern = pattern(args, Dialect::Python)?;
    let names = pattern.group_names();
    let template = args.text("template")?.unwrap_or_else(|| "\\g<0>".to_owned());
    let mut out = Vec::new();
    for groups in pattern.find_all(&text, MATCHES_MAX)? {
        let mut expanded = String::new();
        expand_python(&template, &text, &groups, &names, &mut expanded);
        env.budget.bytes(expanded.len() + 32)?;
        out.push(Value::String(expanded));
    }
    Ok(match out.len() {
        1 => out.pop().unwrap_or(Value::Null),
        _ => Value::Array(out),
    })
}

fn emails(value: &Value, args: &Args<'_>, env: &Env<'_>) -> Result<Value, Fault> {
    let text = read(value, args, env)?;
    let pattern = compile(r"[A-Za-z0-9._%+-]+@[A-Za-z0-9.-]+\.[A-Za-z]{2,24}", Dialect::Python, Flags::default(), args.operator)?;
    let found = pattern.find_all(&text, MATCHES_MAX)?;
    env.budget.bytes(found.len() * 64)?;
    Ok(Value::Array(found.iter().map(|groups| captured(&text, groups, 0)).collect()))
}
