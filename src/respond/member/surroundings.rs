//! Owns what the runs of a member see of their surroundings: what files say, what people say over
//! that, and the versions of playbooks that runs are pinned to.

use std::sync::Arc;

use super::RECORD_OVERHEAD;
use super::control::TEXT_KEY;
use super::journal::CONTROL;
use super::work::Responder;
use crate::content::playbook_of;
use crate::error::Error;
use crate::kafka::TxnError;
use crate::respond::program::{Program, version_of};
use crate::respond::schedule::rate::Rates;

impl Responder<'_> {
    /// What people said, and what the pipeline says now.
    pub(super) fn controlled(&mut self) -> Result<(), Error> {
        let said = self.follower.changed();
        let reloaded = self.spec.next.has_changed();
        if said.is_none() && !reloaded {
            return Ok(());
        }
        if let Some(said) = said {
            self.controls = said;
        }
        if let Some(setup) = self.spec.next.current().filter(|_| reloaded) {
            self.coordinator.set_rates(Rates::new(setup.rates.clone()));
            self.coordinator.journal.origin.version.clone_from(&setup.version);
            self.setup = setup;
        }
        self.keep_texts()?;
        let mut world = self.setup.world.clone();
        for (version, text) in &self.controls.texts {
            if world.library.version(version).is_none()
                && let Some((head, playbook)) = playbook_of(text).filter(|_| version_of(text) == *version)
            {
                world.library.add_pinned(Arc::new(Program::compile(&head, &playbook, text)));
            }
        }
        self.controls.lay_over(&mut world.brakes);
        self.coordinator.set_world(Arc::new(world));
        let paused = self.controls.paused();
        tracing::info!(paused = paused.len(), "playbooks go by what people and files say now");
        self.coordinator.set_paused(paused);
        Ok(())
    }

    /// Writes the texts of playbooks that runs may be pinned to from now on, before any is.
    fn keep_texts(&mut self) -> Result<(), Error> {
        let missing: Vec<(&String, &String)> = self.setup.texts.iter().filter(|(version, _)| !self.controls.texts.contains_key(*version)).collect();
        if missing.is_empty() {
            return Ok(());
        }
        let (most, transactor) = (self.topics.record_bytes_max.saturating_sub(RECORD_OVERHEAD), &mut self.coordinator.journal.transactor);
        let mut write = || -> Result<(), TxnError> {
            transactor.begin()?;
            for (version, text) in &missing {
                if text.len() > most {
                    tracing::warn!(version, "a playbook is larger than the topic takes: after a change of its file its runs cannot go on");
                    continue;
                }
                transactor.produce(CONTROL, Some(0), format!("{TEXT_KEY}{version}").as_bytes(), text.as_bytes(), &[], 0)?;
            }
            transactor.commit()
        };
        if let Err(error) = write() {
            let _ = transactor.abort();
            return Err(error.into_error().into());
        }
        self.controls.texts.extend(missing.into_iter().map(|(version, text)| (version.clone(), text.as_str().into())));
        Ok(())
    }
}
