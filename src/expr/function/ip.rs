//! `ip_in(x, '10.0.0.0/8', …)`: is the address in one of the networks?
//!
//! An IPv4-mapped IPv6 address (`::ffff:10.1.2.3`) is the IPv4 address it stands for, in the
//! value and in the networks; so no IPv6 network short of `::ffff:0:0/96` holds IPv4 addresses.
//! Text with a port, brackets or anything else beside the address fails; a zone
//! (`fe80::1%eth0`) is not part of the address and is ignored.

use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, BooleanBuilder};

use super::text::args::{arity, constant_text};
use super::text::text_column;
use super::{Arg, Bound, Failed, Function, Misuse};
use crate::expr::value::{Type, Value};

/// Binds `ip_in(x, network, …)`. A network is CIDR text or a single address.
pub fn bind_ip_in(args: &[Arg]) -> Result<Bound, Misuse> {
    arity(args, 2, usize::MAX, "ip_in(src.ip, '10.0.0.0/8', 'fd00::/8')")?;
    let (mut v4, mut v6) = (Vec::new(), Vec::new());
    for index in 1..args.len() {
        let text = constant_text(args, index, "a network", "'10.0.0.0/8'; for many networks use a lookup with match: cidr")?.unwrap_or_default();
        match network(text.trim()).map_err(|reason| {
            Misuse::argument(index, format!("`{text}` is not a network: {reason}")).hint("write '10.0.0.0/8', 'fd00::/8' or a single address")
        })? {
            Range::V4(first, last) => v4.push((first, last)),
            Range::V6(first, last) => v6.push((first, last)),
        }
    }
    let function = IpIn { v4: merge(v4), v6: merge(v6) };
    Ok(Bound { function: Arc::new(function), args: vec![(0, Type::Text)], returns: Type::Boolean, fallible: true, wants_record_time: false })
}

/// First and last address of a network.
enum Range {
    V4(u32, u32),
    V6(u128, u128),
}

fn network(text: &str) -> Result<Range, &'static str> {
    let (address, prefix) = match text.split_once('/') {
        Some((address, prefix)) => (address, Some(prefix)),
        None => (text, None),
    };
    let address: IpAddr = address.parse().map_err(|_| "no IP address before the `/`")?;
    let bits: u32 = if address.is_ipv4() { 32 } else { 128 };
    let prefix = match prefix {
        None => bits,
        Some(digits) if !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()) => {
            digits.parse().ok().filter(|prefix| *prefix <= bits).ok_or("the prefix is longer than the address")?
        }
        Some(_) => return Err("the prefix is not a number"),
    };
    Ok(match address {
        IpAddr::V4(v4) => v4_range(u32::from(v4), prefix),
        IpAddr::V6(v6) => match v6.to_ipv4_mapped() {
            Some(v4) if prefix >= 96 => v4_range(u32::from(v4), prefix - 96),
            _ => {
                let hosts = u128::MAX.checked_shr(prefix).unwrap_or(0);
                Range::V6(u128::from(v6) & !hosts, u128::from(v6) | hosts)
            }
        },
    })
}

fn v4_range(address: u32, prefix: u32) -> Range {
    let hosts = u32::MAX.checked_shr(prefix).unwrap_or(0);
    Range::V4(address & !hosts, address | hosts)
}

/// The ranges sorted, overlapping ones joined.
fn merge<T: Ord + Copy>(mut ranges: Vec<(T, T)>) -> Box<[(T, T)]> {
    ranges.sort_unstable();
    let mut merged: Vec<(T, T)> = Vec::with_capacity(ranges.len());
    for (first, last) in ranges {
        match merged.last_mut() {
            Some(before) if first <= before.1 => before.1 = before.1.max(last),
            _ => merged.push((first, last)),
        }
    }
    merged.into()
}

fn holds<T: Ord + Copy>(ranges: &[(T, T)], address: T) -> bool {
    let after = ranges.partition_point(|(first, _)| *first <= address);
    after.checked_sub(1).and_then(|at| ranges.get(at)).is_some_and(|(_, last)| address <= *last)
}

#[derive(Debug)]
struct IpIn {
    v4: Box<[(u32, u32)]>,
    v6: Box<[(u128, u128)]>,
}

impl IpIn {
    fn test(&self, text: &str) -> Option<bool> {
        let text = text.trim_ascii();
        if let Some(v4) = parse_v4(text.as_bytes()) {
            return Some(holds(&self.v4, v4));
        }
        let address = match text.split_once('%') {
            Some((address, zone)) if !zone.is_empty() => address,
            Some(_) => return None,
            None => text,
        };
        let v6: Ipv6Addr = address.parse().ok()?;
        Some(match v6.to_ipv4_mapped() {
            Some(v4) => holds(&self.v4, u32::from(v4)),
            None => holds(&self.v6, u128::from(v6)),
        })
    }
}

/// Dotted decimal, four numbers without leading zeros (which some programs read as octal).
fn parse_v4(text: &[u8]) -> Option<u32> {
    let mut address = 0u32;
    let mut numbers = 0;
    for part in text.split(|b| *b == b'.') {
        let number = match part {
            [a] if a.is_ascii_digit() => u32::from(a - b'0'),
            [b'1'..=b'9', _] | [b'1'..=b'9', _, _] if part.iter().all(u8::is_ascii_digit) => {
                part.iter().fold(0, |number, digit| number * 10 + u32::from(digit - b'0'))
            }
            _ => return None,
        };
        numbers += 1;
        if number > 255 || numbers > 4 {
            return None;
        }
        address = address << 8 | number;
    }
    (numbers == 4).then_some(address)
}

impl Function for IpIn {
    fn call<'a>(&self, args: &[Value<'a>]) -> Result<Value<'a>, Failed> {
        match args.first() {
            Some(Value::Text(text)) => self.test(text).map(Value::Boolean).ok_or(Failed),
            _ => Ok(Value::Null),
        }
    }

    fn column(&self, args: &[ArrayRef]) -> Option<ArrayRef> {
        let texts = text_column(args, 0)?;
        let mut answers = BooleanBuilder::with_capacity(texts.len());
        for text in texts {
            answers.append_option(text.and_then(|text| self.test(text)));
        }
        Some(Arc::new(answers.finish()))
    }
}

#[cfg(test)]
mod tests;
