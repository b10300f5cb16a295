//! Reading the constant arguments of a call, with messages that say which one is wrong.

use crate::expr::function::{Arg, Misuse};
use crate::expr::value::Value;

/// Refuses a call with too few or too many arguments. `usage` is the whole call, as a hint.
pub(in crate::expr::function) fn arity(args: &[Arg], min: usize, max: usize, usage: &str) -> Result<(), Misuse> {
    let count = args.len();
    if (min..=max).contains(&count) {
        return Ok(());
    }
    let wanted = match (min, max) {
        (1, 1) => "1 argument".to_owned(),
        (min, max) if min == max => format!("{min} arguments"),
        (1, usize::MAX) => "at least 1 argument".to_owned(),
        (min, usize::MAX) => format!("at least {min} arguments"),
        (min, max) => format!("{min} to {max} arguments"),
    };
    Err(Misuse::call(format!("takes {wanted}, found {count}")).hint(format!("usage: {usage}")))
}

/// The text of a constant argument; `None` where the call does not have it.
/// `what` names it in messages: "the format".
pub(in crate::expr::function) fn constant_text<'a>(args: &'a [Arg], index: usize, what: &str, example: &str) -> Result<Option<&'a str>, Misuse> {
    match args.get(index) {
        None => Ok(None),
        Some(Arg::Constant(Value::Text(text))) => Ok(Some(text)),
        Some(Arg::Constant(other)) => {
            let found = match other {
                Value::Null => "NULL",
                Value::Number(_) => "a number",
                Value::Boolean(_) => "a boolean",
                _ => "another value",
            };
            Err(Misuse::argument(index, format!("{what} must be a text, found {found}")).hint(format!("for example {example}")))
        }
        Some(Arg::Row) => {
            Err(Misuse::argument(index, format!("{what} must be a constant, it cannot come from the event")).hint(format!("for example {example}")))
        }
    }
}

/// The names joined for a hint: `'a', 'b' or 'c'`.
pub(in crate::expr::function) fn one_of(names: &[&str]) -> String {
    let quoted: Vec<String> = names.iter().map(|name| format!("'{name}'")).collect();
    match quoted.split_last() {
        Some((last, [])) => last.clone(),
        Some((last, rest)) => format!("{} or {last}", rest.join(", ")),
        None => String::new(),
    }
}
