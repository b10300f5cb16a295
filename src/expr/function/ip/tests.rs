//! Addresses and networks, compared with the standard library.

#![allow(clippy::unwrap_used)]

use proptest::prelude::*;

use super::*;
use crate::expr::function::text::testing::{bound, call, column_is_call, number, text, try_bind};

fn ip_in(networks: &[&str], address: &str) -> Option<bool> {
    let constants: Vec<Arg> = networks.iter().map(|network| text(network)).collect();
    call(&bound("ip_in", &constants), address, None).ok().and_then(|value| value.as_boolean())
}

#[test]
fn addresses_and_networks() {
    let cases: &[(&[&str], &str, Option<bool>)] = &[
        (&["10.0.0.0/8"], "10.1.2.3", Some(true)),
        (&["10.0.0.0/8"], "11.0.0.0", Some(false)),
        (&["10.0.0.0/8"], "9.255.255.255", Some(false)),
        (&["10.0.0.0/8"], " 10.255.255.255 ", Some(true)),
        (&["10.9.9.9/8"], "10.0.0.0", Some(true)), // host bits of a network do not count
        (&["192.168.1.5"], "192.168.1.5", Some(true)),
        (&["192.168.1.5"], "192.168.1.6", Some(false)),
        (&["0.0.0.0/0"], "255.255.255.255", Some(true)),
        (&["0.0.0.0/0"], "::1", Some(false)),
        (&["::/0"], "::1", Some(true)),
        (&["::/0"], "10.0.0.1", Some(false)),
        (&["10.0.0.0/8"], "::ffff:10.1.2.3", Some(true)),
        (&["10.0.0.0/8"], "::FFFF:0a01:0203", Some(true)),
        (&["::ffff:10.0.0.0/104"], "10.1.2.3", Some(true)),
        (&["::ffff:10.0.0.0/104"], "::ffff:11.1.2.3", Some(false)),
        (&["fd00::/8", "10.0.0.0/8"], "fdab::1", Some(true)),
        (&["fd00::/8", "10.0.0.0/8"], "fe80::1", Some(false)),
        (&["fe80::/10"], "fe80::1%eth0", Some(true)),
        (&["fe80::/10"], "fe80::1%", None),
        (&["10.0.0.0/9", "10.128.0.0/9", "10.2.0.0/16"], "10.200.0.1", Some(true)),
        (&["10.0.0.0/24", "10.0.2.0/24"], "10.0.1.7", Some(false)),
        (&["10.0.0.0/8"], "10.1.2.3:443", None),
        (&["10.0.0.0/8"], "[::1]", None),
        (&["10.0.0.0/8"], "10.1.2", None),
        (&["10.0.0.0/8"], "10.1.2.3.4", None),
        (&["10.0.0.0/8"], "10.1.2.256", None),
        (&["10.0.0.0/8"], "10.01.2.3", None),
        (&["10.0.0.0/8"], "10.1.2.3%eth0", None),
        (&["10.0.0.0/8"], "", None),
        (&["10.0.0.0/8"], "-", None),
        (&["10.0.0.0/8"], "LOCAL", None),
        (&["10.0.0.0/8"], "10.0.0.0/8", None),
    ];
    for (networks, address, expected) in cases {
        assert_eq!(ip_in(networks, address), *expected, "{address} in {networks:?}");
    }
    assert_eq!(bound("ip_in", &[text("::1")]).function.call(&[Value::Null]), Ok(Value::Null));
}

#[test]
fn misuse() {
    for (network, reason) in [
        ("10.0.0.0/33", "the prefix is longer than the address"),
        ("::/129", "the prefix is longer than the address"),
        ("10.0.0/8", "no IP address before the `/`"),
        ("10.0.0.0/", "the prefix is not a number"),
        ("10.0.0.0/+8", "the prefix is not a number"),
        ("10.0.0.0/99999999999", "the prefix is longer than the address"),
        ("", "no IP address before the `/`"),
        ("10.0.0.0/255.0.0.0", "the prefix is not a number"),
    ] {
        let misuse = try_bind("ip_in", &[text("::1"), text(network)]).unwrap_err();
        assert_eq!(misuse.argument, Some(2));
        assert_eq!(misuse.message, format!("`{network}` is not a network: {reason}"));
    }
    assert_eq!(try_bind("ip_in", &[]).unwrap_err().message, "takes at least 2 arguments, found 1");
    assert_eq!(try_bind("ip_in", &[number(10.0)]).unwrap_err().message, "a network must be a text, found a number");
    assert_eq!(try_bind("ip_in", &[Arg::Row]).unwrap_err().argument, Some(1));
}

proptest! {
    #[test]
    fn v4_is_read_like_the_standard_library(input in "[0-9.]{0,16}|([0-9]{1,3}\\.){3}[0-9]{1,3}") {
        prop_assert_eq!(parse_v4(input.as_bytes()), input.parse::<std::net::Ipv4Addr>().ok().map(u32::from));
    }

    #[test]
    fn a_network_holds_what_its_mask_says(network: u32, prefix in 0u32..=32, address: u32, same_bits in 0u32..=32) {
        // Half of the addresses agree with the network in their first bits.
        let keep = u32::MAX.checked_shl(32 - same_bits).unwrap_or(0);
        let address = network & keep | address & !keep;
        let mask = u32::MAX.checked_shl(32 - prefix).unwrap_or(0);
        let (network_text, address_text) = (std::net::Ipv4Addr::from(network).to_string(), std::net::Ipv4Addr::from(address).to_string());
        let expected = Some(network & mask == address & mask);
        prop_assert_eq!(ip_in(&[&format!("{network_text}/{prefix}")], &address_text), expected);
        prop_assert_eq!(ip_in(&[&format!("::ffff:{network_text}/{}", prefix + 96)], &format!("::ffff:{address_text}")), expected);
    }

    #[test]
    fn a_v6_network_holds_what_its_mask_says(network: u128, prefix in 0u32..=128, address: u128, same_bits in 0u32..=128) {
        let keep = u128::MAX.checked_shl(128 - same_bits).unwrap_or(0);
        let address = network & keep | address & !keep;
        let mask = u128::MAX.checked_shl(128 - prefix).unwrap_or(0);
        let got = ip_in(&[&format!("{}/{prefix}", Ipv6Addr::from(network))], &Ipv6Addr::from(address).to_string());
        prop_assert_eq!(got, Some(network & mask == address & mask));
    }

    #[test]
    fn column_gives_what_call_gives(texts in prop::collection::vec(prop::option::weighted(0.9, "\\PC{0,20}|10\\.[0-9]{1,3}\\.1\\.2|fd[0-9a-f]{2}::1"), 12)) {
        let texts: Vec<Option<&str>> = texts.iter().map(Option::as_deref).collect();
        column_is_call(&bound("ip_in", &[text("10.0.0.0/9"), text("fd00::/8")]), &[texts], None);
    }
}
