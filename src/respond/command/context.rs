//! Owns what writes to the context: `Set`, `SetAndHandleEmpty`, `DeleteContext`, `AppendToContext`.

use serde_json::Value;

use super::{Args, Builtin, Did, told, wrong};
use crate::expr::xsoar::context::{delete, delete_item, keep_only, set, set_and_handle_empty};
use crate::expr::xsoar::fault::Budget;
use crate::respond::run::{Failure, Step};

pub(super) const COMMANDS: &[Builtin] = &[
    Builtin { name: "Set", required: &["key"], run: set_key },
    Builtin { name: "SetAndHandleEmpty", required: &["key"], run: set_handling_empty },
    Builtin { name: "DeleteContext", required: &[], run: delete_context },
    Builtin { name: "delContext", required: &["key"], run: delete_context },
];

fn set_key(step: &mut Step<'_>, frame: u32, _: u32, args: &Args) -> Result<Did, Failure> {
    let key = args.text("key");
    let Some(value) = args.value("value").cloned() else {
        return told(format!("nothing was written to `{key}`: no value"));
    };
    set(step.context_of(frame), &key, value, args.flag("append").unwrap_or(false), args.flag("stringify").unwrap_or(false));
    told(format!("Key {key} set"))
}

fn set_handling_empty(step: &mut Step<'_>, frame: u32, _: u32, args: &Args) -> Result<Did, Failure> {
    let key = args.text("key");
    let value = args.value("value").cloned().unwrap_or(Value::Null);
    let handled = set_and_handle_empty(step.context_of(frame), &key, &value, args.value("append"), args.flag("stringify").unwrap_or(false));
    told(if handled.written { format!("Key {key} set") } else { format!("nothing was written to `{key}`: the value is empty") })
}

fn delete_context(step: &mut Step<'_>, frame: u32, _: u32, args: &Args) -> Result<Did, Failure> {
    let context = step.context_of(frame);
    if args.flag("all").unwrap_or(false) {
        let keys: Vec<String> = args.texts("keysToKeep").iter().map(|key| key.trim().to_owned()).collect();
        keep_only(context, &keys, &Budget::default()).map_err(|fault| wrong(fault.to_string()))?;
        return told("the context was deleted");
    }
    let Some(key) = args.some("key") else {
        return Err(wrong("`DeleteContext` needs `key`, or `all=yes`"));
    };
    match args.some("index") {
        Some(index) => {
            let index: usize = index.trim().parse().map_err(|_| wrong("`index` is no number"))?;
            delete_item(context, &key, index).map_err(|fault| wrong(fault.to_string()))?;
        }
        None => args.texts("key").iter().for_each(|key| delete(context, key)),
    }
    told(format!("Key {key} deleted"))
}
