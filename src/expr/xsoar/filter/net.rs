//! Tests of addresses and networks (scripts of the product).

use std::net::IpAddr;

use ipnet::IpNet;
use serde_json::Value;

use super::Takes::Any;
use super::{Filter, Sides, row};
use crate::expr::xsoar::env::Env;
use crate::expr::xsoar::fault::Fault;
use crate::expr::xsoar::value::{arg_texts, as_number, text_of};

/// The filters of this file.
pub const TABLE: &[Filter] = &[
    row("IsInCidrRanges", Any, false, in_ranges),
    row("IsNotInCidrRanges", Any, false, |s, env| in_ranges(s, env).map(|held| !held)),
    row("IsRFC1918Address", Any, true, |s, _| Ok(is_private(&text_of(s.left)))),
    row("GreaterCidrNumAddresses", Any, false, |s, _| Ok(addresses(s).is_some_and(|(count, limit)| count > limit))),
    row("LowerCidrNumAddresses", Any, false, |s, _| Ok(addresses(s).is_some_and(|(count, limit)| count < limit))),
    row("CIDRBiggerThanPrefix", Any, false, |s, _| {
        Ok(network(&text_of(s.left)).zip(as_number(s.right)).is_some_and(|(network, prefix)| f64::from(network.prefix_len()) < prefix))
    }),
    row("CheckIfSubdomain", Any, false, subdomain),
];

/// An address.
pub fn address(text: &str) -> Option<IpAddr> {
    text.trim().parse().ok()
}

/// A network; bits of the host do not matter, an address alone is a network of one.
pub fn network(text: &str) -> Option<IpNet> {
    let text = text.trim();
    text.parse::<IpNet>().ok().or_else(|| address(text).map(IpNet::from))
}

/// The networks of a list or a text with commas; what is none is skipped.
pub fn networks(value: &Value) -> Vec<IpNet> {
    arg_texts(value).iter().filter_map(|text| network(text)).collect()
}

/// True when the address is in a range; an invalid address is in none.
fn in_ranges(sides: &Sides<'_>, env: &Env<'_>) -> Result<bool, Fault> {
    let networks = networks(sides.right);
    env.budget.steps(networks.len() + 1)?;
    // A text with commas holds several addresses.
    Ok(arg_texts(sides.left).iter().filter_map(|text| address(text)).any(|address| networks.iter().any(|network| network.contains(&address))))
}

fn is_private(text: &str) -> bool {
    matches!(address(text), Some(IpAddr::V4(address)) if address.is_private())
}

/// Addresses of the left network and the number on the right side.
fn addresses(sides: &Sides<'_>) -> Option<(f64, f64)> {
    let network = network(&text_of(sides.left))?;
    let bits = network.max_prefix_len() - network.prefix_len();
    Some((f64::from(bits).exp2(), as_number(sides.right)?))
}

fn subdomain(sides: &Sides<'_>, env: &Env<'_>) -> Result<bool, Fault> {
    let left = text_of(sides.left).trim().trim_end_matches('.').to_lowercase();
    let domains = arg_texts(sides.right);
    env.budget.steps(domains.len() + 1)?;
    Ok(domains.iter().any(|domain| {
        let domain = domain.trim().to_lowercase();
        let domain = domain.trim_start_matches("*.").trim_end_matches('.');
        // A top-level domain has everything below it, so it says nothing.
        domain.contains('.') && (left == domain || left.strip_suffix(domain).is_some_and(|before| before.ends_with('.')))
    }))
}
