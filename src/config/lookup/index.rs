//! Owns how a table is searched: one index for each kind of key.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::BuildHasher;
use std::net::{IpAddr, Ipv6Addr};

use globset::{GlobBuilder, GlobSet, GlobSetBuilder};
use hashbrown::{DefaultHashBuilder, HashTable};
use ipnet::IpNet;

use super::{LookupError, LookupKind, TableData};

/// Finds the row of a key.
#[derive(Debug, Default)]
pub(super) enum Index {
    /// Before anything is read.
    #[default]
    Nothing,
    /// Row numbers by the hash of their key; the keys stay in the cells.
    Exact { rows: HashTable<u32>, hasher: DefaultHashBuilder, key: usize },
    /// One map for each prefix length in use, longest first. IPv4 lives in the mapped
    /// part of IPv6 (`::ffff:0:0/96`).
    Cidr { lengths: Vec<(u8, HashMap<u128, u32>)> },
    /// All patterns at once; the second part says which row each belongs to.
    Glob { set: GlobSet, rows: Vec<u32> },
}

/// An index, and the rows that it will never find.
pub(super) struct Built {
    pub(super) index: Index,
    pub(super) repeated: usize,
    pub(super) empty: usize,
}

impl Index {
    /// Indexes the key column; `lines` are the rows' lines in the file, for messages.
    pub(super) fn build(kind: LookupKind, data: &TableData, key: usize, lines: &[u64]) -> Result<Built, LookupError> {
        let keys = lines.iter().zip(0u32..).map(|(line, row)| (*line, row, data.cell(row, key)));
        match kind {
            LookupKind::Exact => Ok(exact(keys, data, key)),
            LookupKind::Cidr => cidr(keys),
            LookupKind::Glob => glob(keys),
        }
    }

    pub(super) fn find(&self, data: &TableData, text: &str) -> Option<u32> {
        match self {
            Index::Nothing => None,
            Index::Exact { rows, hasher, key } => rows.find(hasher.hash_one(text), |row| data.cell(*row, *key) == Some(text)).copied(),
            Index::Cidr { lengths } => {
                let address = to_bits(text.trim().parse().ok()?);
                lengths.iter().find_map(|(length, rows)| rows.get(&(address & mask(*length))).copied())
            }
            Index::Glob { set, rows } => {
                let first = set.matches(text).into_iter().min()?;
                rows.get(first).copied()
            }
        }
    }

    /// Bytes in memory, about.
    pub(super) fn bytes(&self) -> usize {
        match self {
            Index::Nothing => 0,
            Index::Exact { rows, .. } => rows.allocation_size(),
            // Key, row and control byte of a map at its usual load.
            Index::Cidr { lengths } => lengths.iter().map(|(_, rows)| rows.capacity() * 40).sum(),
            // An automaton's size is not told; patterns of hosts measure about this much.
            Index::Glob { rows, .. } => rows.len() * 500,
        }
    }
}

fn exact<'a>(keys: impl Iterator<Item = (u64, u32, Option<&'a str>)>, data: &TableData, key: usize) -> Built {
    let hasher = DefaultHashBuilder::default();
    let mut rows: HashTable<u32> = HashTable::new();
    let (mut repeated, mut empty) = (0, 0);
    for (_, row, text) in keys {
        let Some(text) = text else {
            empty += 1;
            continue;
        };
        let hash = hasher.hash_one(text);
        if rows.find(hash, |other| data.cell(*other, key) == Some(text)).is_some() {
            repeated += 1;
            continue;
        }
        rows.insert_unique(hash, row, |other| hasher.hash_one(data.cell(*other, key).unwrap_or("")));
    }
    Built { index: Index::Exact { rows, hasher, key }, repeated, empty }
}

fn cidr<'a>(keys: impl Iterator<Item = (u64, u32, Option<&'a str>)>) -> Result<Built, LookupError> {
    let mut lengths: HashMap<u8, HashMap<u128, u32>> = HashMap::new();
    let (mut repeated, mut empty) = (0, 0);
    for (line, row, text) in keys {
        let Some(text) = text else {
            empty += 1;
            continue;
        };
        let Some((bits, length)) = network(text) else {
            return Err(LookupError::Row { line, message: format!("`{text}` is not an address or a network such as 10.0.0.0/8") });
        };
        let of_length = lengths.entry(length).or_default();
        match of_length.entry(bits) {
            Entry::Occupied(_) => repeated += 1,
            Entry::Vacant(place) => {
                place.insert(row);
            }
        }
    }
    let mut lengths: Vec<_> = lengths.into_iter().collect();
    lengths.sort_by_key(|(length, _)| std::cmp::Reverse(*length));
    Ok(Built { index: Index::Cidr { lengths }, repeated, empty })
}

fn glob<'a>(keys: impl Iterator<Item = (u64, u32, Option<&'a str>)>) -> Result<Built, LookupError> {
    let mut builder = GlobSetBuilder::new();
    let mut rows = Vec::new();
    let mut empty = 0;
    for (line, row, text) in keys {
        let Some(text) = text else {
            empty += 1;
            continue;
        };
        let pattern = GlobBuilder::new(text)
            .literal_separator(false)
            .build()
            .map_err(|error| LookupError::Row { line, message: format!("`{text}` is not a pattern: {}", error.kind()) })?;
        builder.add(pattern);
        rows.push(row);
    }
    let line = 1;
    let set = builder.build().map_err(|error| LookupError::Row { line, message: error.kind().to_string() })?;
    Ok(Built { index: Index::Glob { set, rows }, repeated: 0, empty })
}

/// First address and prefix length, both in IPv6 terms; bits below the prefix are cleared.
fn network(text: &str) -> Option<(u128, u8)> {
    let network: IpNet = match text.parse() {
        Ok(network) => network,
        Err(_) => IpNet::from(text.parse::<IpAddr>().ok()?),
    };
    let length = match network {
        IpNet::V4(network) => network.prefix_len() + 96,
        IpNet::V6(network) => network.prefix_len(),
    };
    Some((to_bits(network.network()), length))
}

fn to_bits(address: IpAddr) -> u128 {
    let address: Ipv6Addr = match address {
        IpAddr::V4(address) => address.to_ipv6_mapped(),
        IpAddr::V6(address) => address,
    };
    address.to_bits()
}

fn mask(length: u8) -> u128 {
    u128::MAX.checked_shl(128 - u32::from(length)).unwrap_or(0)
}
