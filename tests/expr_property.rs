//! Two evaluators, one meaning: random expressions over random events, compiled to columns
//! and read row by row, are equal.

use proptest::prelude::*;

use crate::expr_bench::both;
use crate::expr_generate::{Dice, Node, any, condition, event, number, text, time};

/// Cases without `PROPTEST_CASES`. Each plans four expressions, which costs more than running them.
const CASES: u32 = 300;

fn config() -> ProptestConfig {
    let cases = std::env::var("PROPTEST_CASES").ok().and_then(|n| n.parse().ok()).unwrap_or(CASES);
    ProptestConfig { cases, max_shrink_iters: 2_000, failure_persistence: None, ..ProptestConfig::default() }
}

fn choices(len: usize) -> impl Strategy<Value = Vec<u16>> {
    prop::collection::vec(any_choice(), 0..len)
}

fn any_choice() -> impl Strategy<Value = u16> {
    proptest::num::u16::ANY
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn compiled_equals_reference(
        expressions in prop::collection::vec(choices(60), 1..5),
        events in prop::collection::vec(choices(60), 1..24),
    ) {
        let texts: Vec<String> = expressions.iter().map(|choices| any(&mut Dice::new(choices), 4)).collect();
        let events: Vec<Node> = events.iter().map(|choices| event(&mut Dice::new(choices))).collect();
        if let Err(difference) = both(&texts, &events) {
            prop_assert!(false, "{difference}");
        }
    }

    /// Parts that expressions share are computed once, and mean the same.
    #[test]
    fn shared_parts_equal_reference(
        expressions in prop::collection::vec(choices(40), 4),
        events in prop::collection::vec(choices(60), 1..12),
    ) {
        let part = |n: usize, of: fn(&mut Dice<'_>, usize) -> String| of(&mut Dice::new(&expressions[n]), 2);
        let (a, b, c, d) = (part(0, text), part(1, number), part(2, condition), part(3, time));
        let texts = [
            format!("CASE WHEN {c} THEN {a} ELSE text({b}) END"),
            format!("({c} AND {b} > 1) OR NOT {c}"),
            format!("concat({a}, text({b}), text({d}))"),
            format!("{d} + {b}"),
            a.clone(),
            format!("coalesce({a}, text({d}))"),
            c.clone(),
        ];
        let events: Vec<Node> = events.iter().map(|choices| event(&mut Dice::new(choices))).collect();
        if let Err(difference) = both(&texts, &events) {
            prop_assert!(false, "{difference}");
        }
    }
}
