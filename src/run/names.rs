//! Owns the names that a pipeline has on Kafka: its topics, its groups, its transactional ids.
//! All follow from the pipeline's name, so that every member, every command and every set of
//! ACLs (one prefix) arrives at the same ones.

use crate::config::model::Pipeline;

/// The topics, groups and transactional ids of a pipeline.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Names {
    /// The pipeline's name, which the others begin with.
    pub pipeline: String,
    /// Facts: `sink.topic` as the pipeline writes it, else `<pipeline>.incidents`.
    pub incidents: String,
    /// The newest version of every incident: `<pipeline>.incident-state`.
    pub incident_state: String,
    /// What rules remember, and the ledger: `<pipeline>.index`.
    pub index: String,
    /// What could not become an event or an incident: `<pipeline>.dead-letters`.
    pub dead_letters: String,
    /// The group of the members that read events: `<pipeline>.ingest`.
    pub ingest_group: String,
    /// The group of the members that keep incidents: `<pipeline>.keeper`.
    pub keeper_group: String,
    /// The group of the members that archive incidents: `<pipeline>.archive`.
    pub archive_group: String,
    /// The newest state of every run of a playbook: `<pipeline>.runs`.
    pub runs: String,
    /// What playbooks and people did, entry by entry: `<pipeline>.war-room`.
    pub war_room: String,
    /// What stands still, and in which mode the others are: `<pipeline>.respond-control`.
    pub respond_control: String,
    /// The group of the members that run playbooks: `<pipeline>.respond`.
    pub respond_group: String,
}

impl Names {
    /// The names of this pipeline.
    pub fn of(pipeline: &Pipeline) -> Names {
        let name = pipeline.name.value.as_str();
        Names::new(name, pipeline.sink.topic.as_deref())
    }

    /// The names of a pipeline called `name` whose `sink.topic` is this.
    pub fn new(name: &str, sink_topic: Option<&str>) -> Names {
        let with = |suffix: &str| format!("{name}.{suffix}");
        Names {
            pipeline: name.to_owned(),
            incidents: sink_topic.map_or_else(|| with("incidents"), str::to_owned),
            incident_state: with("incident-state"),
            index: with("index"),
            dead_letters: with("dead-letters"),
            ingest_group: with("ingest"),
            keeper_group: with("keeper"),
            archive_group: with("archive"),
            runs: with("runs"),
            war_room: with("war-room"),
            respond_control: with("respond-control"),
            respond_group: with("respond"),
        }
    }

    /// The transactional id of one member in one role: `<pipeline>-<role>-<instance>`. Two
    /// members with the same one fence each other, which is why `instance` must be unique.
    pub fn transactional_id(&self, role: &str, instance: &str) -> String {
        format!("{}-{role}-{instance}", self.pipeline)
    }

    /// The topics that every pipeline writes, in the order of the data's way.
    pub fn outputs(&self) -> [&str; 4] {
        [&self.incidents, &self.incident_state, &self.index, &self.dead_letters]
    }

    /// The topics of playbooks.
    pub fn of_playbooks(&self) -> [&str; 3] {
        [&self.runs, &self.war_room, &self.respond_control]
    }

    /// All topics that are the pipeline's own: it never reads them as events.
    pub fn own(&self) -> Vec<&str> {
        self.outputs().into_iter().chain(self.of_playbooks()).collect()
    }

    /// The topics that this pipeline needs.
    pub fn needed(&self, pipeline: &Pipeline) -> Vec<&str> {
        if pipeline.responds() { self.own() } else { self.outputs().to_vec() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_names_begin_with_the_pipeline() {
        let names = Names::new("soc", None);
        assert_eq!(names.outputs(), ["soc.incidents", "soc.incident-state", "soc.index", "soc.dead-letters"]);
        assert_eq!((names.ingest_group.as_str(), names.keeper_group.as_str()), ("soc.ingest", "soc.keeper"));
        assert_eq!(names.transactional_id("ingest", "node-1"), "soc-ingest-node-1");
        assert_eq!(names.of_playbooks(), ["soc.runs", "soc.war-room", "soc.respond-control"]);
        assert_eq!((names.respond_group.as_str(), names.own().len()), ("soc.respond", 7));
    }

    #[test]
    fn a_written_topic_is_taken_as_it_is() {
        let names = Names::new("soc", Some("incidents"));
        assert_eq!((names.incidents.as_str(), names.dead_letters.as_str()), ("incidents", "soc.dead-letters"));
    }
}
