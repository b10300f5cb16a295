//! Owns keys with a marketplace behind them: `name:xsoar` takes the place of `name`.

use std::collections::HashMap;

use crate::config::node::{Node, Value};
use crate::config::source_map::Spanned;

/// What may stand behind a key's colon, most telling first: a key for one of the first three
/// is ours, the others are for other products.
const MARKETPLACES: [&str; 6] = ["xsoar_on_prem", "xsoar_saas", "xsoar", "marketplacev2", "xpanse", "platform"];
/// How many of [`MARKETPLACES`] are ours.
const OURS: usize = 3;

/// Puts each key's variant for this product in the place of the plain one, everywhere in the
/// tree; variants for other products go.
pub fn resolve(node: &mut Node) {
    // The readers bound the depth.
    match &mut node.value {
        Value::List(items) => items.iter_mut().for_each(resolve),
        Value::Mapping(entries) => {
            if entries.iter().any(|(key, _)| suffix(&key.value).is_some()) {
                choose(entries);
            }
            entries.iter_mut().for_each(|(_, node)| resolve(node));
        }
        _ => {}
    }
}

/// The plain key and the rank of its marketplace.
fn suffix(key: &str) -> Option<(&str, usize)> {
    let (plain, market) = key.rsplit_once(':')?;
    let rank = MARKETPLACES.iter().position(|known| *known == market)?;
    (!plain.is_empty()).then_some((plain, rank))
}

fn choose(entries: &mut Vec<(Spanned<String>, Node)>) {
    let mut place: HashMap<String, (usize, usize)> = HashMap::new();
    let mut chosen: Vec<(Spanned<String>, Node)> = Vec::with_capacity(entries.len());
    for (key, node) in entries.drain(..) {
        let (plain, rank) = match suffix(&key.value) {
            Some((_, rank)) if rank >= OURS => continue,
            Some((plain, rank)) => (plain.to_owned(), rank),
            None => (key.value.clone(), OURS),
        };
        let entry = (Spanned::new(plain.clone(), key.span), node);
        match place.get(&plain).copied() {
            Some((at, standing)) if rank < standing => {
                place.insert(plain, (at, rank));
                if let Some(slot) = chosen.get_mut(at) {
                    *slot = entry;
                }
            }
            Some(_) => {}
            None => {
                place.insert(plain, (chosen.len(), rank));
                chosen.push(entry);
            }
        }
    }
    *entries = chosen;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::diagnostic::Diagnostics;

    #[test]
    #[allow(clippy::unwrap_used)]
    fn the_most_telling_variant_wins() {
        let text = r#"{"name":"a","name:xsoar":"b","name:xsoar_saas":"c","id:xpanse":"z","only:xsoar":1,"l":[{"k:xsoar":2,"k":3}],"odd:key":4,":xsoar":5}"#;
        let mut out = Diagnostics::new();
        let file = out.add_file("x.json", text);
        let mut node = super::super::json::read(file, &mut out).unwrap();
        resolve(&mut node);
        let expected: serde_json::Value = serde_json::from_str(r#"{"name":"c","only":1,"l":[{"k":2}],"odd:key":4,":xsoar":5}"#).unwrap();
        assert_eq!(node.to_json(), expected);
    }
}
