//! Transformers of addresses.

use serde_json::Value;

use super::Takes::Whole;
use super::{Args, Transformer, row};
use crate::expr::xsoar::env::Env;
use crate::expr::xsoar::fault::Fault;
use crate::expr::xsoar::filter::net::{address, networks};
use crate::expr::xsoar::value::{arg_texts, text_of};

/// The transformers of this file.
pub const TABLE: &[Transformer] = &[
    row("EmailDomainBlacklist", Whole, &["domain_list"], &[], |value, args, env| domains(value, args, env, false)),
    row("EmailDomainWhitelist", Whole, &["domain_list"], &[], |value, args, env| domains(value, args, env, true)),
    row("IPv4Blacklist", Whole, &["cidr_ranges"], &[], |value, args, env| ranges(value, args, env, false)),
    row("IPv4Whitelist", Whole, &["cidr_ranges"], &[], |value, args, env| ranges(value, args, env, true)),
];

fn answer(kept: Vec<Value>) -> Value {
    if kept.is_empty() { Value::Null } else { Value::Array(kept) }
}

fn domains(value: &Value, args: &Args<'_>, env: &Env<'_>, listed: bool) -> Result<Value, Fault> {
    if value.is_null() {
        return Ok(Value::Null);
    }
    let domains: Vec<String> = args.get("domain_list").map(arg_texts).unwrap_or_default().iter().map(|domain| domain.to_lowercase()).collect();
    let mut kept = Vec::new();
    for mail in arg_texts(value) {
        env.budget.steps(domains.len() + 1)?;
        let mail = mail.to_lowercase();
        let Some((_, domain)) = mail.split_once('@') else { return args.raise("a value is not an e-mail address") };
        if domains.iter().any(|known| known == domain) == listed {
            kept.push(Value::String(mail));
        }
    }
    Ok(answer(kept))
}

fn ranges(value: &Value, args: &Args<'_>, env: &Env<'_>, inside: bool) -> Result<Value, Fault> {
    if value.is_null() {
        return Ok(Value::Null);
    }
    let networks = networks(args.get("cidr_ranges").unwrap_or(&Value::Null));
    let mut kept = Vec::new();
    for item in crate::expr::xsoar::value::arg_list(value) {
        env.budget.steps(networks.len() + 1)?;
        let Some(address) = address(&text_of(&item)) else { return args.raise("a value is not an IP address") };
        if networks.iter().any(|network| network.contains(&address)) == inside {
            kept.push(item);
        }
    }
    Ok(answer(kept))
}
