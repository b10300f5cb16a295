//! Where an incident is on Kafka: its partition, its newest record, what comes after it.

use crate::cli::incident::{Which, id_of};
use crate::cli::saying::Pipe;
use crate::error::Error;
use crate::incident::id::IncidentId;
use crate::kafka::{At, Error as KafkaError, partition_of, read_to_end};

/// A record of `incident-state`.
pub struct StateRecord {
    /// The incident as JSON.
    pub value: Vec<u8>,
    /// The header `facts`.
    pub facts: Vec<u8>,
}

/// One incident's place.
pub struct Place {
    pub id: IncidentId,
    pub pipe: Pipe,
    partitions: i32,
    partition: i32,
}

impl Place {
    /// Finds it.
    pub fn find(which: &Which) -> Result<Place, Error> {
        let id = id_of(&which.id)?;
        let pipe = Pipe::find(&which.pipeline, &which.environment)?;
        let names = &pipe.names;
        let missing = |error: KafkaError| {
            let hint = matches!(error, KafkaError::NoSuchTopic { .. });
            let error = Error::from(error);
            if hint { error.hint("`catchment topics PIPELINE --create` makes it, `catchment run --role keeper` fills it") } else { error }
        };
        let topics = pipe.admin.existing(&[&names.incident_state, &names.incidents]).map_err(missing)?;
        let partitions = topics.iter().map(|topic| topic.partitions).min().unwrap_or(1);
        if topics.iter().any(|topic| topic.partitions != partitions) {
            return Err(Error::user(format!("`{}` and `{}` have different numbers of partitions", names.incidents, names.incident_state)));
        }
        Ok(Place { id, pipe, partitions, partition: partition_of(&id.hex(), partitions) })
    }

    /// Where the next state will stand at the earliest.
    pub fn end(&self) -> Result<i64, Error> {
        let ends = self.pipe.admin.offsets(&[(&self.pipe.names.incident_state, self.partition)], At::End)?;
        ends.first().copied().ok_or_else(|| Error::bug("one partition was asked for"))
    }

    /// The newest record from an offset on (`None`: from the oldest), and where to go on reading.
    pub fn newest(&self, from: Option<i64>) -> Result<(Option<StateRecord>, i64), Error> {
        let key = self.id.hex();
        let mut newest = None;
        let read = read_to_end(&self.pipe.reader, &self.pipe.names.incident_state, self.partition, from, |record| -> Result<(), Error> {
            if record.key() == Some(&key) {
                let mut facts = Vec::new();
                record.headers(|name, value| {
                    if name == "facts" {
                        facts = value.to_vec();
                    }
                });
                newest = (!record.payload().is_empty()).then(|| StateRecord { value: record.payload().to_vec(), facts });
            }
            Ok(())
        })?;
        Ok((newest, read.next))
    }

    /// Writes a fact about the incident.
    pub fn say(&self, fact: &[u8]) -> Result<(), Error> {
        self.pipe.write(&self.pipe.names.incidents, self.partitions, self.partition, &self.id.hex(), fact)
    }
}
