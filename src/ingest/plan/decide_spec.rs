//! What deciding needs to know of a pipeline.

use crate::config::limits;
use crate::config::model::{self, Pipeline};
use crate::ingest::decide::{self, DecideSpec};

/// What deciding needs to know.
pub fn of(pipeline: &Pipeline, where_key: u64) -> DecideSpec {
    let preprocess = &pipeline.preprocess;
    let rules = preprocess.rules.iter().map(|rule| decide::RuleSpec {
        name: rule.name.value.as_str().into(),
        rule_key: rule_key(rule),
        action: match rule.action {
            model::Action::Drop => decide::Action::Drop,
            model::Action::DropAndUpdate => decide::Action::DropAndUpdate,
            model::Action::Link => decide::Action::Link,
            model::Action::LinkAndClose => decide::Action::LinkAndClose,
            model::Action::Close => decide::Action::Close,
        },
        matches: !rule.matches.is_empty(),
        has_where: rule.where_.is_some(),
        within_ms: rule.within_ms.unwrap_or_default(),
        link_to: match rule.link_to {
            model::LinkTo::Oldest => decide::LinkTo::Oldest,
            model::LinkTo::Newest => decide::LinkTo::Newest,
        },
        open_only: rule.open_only,
        shadow: rule.mode == model::RuleMode::Shadow,
    });
    DecideSpec {
        mode: match preprocess.mode {
            model::PreprocessMode::First => decide::Mode::First,
            model::PreprocessMode::All => decide::Mode::All,
        },
        rules: rules.collect(),
        scope: match preprocess.scope {
            model::Scope::Partition => decide::Scope::Partition,
            model::Scope::Process => decide::Scope::Process,
        },
        groups: Vec::new(),
        where_key,
        at_least_once: false,
        late_max_ms: pipeline.clock.late_max_ms.saturating_add(pipeline.clock.max_skew_ms),
        index_bytes_max: limits::MemoryShares::of(limits::MEMORY_DEFAULT).index as usize,
    }
}

/// Indexes of rules that remember other incidents are other indexes.
fn rule_key(rule: &model::Rule) -> u64 {
    // No field has such a name.
    let open_only = rule.open_only.then_some("\0open");
    decide::rule_key(&rule.name.value, rule.matches.iter().map(|field| field.value.as_str()).chain(open_only), rule.nulls == model::Nulls::Match)
}
