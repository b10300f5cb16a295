//! Room: what playbooks do in the world: HTTP requests, mail, scripts of the user. Everything
//! here has a bound in time and size, and no value of an event becomes anything but data.

pub mod config;
pub mod guard;
pub mod http;
pub mod mail;
pub mod permit;
pub mod script;

use std::sync::Arc;

use serde_json::Value;

use super::limits::{OUTPUT_BYTES_MAX, mark, too_large, weight};
use super::run::{Call, Failure, FailureKind, Output};
use super::world::{External, OnUnknown, World};
use crate::archive::outputs::Outputs;
use config::Settings;

/// The ways out.
pub struct Outside {
    settings: Arc<Settings>,
    http: http::Client,
    outputs: Option<Outputs>,
}

impl Outside {
    /// From the settings of a pipeline's environment.
    ///
    /// # Errors
    /// Certificates that cannot be read.
    pub fn new(settings: Settings) -> Result<Outside, String> {
        let settings = Arc::new(settings);
        Ok(Outside { http: http::Client::new(settings.clone())?, settings, outputs: None })
    }

    /// Outputs that are too large for a run are stored there, instead of being cut.
    pub fn storing(self, outputs: Outputs) -> Outside {
        Outside { outputs: Some(outputs), ..self }
    }

    /// Declares what there is to a world.
    pub fn declare(settings: &Settings, world: &mut World) {
        let own = |name: &str, execution: bool, required: &[&str]| External {
            name: name.to_owned(),
            execution,
            on_unknown: OnUnknown::Ask,
            timeout_s: settings.http_timeout_s,
            required: required.iter().map(|name| (*name).to_owned()).collect(),
            ..External::default()
        };
        // A request changes the world as far as its method says so.
        world.externals.insert("http".to_owned(), External { by_method: true, on_unknown: settings.http_on_unknown, ..own("http", true, &["url"]) });
        world.externals.insert("http-get".to_owned(), External { on_unknown: OnUnknown::Retry, ..own("http-get", false, &["url"]) });
        world.externals.insert("send-mail".to_owned(), own("send-mail", false, &["to"]));
        for script in &settings.scripts {
            world.externals.insert(
                script.name.to_lowercase(),
                External {
                    name: script.name.clone(),
                    execution: script.execution,
                    on_unknown: script.on_unknown,
                    timeout_s: script.timeout_s,
                    ..External::default()
                },
            );
        }
    }

    /// Does a call.
    pub async fn call(&self, call: &Call) -> Result<Output, Failure> {
        let name = call.command.to_lowercase();
        let limit = if call.timeout_s > 0 { Some(std::time::Duration::from_secs(u64::from(call.timeout_s))) } else { None };
        let work = async {
            match name.as_str() {
                "http" | "http-get" => self.http.call(call).await,
                "send-mail" => mail::send(&self.settings, call).await,
                _ => match self.settings.scripts.iter().find(|script| script.name.eq_ignore_ascii_case(&call.command)) {
                    Some(script) => script::run(script, call).await,
                    None => Err(Failure::new(FailureKind::Unknown, format!("the command `{}` is not there", call.command))),
                },
            }
        };
        let done = match limit {
            Some(limit) => tokio::time::timeout(limit, work)
                .await
                .unwrap_or_else(|_| Err(Failure::passing(FailureKind::Timeout, format!("`{}` took longer than {} s", call.command, limit.as_secs())))),
            None => work.await,
        };
        match done {
            Ok(output) => Ok(self.bounded(output).await),
            Err(failure) => Err(failure),
        }
    }

    /// Puts values that are too large elsewhere.
    async fn bounded(&self, mut output: Output) -> Output {
        for key in too_large(&output.context) {
            if let Some(value) = output.context.get_mut(&key) {
                *value = self.stored(value).await;
            }
        }
        if weight(&output.contents, OUTPUT_BYTES_MAX) > OUTPUT_BYTES_MAX {
            output.contents = self.stored(&output.contents).await;
        }
        output
    }

    /// What stands in the place of a value: a mark, and where the value is if it could be stored.
    async fn stored(&self, value: &Value) -> Value {
        let mut mark = mark();
        let Some(outputs) = &self.outputs else { return mark };
        match (outputs.put(value).await, &mut mark) {
            (Ok(Value::Object(place)), Value::Object(mark)) => mark.extend(place),
            // What was done was done: the run goes on without the value.
            (Err(error), _) => tracing::warn!(%error, "a large output of a playbook could not be stored, and is cut"),
            _ => {}
        }
        mark
    }
}
