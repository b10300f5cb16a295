//! Which topics feed which source of a pipeline: names as they are, patterns by what exists.

use std::collections::BTreeSet;

use super::{Admin, Topic};
use crate::config::model::{self, Source};
use crate::kafka::error::Error;

/// The source (index) and the name of every topic that feeds one, in the order of the pipeline;
/// what a pattern finds in the order of names. A topic that is named belongs to the source that
/// names it, else to the first whose pattern matches. `except` (what the pipeline writes) and
/// Kafka's own topics are never found by a pattern: a pipeline that reads its own output would
/// never end.
pub fn source_topics(sources: &[Source], existing: &[String], except: &[&str]) -> Vec<(u16, String)> {
    let named = sources.iter().flat_map(|source| &source.topics).filter_map(|topic| match &topic.value {
        model::Topic::Name(name) => Some(name.as_str()),
        model::Topic::Pattern(_) => None,
    });
    let named: BTreeSet<&str> = named.collect();
    let mut taken: BTreeSet<&str> = BTreeSet::new();
    let mut found = Vec::new();
    for (number, source) in sources.iter().enumerate() {
        let number = u16::try_from(number).unwrap_or(u16::MAX);
        for topic in &source.topics {
            match &topic.value {
                model::Topic::Name(name) => {
                    if taken.insert(name) {
                        found.push((number, name.clone()));
                    }
                }
                model::Topic::Pattern(pattern) => {
                    // Reading the pipeline has reported patterns that are none.
                    let Ok(pattern) = regex::Regex::new(pattern) else { continue };
                    let free = |name: &&String| !name.starts_with("__") && !named.contains(name.as_str()) && !except.contains(&name.as_str());
                    let mut matching: Vec<&String> = existing.iter().filter(free).filter(|name| pattern.is_match(name)).collect();
                    matching.sort();
                    for name in matching {
                        if taken.insert(name) {
                            found.push((number, name.clone()));
                        }
                    }
                }
            }
        }
    }
    found
}

/// True if some source names its topics by a pattern.
pub fn has_patterns(sources: &[Source]) -> bool {
    sources.iter().flat_map(|source| &source.topics).any(|topic| matches!(topic.value, model::Topic::Pattern(_)))
}

impl Admin {
    /// The topics that feed these sources, as [`source_topics`] tells them, with the index of
    /// their source; `None` for one that is named and does not exist.
    ///
    /// # Errors
    /// What the brokers answered.
    pub fn sources(&self, sources: &[Source], except: &[&str]) -> Result<Vec<(u16, String, Option<Topic>)>, Error> {
        let existing = if has_patterns(sources) { self.topic_names()? } else { Vec::new() };
        let named = source_topics(sources, &existing, except);
        let names: Vec<&str> = named.iter().map(|(_, name)| name.as_str()).collect();
        let topics = self.topics(&names)?;
        Ok(named.into_iter().zip(topics).map(|((source, name), topic)| (source, name, topic)).collect())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::config::load_text;

    fn sources(text: &str) -> Vec<Source> {
        let yaml = format!("name: p\nsources:\n{text}\nclassify: {{ default: drop }}\n");
        let (pipeline, out) = load_text("pipeline.yaml", &yaml, std::path::Path::new("."));
        assert!(!out.has_errors(), "{}", out.plain());
        pipeline.unwrap().sources
    }

    #[test]
    fn patterns_find_what_nobody_names_and_nobody_writes() {
        let sources = sources("  - { name: a, topics: ['^.*'] }\n  - { name: b, topics: [logs.b, '^logs'] }");
        let existing = ["__consumer_offsets", "logs.a", "logs.b", "p.incidents", "other"].map(str::to_owned);
        let found = source_topics(&sources, &existing, &["p.incidents"]);
        let expected = [(0, "logs.a"), (0, "other"), (1, "logs.b")];
        assert_eq!(found, expected.map(|(source, name)| (source, name.to_owned())));
    }

    #[test]
    fn named_topics_need_not_exist() {
        let sources = sources("  - { name: a, topics: [x, y] }");
        assert!(!has_patterns(&sources));
        assert_eq!(source_topics(&sources, &[], &[]), [(0, "x".to_owned()), (0, "y".to_owned())]);
    }
}
