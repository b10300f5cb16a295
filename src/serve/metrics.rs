//! Metrics in Prometheus form: counters of the ledger, sizes and horizons of the
//! indexes, lag, latency; and the port that shows them.

use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use axum::routing::get;
use metrics::{counter, gauge};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};

use crate::error::Error;
use crate::ingest::decide::Stats;
use crate::ingest::ledger::Counts;
use crate::ingest::plan::Plan;

use super::latency;

/// How often the exporter is told to count the samples that it keeps: by itself it does so only
/// when it is asked for its figures, and nobody may ever ask.
const UPKEEP: Duration = Duration::from_secs(5);

/// Upper bounds of the rarer histograms, in seconds.
const SECONDS_BUCKETS: [f64; 14] = [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 60.0];

/// Expressions that are shown, those first that cost most (count).
const EXPRESSIONS_SHOWN: usize = 16;

/// A port that shows metrics; it closes when this is dropped.
pub struct MetricsPort {
    address: SocketAddr,
    runtime: Option<tokio::runtime::Runtime>,
}

impl MetricsPort {
    /// Collects metrics and shows them at `http://address/metrics`. Port 0 = any free one.
    pub fn open(address: SocketAddr) -> Result<MetricsPort, Error> {
        if !address.ip().is_loopback() {
            return Err(Error::user(format!("metrics are shown on loopback addresses only, not on {}", address.ip()))
                .hint("use 127.0.0.1 and a proxy with authentication"));
        }
        let builder = PrometheusBuilder::new()
            .set_buckets_for_metric(Matcher::Full("catchment_keeper_restore_seconds".into()), &SECONDS_BUCKETS)
            .and_then(|builder| builder.set_buckets_for_metric(Matcher::Full("catchment_respond_commit_seconds".into()), &SECONDS_BUCKETS))
            .map_err(|error| Error::bug(error.to_string()))?;
        let handle = builder.install_recorder().map_err(|error| Error::bug(format!("metrics: {error}")))?;
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).thread_name("serve").enable_io().enable_time().build()?;
        let listener = runtime
            .block_on(tokio::net::TcpListener::bind(address))
            .map_err(|error| Error::environment(format!("cannot listen on {address}: {error}")).hint("is another instance running? try another port"))?;
        let address = listener.local_addr()?;
        let kept = handle.clone();
        runtime.spawn(async move {
            loop {
                tokio::time::sleep(UPKEEP).await;
                kept.run_upkeep();
            }
        });
        runtime.spawn(async move {
            if let Err(error) = axum::serve(listener, router(handle)).await {
                tracing::error!(%error, "the metrics port has closed");
            }
        });
        Ok(MetricsPort { address, runtime: Some(runtime) })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for MetricsPort {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

fn router(handle: PrometheusHandle) -> Router {
    let figures = move || {
        let mut text = handle.render();
        latency::show_all(&mut text);
        std::future::ready(text)
    };
    Router::new().route("/metrics", get(figures)).route("/healthz", get(|| std::future::ready("ok\n")))
}

/// Adds what became of one batch.
pub fn record_batch(counts: &Counts, plan: &Plan, source: u16) {
    let source = plan.sources.get(source as usize).map_or_else(String::new, |s| s.name.to_string());
    counter!("catchment_events_total", "source" => source.clone()).increment(counts.events);
    counter!("catchment_bytes_total", "source" => source).increment(counts.bytes);
    let named = |name: &'static str, label: &'static str, counts: &[u64], names: &mut dyn Iterator<Item = &str>| {
        for (count, of) in counts.iter().zip(names).filter(|(count, _)| **count > 0) {
            counter!(name, label => of.to_owned()).increment(*count);
        }
    };
    let mut types = plan.types.iter().map(|t| &**t);
    named("catchment_incidents_total", "type", &counts.incidents, &mut types);
    let filters = || plan.filters.iter().map(|f| &*f.name);
    named("catchment_filtered_total", "filter", &counts.filtered, &mut filters());
    named("catchment_filter_shadow_total", "filter", &counts.filter_shadow, &mut filters());
    let rules = || plan.rules.iter().map(|r| &*r.name);
    named("catchment_dropped_total", "rule", &counts.dropped, &mut rules());
    named("catchment_attached_total", "rule", &counts.attached, &mut rules());
    named("catchment_linked_total", "rule", &counts.linked, &mut rules());
    named("catchment_closed_total", "rule", &counts.closed, &mut rules());
    named("catchment_rule_shadow_total", "rule", &counts.rule_shadow, &mut rules());
    counter!("catchment_unclassified_total").increment(counts.unclassified);
    counter!("catchment_late_total").increment(counts.late);
    for (reason, count) in &counts.dead {
        counter!("catchment_dead_letters_total", "reason" => *reason).increment(*count);
    }
    for (field, count) in &counts.field_errors {
        counter!("catchment_field_errors_total", "field" => field.to_string()).increment(*count);
    }
}

/// Sets sizes and horizons of the indexes.
pub fn record_index(stats: &[(u16, Stats)], plan: &Plan) {
    gauge!("catchment_index_keys").set(stats.iter().map(|(_, s)| s.keys as f64).sum::<f64>());
    gauge!("catchment_index_bytes").set(stats.iter().map(|(_, s)| s.bytes as f64).sum::<f64>());
    gauge!("catchment_index_evicted").set(stats.iter().map(|(_, s)| s.evicted as f64).sum::<f64>());
    for (number, rule) in plan.rules.iter().enumerate().filter(|(number, _)| plan.decide.rules.get(*number).is_some_and(|r| r.matches)) {
        let shortest = stats.iter().filter_map(|(_, s)| s.horizon_ms.get(number)).min();
        if let Some(shortest) = shortest {
            gauge!("catchment_index_horizon_seconds", "rule" => rule.name.to_string()).set(*shortest as f64 / 1000.0);
        }
    }
}

/// Sets what the expressions that cost most have cost so far.
pub fn record_costs(plan: &Plan) {
    let mut costs: std::collections::BTreeMap<&str, u64> = std::collections::BTreeMap::new();
    for source in &plan.sources {
        for cost in source.phases().flat_map(|phase| phase.costs()) {
            *costs.entry(&cost.text).or_default() += cost.nanos();
        }
        for output in source.computed.fallbacks() {
            *costs.entry(&output.name).or_default() += output.counters.fallback_ns.load(std::sync::atomic::Ordering::Relaxed);
        }
    }
    let mut costs: Vec<(&str, u64)> = costs.into_iter().filter(|(_, nanos)| *nanos > 0).collect();
    costs.sort_by_key(|(_, nanos)| std::cmp::Reverse(*nanos));
    for (text, nanos) in costs.into_iter().take(EXPRESSIONS_SHOWN) {
        counter!("catchment_expression_nanoseconds_total", "expression" => text.to_owned()).absolute(nanos);
    }
}

/// Sets the events that wait to be read.
pub fn record_lag(messages: u64) {
    gauge!("catchment_lag_messages").set(messages as f64);
}
