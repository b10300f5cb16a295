//! The poll thread under steering: partitions that the group gives are read only when
//! the owner is ready for them, and go only when nothing of them is in flight.

use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer};

use super::consumer::Poller;
use super::error::Error;
use super::log::Logging;
use super::member::{assign, rejoin, unassign};
use super::steering::Command;
use super::topics::Start;

/// How long what was read before a revocation may take to be handed on. What is not is read
/// again by the next owner. Far below the time after which the group gives up on a member.
const HAND_ON_WAIT: Duration = Duration::from_secs(15);

/// How long the brokers may take to tell what partitions a topic has.
const METADATA_WAIT: Duration = Duration::from_secs(5);

impl Poller {
    /// The group gave partitions: the owner prepares them.
    pub(super) fn assigned(&mut self, partitions: &[(String, i32)]) -> Result<(), Error> {
        let mut given = Vec::with_capacity(partitions.len());
        let mut anew = false;
        for (topic, partition) in partitions {
            match self.taker.topics.number_of(topic, *partition) {
                Some(number) => given.push(number),
                // One is enough, and brokers that hang are asked once: the group waits for an answer.
                None if anew => {}
                // A static member that comes back is given what it had. Where the topic was made anew with
                // fewer partitions meanwhile, to begin anew for the others would give the same again.
                None if is_absent(self.queue.consumer(), topic, *partition) => {
                    tracing::warn!(topic, partition, "the group gave a partition that the topic does not have (any more): left out");
                }
                None => {
                    anew = true;
                    if let Some(steering) = &mut self.steering {
                        steering.unknown(topic, *partition);
                    }
                }
            }
        }
        for number in &given {
            set(&mut self.owned, *number, true);
        }
        // An answer is due at once; reading begins later.
        assign(self.queue.consumer(), &[])?;
        self.taker.progress.set_assigned();
        tracing::info!(partitions = given.len(), "given by the group");
        if let Some(steering) = &mut self.steering {
            steering.assigned(&given);
        }
        Ok(())
    }

    /// The group takes partitions.
    pub(super) fn revoked(&mut self, partitions: &[(String, i32)], lost: bool) -> Result<(), Error> {
        let numbers: Vec<u16> = partitions.iter().filter_map(|(topic, partition)| self.taker.topics.number_of(topic, *partition)).collect();
        tracing::info!(partitions = numbers.len(), lost, "taken by the group");
        let began = Instant::now();
        let control = self.steering.as_mut().and_then(|steering| steering.revoking(&numbers, lost));
        let mut handed_on = false;
        if let Some(control) = control {
            self.taker.cutter.add_control(control);
            handed_on = self.hand_on_until(began + HAND_ON_WAIT)?;
        }
        if let Some(steering) = &mut self.steering {
            steering.settle(&numbers, handed_on);
        }
        if !handed_on {
            self.taker.cutter.forget_messages();
        }
        for number in &numbers {
            set(&mut self.owned, *number, false);
        }
        self.stop_reading(|number| numbers.contains(&number))?;
        tracing::info!(partitions = numbers.len(), handed_on, waited = ?began.elapsed(), "given back");
        Ok(())
    }

    /// Does what the owner wants.
    pub(super) fn obey(&mut self) -> Result<(), Error> {
        while let Some(command) = self.steering.as_mut().and_then(|steering| steering.next()) {
            match command {
                Command::Start(partitions) => self.start(&partitions)?,
                Command::Through(control) => self.taker.cutter.add_control(control),
                Command::Rejoin => self.rejoin()?,
                Command::Rewind { generation, then } => {
                    self.taker.cutter.forget_messages();
                    self.stop_reading(|_| true)?;
                    self.generation = generation;
                    self.taker.cutter.add_control(then);
                }
            }
            self.hand_on()?;
            if !self.deferred.is_empty() {
                break;
            }
        }
        Ok(())
    }

    fn start(&mut self, partitions: &[(u16, i64)]) -> Result<(), Error> {
        let mut list = Vec::with_capacity(partitions.len());
        let table = self.taker.topics.partitions().clone();
        for (number, offset) in partitions {
            let at = *number as usize;
            if !get(&self.owned, *number) || get(&self.taker.reading, *number) {
                continue;
            }
            set(&mut self.taker.reading, *number, true);
            if let Some(expected) = self.taker.expected.get_mut(at) {
                *expected = Some(*offset);
            }
            self.taker.progress.starts_at(*number, *offset);
            let (topic, partition) = table.name(*number);
            list.push((topic, partition, Start::Offset(*offset)));
        }
        self.taker.last_topic = None;
        if !list.is_empty() {
            assign(self.queue.consumer(), &list)?;
            self.records.started();
            tracing::info!(partitions = list.len(), "reading");
        }
        Ok(())
    }

    /// What is read is given back first, as always; then the client joins again by itself.
    fn rejoin(&mut self) -> Result<(), Error> {
        let names: Vec<&str> = self.taker.topics.topics().iter().map(|topic| topic.name.as_str()).collect();
        rejoin(self.queue.consumer(), &names)
    }

    fn stop_reading(&mut self, which: impl Fn(u16) -> bool) -> Result<(), Error> {
        let table = self.taker.topics.partitions().clone();
        let mut list = Vec::new();
        for (at, reading) in self.taker.reading.iter_mut().enumerate() {
            let Ok(number) = u16::try_from(at) else { break };
            if which(number) && std::mem::take(reading) {
                list.push(table.name(number));
            }
        }
        self.taker.last_topic = None;
        // Also an empty list is an answer, where one is due.
        unassign(self.queue.consumer(), &list)
    }
}

/// True if brokers know the topic, without this partition. One that has just come may not be known to all
/// brokers yet; whoever watches the topics sees it a little later.
fn is_absent(consumer: &BaseConsumer<Logging>, topic: &str, partition: i32) -> bool {
    let Ok(found) = consumer.fetch_metadata(Some(topic), METADATA_WAIT) else { return false };
    let known = found.topics().iter().find(|known| known.name() == topic && known.error().is_none());
    known.is_some_and(|known| known.partitions().iter().all(|known| known.id() != partition))
}

fn get(flags: &[bool], number: u16) -> bool {
    flags.get(number as usize).copied().unwrap_or(false)
}

fn set(flags: &mut [bool], number: u16, on: bool) {
    if let Some(flag) = flags.get_mut(number as usize) {
        *flag = on;
    }
}
