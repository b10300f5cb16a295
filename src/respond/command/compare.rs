//! Owns scripts that answer a question with a label, and those that compare lists.

use std::net::IpAddr;

use ipnet::IpNet;
use serde_json::{Map, Value, json};

use super::{Args, Builtin, Did, label, nothing, says, wrong};
use crate::expr::xsoar::context::{ListMatch, filter_by_list};
use crate::expr::xsoar::value::{is_falsy, parse_number, text_of};
use crate::respond::run::{Failure, Output, Step};

pub(super) const COMMANDS: &[Builtin] = &[
    Builtin { name: "Exists", required: &[], run: exists },
    Builtin { name: "AreValuesEqual", required: &[], run: equal },
    Builtin { name: "StringContains", required: &["string", "substring"], run: contains },
    Builtin { name: "IsIPInRanges", required: &["ip", "ipRanges"], run: in_ranges },
    Builtin { name: "IsGreaterThan", required: &["first", "second"], run: greater },
    Builtin { name: "IsTrue", required: &["value"], run: is_true },
    Builtin { name: "isError", required: &["entryId"], run: is_error },
    Builtin { name: "IsIntegrationAvailable", required: &["brandname"], run: available },
    Builtin { name: "IsEmailAddressInternal", required: &["email"], run: internal_address },
    Builtin { name: "IsListExist", required: &["listName"], run: list_exists },
    Builtin { name: "CompareLists", required: &["left", "right"], run: compare_lists },
    Builtin { name: "FilterByList", required: &["listname", "values"], run: filter_list },
    Builtin { name: "MapValues", required: &["input_values", "mapped_values", "value"], run: map_values },
];

fn exists(_: &mut Step<'_>, _: u32, _: u32, args: &Args) -> Result<Did, Failure> {
    label(args.value("value").is_some_and(|value| !is_falsy(value)))
}

fn equal(_: &mut Step<'_>, _: u32, _: u32, args: &Args) -> Result<Did, Failure> {
    let same = match (args.value("left"), args.value("right")) {
        (Some(left), Some(right)) if !nothing(Some(left)) && !nothing(Some(right)) => text_of(left) == text_of(right),
        _ => false,
    };
    let word = if same { "yes" } else { "no" };
    let context = Map::from_iter([("AreValuesEqual(true)".to_owned(), Value::from(word))]);
    Ok(Did::Done(Output { context, contents: Value::from(word), ..Output::default() }))
}

fn contains(_: &mut Step<'_>, _: u32, _: u32, args: &Args) -> Result<Did, Failure> {
    let text = args.text("string");
    let separator = args.some("substringSeperator").unwrap_or_else(|| ",".to_owned());
    let parts = args.text("substring");
    label(parts.split(separator.as_str()).any(|part| !part.is_empty() && text.contains(part)))
}

fn in_ranges(_: &mut Step<'_>, _: u32, _: u32, args: &Args) -> Result<Did, Failure> {
    let Ok(ip) = args.text("ip").trim().parse::<IpAddr>() else { return label(false) };
    let holds = |range: &str| {
        let range = range.trim();
        match (range.parse::<IpNet>(), range.split_once('-')) {
            (Ok(net), _) => net.contains(&ip),
            (Err(_), Some((from, to))) => match (from.trim().parse::<IpAddr>(), to.trim().parse::<IpAddr>()) {
                (Ok(from), Ok(to)) => from.is_ipv4() == ip.is_ipv4() && from <= ip && ip <= to,
                _ => false,
            },
            (Err(_), None) => range.parse::<IpAddr>() == Ok(ip),
        }
    };
    label(args.texts("ipRanges").iter().any(|range| holds(range)))
}

fn greater(_: &mut Step<'_>, _: u32, _: u32, args: &Args) -> Result<Did, Failure> {
    let number = |name: &str| args.value(name).and_then(|value| parse_number(&text_of(value))).ok_or_else(|| wrong(format!("`{name}` is no number")));
    label(number("first")? > number("second")?)
}

fn is_true(_: &mut Step<'_>, _: u32, _: u32, args: &Args) -> Result<Did, Failure> {
    label(args.text("value").eq_ignore_ascii_case("true"))
}

fn is_error(step: &mut Step<'_>, _: u32, _: u32, args: &Args) -> Result<Did, Failure> {
    let ids = args.texts("entryId");
    label(step.run.recent.iter().any(|entry| entry.error && ids.contains(&entry.id)))
}

fn available(step: &mut Step<'_>, _: u32, _: u32, args: &Args) -> Result<Did, Failure> {
    let brand = args.text("brandname");
    let of = |module: &&Value| {
        let text = |name: &str| module.get(name).and_then(Value::as_str).unwrap_or_default();
        text("brand").eq_ignore_ascii_case(&brand) && text("state") == "active"
    };
    let found: Vec<Value> = step.world.modules.iter().filter(of).cloned().collect();
    let word = if found.is_empty() { "no" } else { "yes" };
    let mut context = Map::new();
    if !found.is_empty() {
        context.insert("brandInstances".to_owned(), Value::Array(found));
    }
    Ok(Did::Done(Output { context, contents: Value::from(word), ..Output::default() }))
}

fn internal_address(_: &mut Step<'_>, _: u32, _: u32, args: &Args) -> Result<Did, Failure> {
    let domains: Vec<String> =
        args.texts("domain").iter().chain(&args.texts("internalDomains")).map(|domain| domain.trim_start_matches('@').to_lowercase()).collect();
    let mut found = Vec::new();
    for email in args.texts("email") {
        let Some((user, domain)) = email.rsplit_once('@') else { continue };
        let domain = domain.to_lowercase();
        let inside = domains.iter().any(|known| domain == *known || domain.ends_with(&format!(".{known}")));
        found.push(json!({ "Address": email, "Domain": domain, "Username": user, "NetworkType": if inside { "Internal" } else { "External" } }));
    }
    let inside = found.iter().any(|email| email.get("NetworkType").and_then(Value::as_str) == Some("Internal"));
    let context = Map::from_iter([("Account.Email(val.Address && val.Address == obj.Address)".to_owned(), Value::Array(found))]);
    Ok(Did::Done(Output { context, contents: Value::from(if inside { "yes" } else { "no" }), ..Output::default() }))
}

fn list_exists(step: &mut Step<'_>, _: u32, _: u32, args: &Args) -> Result<Did, Failure> {
    let name = args.text("listName");
    label(super::lists::text(step, &name).is_some())
}

fn compare_lists(_: &mut Step<'_>, _: u32, _: u32, args: &Args) -> Result<Did, Failure> {
    let (left, right) = (args.texts("left"), args.texts("right"));
    let only = |a: &[String], b: &[String], both: bool| -> Value { a.iter().filter(|item| b.contains(item) == both).cloned().collect::<Vec<String>>().into() };
    let context = Map::from_iter([
        ("ListCompareLeft".to_owned(), only(&left, &right, false)),
        ("ListCompareRight".to_owned(), only(&right, &left, false)),
        ("ListCompareBoth".to_owned(), only(&left, &right, true)),
    ]);
    Ok(Did::Done(Output { context, readable: "the lists were compared".to_owned(), ..Output::default() }))
}

fn filter_list(step: &mut Step<'_>, _: u32, _: u32, args: &Args) -> Result<Did, Failure> {
    let name = args.text("listname");
    let text = super::lists::text(step, &name).ok_or_else(|| wrong(format!("there is no list `{name}`")))?;
    let delimiter = args.some("delimiter").unwrap_or_else(|| ",".to_owned());
    let list: Vec<String> = text.split(delimiter.as_str()).flat_map(|part| part.split('\n')).map(|part| part.trim().to_owned()).collect();
    let yes = |name: &str| args.flag(name).unwrap_or(false);
    let how = ListMatch { ignore_case: yes("ignorecase"), exact: yes("matchexact") };
    let (inside, outside) = filter_by_list(&list, &args.texts("values"), how).map_err(|fault| wrong(fault.to_string()))?;
    let mut context = Map::new();
    for (key, found) in [("List.In", inside), ("List.NotIn", outside)] {
        if !found.is_empty() {
            context.insert(format!("{key}(true)"), if found.len() == 1 { Value::from(found.concat()) } else { found.into() });
        }
    }
    Ok(Did::Done(Output { context, readable: "the values were looked up".to_owned(), ..Output::default() }))
}

fn map_values(_: &mut Step<'_>, _: u32, _: u32, args: &Args) -> Result<Did, Failure> {
    let (from, to, value) = (args.texts("input_values"), args.texts("mapped_values"), args.text("value"));
    if from.len() != to.len() {
        return Err(wrong("`input_values` and `mapped_values` are not equally long"));
    }
    let found = from.iter().zip(&to).find(|(from, _)| **from == value).map_or(value.clone(), |(_, to)| to.clone());
    let context = Map::from_iter([("MappedValue".to_owned(), Value::from(found.clone()))]);
    match says(found)? {
        Did::Done(output) => Ok(Did::Done(Output { context, ..output })),
        other => Ok(other),
    }
}
