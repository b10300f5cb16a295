//! The corner cases of deciding, one by one, as `ingest::decide` documents them.

#![allow(clippy::unwrap_used)]

use catchment::ingest::decide::{
    Action, Attach, BatchInput, CANDIDATE_BYTES_MAX, DecideSpec, Decided, Decider, Fingerprinter, Link, LinkTo, Mode, NoWhere, Origin, RuleInput, RuleSpec,
    Scope, Verdict, WHERE_TRIES_MAX, WhereSource,
};

const CREATED: Verdict = Verdict::Create { close: None, linked: false };

fn rule(action: Action, within_ms: i64) -> RuleSpec {
    RuleSpec {
        name: "rule".into(),
        rule_key: 0,
        action,
        matches: within_ms >= 0,
        has_where: false,
        within_ms,
        link_to: LinkTo::Oldest,
        open_only: false,
        shadow: false,
    }
}

fn spec(mode: Mode, rules: Vec<RuleSpec>) -> DecideSpec {
    DecideSpec { mode, rules, scope: Scope::Partition, groups: Vec::new(), where_key: 0, at_least_once: false, late_max_ms: 100, index_bytes_max: 16 << 20 }
}

fn at(row: usize) -> Origin {
    Origin { partition: 0, offset: row as i64, element: 0 }
}

/// Decides rows of (time, key of every rule); offsets count on from `first`.
fn rows(decider: &mut Decider, first: usize, rows: &[(i64, u64)]) -> Decided {
    let rules = decider.spec().rules.len();
    let mut printer = Fingerprinter::new([9; 16]);
    let mut input = |number: usize| RuleInput {
        holds: None,
        fingerprints: Some(
            rows.iter().map(|(_, key)| if *key == 0 { 0 } else { printer.fingerprint(number as u64, [Some(&key.to_le_bytes()[..])]) }).collect(),
        ),
    };
    let inputs: Vec<RuleInput> = (0..rules).map(&mut input).collect();
    let origins: Vec<Origin> = (0..rows.len()).map(|row| at(first + row)).collect();
    let times_ms: Vec<i64> = rows.iter().map(|row| row.0).collect();
    let mut decided = Decided::default();
    decider.decide(&mut BatchInput { origins: &origins, times_ms: &times_ms, rules: &inputs, values: &mut NoWhere }, &mut decided);
    decided
}

fn decide(spec: DecideSpec, given: &[(i64, u64)]) -> Decided {
    rows(&mut Decider::new(spec), 0, given)
}

#[test]
fn both_ends_of_within_count() {
    let got = decide(spec(Mode::First, vec![rule(Action::Drop, 50)]), &[(1_000, 1), (1_050, 1), (1_051, 1), (1_001, 1), (1_000, 2), (950, 2), (949, 2)]);
    let drop = Verdict::Drop { rule: 0 };
    assert_eq!(got.verdicts, [CREATED, drop, CREATED, drop, CREATED, drop, CREATED]);
    assert_eq!(got.late, 0);
}

/// A dead letter that is fed twice keeps its coordinates.
#[test]
fn a_row_that_comes_again_is_no_repeat_of_its_own() {
    for (action, verdict) in [
        (Action::Drop, Verdict::Drop { rule: 0 }),
        (Action::DropAndUpdate, Verdict::Attach { rule: 0 }),
        (Action::Link, CREATED),
        (Action::LinkAndClose, CREATED),
    ] {
        let mut decider = Decider::new(spec(Mode::First, vec![rule(action, 50)]));
        assert_eq!(rows(&mut decider, 7, &[(1_000, 1)]).verdicts, [CREATED]);
        let again = rows(&mut decider, 7, &[(1_000, 1)]);
        assert_eq!((again.verdicts.as_slice(), again.attaches.len(), again.links.len()), (&[verdict][..], 0, 0), "{action:?}");
        // Another one is.
        let other = rows(&mut decider, 8, &[(1_000, 1)]);
        assert_eq!(other.attaches.len() + other.links.len(), usize::from(action != Action::Drop), "{action:?}");
        assert_eq!(
            other.attaches.first().map(|attach| attach.target).or(other.links.first().map(|link| link.target)),
            (action != Action::Drop).then_some(at(7))
        );
    }
}

#[test]
fn late_rows_match_nothing_and_are_not_remembered() {
    // Horizon: 50 + 100 behind the clock.
    let got = decide(spec(Mode::First, vec![rule(Action::Drop, 50)]), &[(850, 1), (1_000, 2), (850, 1), (849, 1), (849, 3), (850, 3)]);
    assert_eq!(got.verdicts, [CREATED, CREATED, Verdict::Drop { rule: 0 }, CREATED, CREATED, CREATED]);
    assert_eq!(got.late, 2);
}

#[test]
fn what_lies_on_the_horizon_is_live() {
    let got = decide(spec(Mode::First, vec![rule(Action::Link, 50)]), &[(850, 1), (1_000, 2), (860, 1), (850, 1), (1_001, 2), (860, 1)]);
    let targets: Vec<(u32, Origin)> = got.links.iter().map(|link| (link.row, link.target)).collect();
    assert_eq!(targets, [(2, at(0)), (3, at(0)), (4, at(1)), (5, at(2))]);
}

#[test]
fn a_row_is_late_once_and_only_for_rules_that_it_reached() {
    let rules = vec![rule(Action::Link, 50), rule(Action::Link, 10), rule(Action::Link, 1_000)];
    let got = decide(spec(Mode::First, rules.clone()), &[(1_000, 1), (840, 1), (840, 0)]);
    assert_eq!((got.late, got.links.as_slice()), (1, &[Link { row: 1, rule: 2, target: at(0) }][..]));
    let first_acts = vec![rule(Action::Close, -1), rules[0].clone()];
    assert_eq!(decide(spec(Mode::First, first_acts), &[(1_000, 1), (1, 1)]).late, 0);
}

#[test]
fn dropped_and_attached_rows_are_not_remembered_and_do_not_refresh() {
    let got = decide(spec(Mode::First, vec![rule(Action::DropAndUpdate, 50)]), &[(0, 1), (40, 1), (50, 1), (80, 1), (130, 1)]);
    let attach = Verdict::Attach { rule: 0 };
    assert_eq!(got.verdicts, [CREATED, attach, attach, CREATED, attach]);
    let targets: Vec<Origin> = got.attaches.iter().map(|attach| attach.target).collect();
    assert_eq!(targets, [at(0), at(0), at(3)]);
}

#[test]
fn incidents_closed_at_birth_and_rules_that_do_not_hold_are_remembered() {
    let mut decider = Decider::new(spec(Mode::First, vec![rule(Action::Close, -1), rule(Action::DropAndUpdate, 50)]));
    let mut printer = Fingerprinter::new([9; 16]);
    let key = printer.fingerprint(1, [Some(&b"a"[..])]);
    let inputs = [
        RuleInput { holds: Some(vec![true, false, false]), fingerprints: None },
        RuleInput { holds: Some(vec![false, false, true]), fingerprints: Some(vec![key; 3]) },
    ];
    let mut got = Decided::default();
    let origins = [at(0), at(1), at(2)];
    decider.decide(&mut BatchInput { origins: &origins, times_ms: &[0, 0, 0], rules: &inputs, values: &mut NoWhere }, &mut got);
    assert_eq!(got.verdicts, [Verdict::Create { close: Some(0), linked: false }, CREATED, Verdict::Attach { rule: 1 }]);
    assert_eq!(got.attaches, [Attach { row: 2, rule: 1, target: at(0) }]);
}

#[test]
fn a_rule_without_match_that_needs_a_target_never_applies() {
    for action in [Action::DropAndUpdate, Action::Link, Action::LinkAndClose] {
        let mut given = rule(action, 50);
        given.matches = false;
        assert_eq!(decide(spec(Mode::First, vec![given]), &[(0, 1), (0, 1)]).verdicts, [CREATED; 2]);
    }
}

#[test]
fn shadow_rules_count_and_change_nothing() {
    let mut shadow = rule(Action::Drop, 50);
    shadow.shadow = true;
    let got = decide(spec(Mode::First, vec![shadow, rule(Action::Link, 50)]), &[(0, 1), (1, 1), (2, 1)]);
    let linked = Verdict::Create { close: None, linked: true };
    assert_eq!((got.verdicts.as_slice(), got.shadow.as_slice()), (&[CREATED, linked, linked][..], &[2, 0][..]));
}

#[test]
fn the_strongest_verdict_wins() {
    use Action::{Close, Drop, DropAndUpdate, Link as LinkTo, LinkAndClose};
    let all = |actions: &[Action]| {
        let rules = actions.iter().map(|action| rule(*action, 50)).collect();
        let mut decider = Decider::new(spec(Mode::All, rules));
        rows(&mut decider, 0, &[(0, 1)]);
        let got = rows(&mut decider, 1, &[(1, 1)]);
        (got.verdicts[0], got.attaches.len(), got.links.len())
    };
    assert_eq!(all(&[LinkTo, DropAndUpdate, Drop]), (Verdict::Drop { rule: 2 }, 0, 0));
    assert_eq!(all(&[LinkTo, Close, DropAndUpdate, DropAndUpdate]), (Verdict::Attach { rule: 2 }, 2, 0));
    assert_eq!(all(&[LinkTo, LinkAndClose, Close]), (Verdict::Create { close: Some(2), linked: true }, 0, 2));
    assert_eq!(all(&[LinkTo, LinkAndClose]), (Verdict::Create { close: Some(1), linked: true }, 0, 2));
    assert_eq!(all(&[Close]), (Verdict::Create { close: Some(0), linked: false }, 0, 0));
}

#[test]
fn a_dropped_shard_is_forgotten() {
    for (scope, kept) in [(Scope::Partition, true), (Scope::Process, false)] {
        let mut decider = Decider::new(DecideSpec { scope, ..spec(Mode::First, vec![rule(Action::Drop, 50)]) });
        rows(&mut decider, 0, &[(0, 1)]);
        decider.drop_shard(1);
        let again = rows(&mut decider, 1, &[(1, 1)]).verdicts[0];
        assert_eq!(again == Verdict::Drop { rule: 0 }, kept);
        decider.drop_shard(0);
        assert_eq!(rows(&mut decider, 2, &[(2, 1)]).verdicts, [CREATED]);
    }
}

#[test]
fn absurd_times_and_short_inputs_do_no_harm() {
    let mut decider = Decider::new(spec(Mode::All, vec![rule(Action::Link, i64::MAX), rule(Action::Drop, 0), rule(Action::Drop, i64::MIN)]));
    for time in [i64::MIN, 0, i64::MAX, i64::MIN, -1, i64::MAX] {
        rows(&mut decider, 0, &[(time, 1), (time, 2)]);
    }
    let mut got = Decided::default();
    let short = [RuleInput { holds: Some(vec![]), fingerprints: Some(vec![]) }];
    decider.decide(&mut BatchInput { origins: &[at(1), at(2)], times_ms: &[5], rules: &short, values: &mut NoWhere }, &mut got);
    assert_eq!(got.verdicts, [CREATED]);
}

/// `where` that is true for the captured texts of a list.
struct Accepts<'a> {
    texts: &'a [Vec<u8>],
    wanted: &'a [u8],
    asked: usize,
}

impl WhereSource for Accepts<'_> {
    fn capture(&mut self, row: usize) -> Box<[u8]> {
        self.texts[row].clone().into()
    }

    fn holds(&mut self, _rule: usize, _row: usize, existing: &[u8]) -> bool {
        self.asked += 1;
        existing == self.wanted
    }
}

fn with_where(index_bytes_max: usize, texts: &[Vec<u8>], wanted: &[u8]) -> (Decided, usize) {
    let mut given = rule(Action::Link, 1_000_000);
    given.has_where = true;
    let mut decider = Decider::new(DecideSpec { index_bytes_max, ..spec(Mode::First, vec![given]) });
    let key = Fingerprinter::new([9; 16]).fingerprint(0, [Some(&b"a"[..])]);
    let origins: Vec<Origin> = (0..texts.len()).map(at).collect();
    let times: Vec<i64> = (0..texts.len() as i64).collect();
    let rules = [RuleInput { holds: Some((1..=texts.len()).map(|row| row == texts.len()).collect()), fingerprints: Some(vec![key; texts.len()]) }];
    let mut values = Accepts { texts, wanted, asked: 0 };
    let mut got = Decided::default();
    decider.decide(&mut BatchInput { origins: &origins, times_ms: &times, rules: &rules, values: &mut values }, &mut got);
    (got, values.asked)
}

#[test]
fn where_asks_in_order_of_arrival_and_not_for_ever() {
    let texts: Vec<Vec<u8>> = (0..WHERE_TRIES_MAX + 10).map(|row| row.to_string().into_bytes()).collect();
    let (got, asked) = with_where(16 << 20, &texts, b"37");
    assert_eq!((got.links.as_slice(), asked), (&[Link { row: texts.len() as u32 - 1, rule: 0, target: at(37) }][..], 38));
    let beyond = (WHERE_TRIES_MAX + 2).to_string().into_bytes();
    let (got, asked) = with_where(16 << 20, &texts, &beyond);
    assert_eq!((got.links.len(), asked, got.where_unknown), (0, WHERE_TRIES_MAX, 0));
}

#[test]
fn an_incident_whose_values_are_gone_does_not_match() {
    let texts: Vec<Vec<u8>> = (0..12).map(|row| vec![row as u8; CANDIDATE_BYTES_MAX + usize::from(row == 10)]).collect();
    let (got, asked) = with_where(800_000, &texts, &texts[8]);
    assert_eq!(got.links.len(), 1);
    assert!(got.where_unknown > 0 && asked < 9, "{} unknown, {asked} asked", got.where_unknown);
    let (got, _) = with_where(16 << 20, &texts, &texts[10]);
    assert_eq!((got.links.len(), got.where_unknown), (0, 1));
}
