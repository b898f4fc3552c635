//! What the whole process knows of one upstream: its endpoints now, and how they fare.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use portcullis_config::{LoadBalancing, Upstream as UpstreamConfig};
use tokio::sync::watch;

use super::circuit::Circuit;
use super::endpoint_set::{EndpointSet, Member};
use super::endpoint_state::{self, EndpointState};
use super::moment::Moment;
use super::outlier;
use super::retry_budget::RetryBudget;

/// Shared by all workers; outlives configs that do not change the upstream.
#[derive(Debug)]
pub struct LiveUpstream {
    /// The name in the config.
    pub name: Arc<str>,
    /// The upstream as the config has it.
    pub config: UpstreamConfig,
    /// What outlives a change of the config, too.
    pub counts: Arc<Counts>,
    endpoints: ArcSwap<EndpointSet>,
    /// Where each endpoint of the config is: none as long as its name has not been looked up.
    places: Mutex<Vec<Place>>,
    changes: watch::Sender<()>,
    /// Held while an endpoint is ejected, so that two do not go where one may.
    ejecting: Mutex<()>,
}

/// Where one endpoint of the config is: each item makes an endpoint of its own, at the first of its
/// addresses that accepts.
type Place = Vec<Vec<SocketAddr>>;

/// Counts of one upstream.
#[derive(Debug, Default)]
pub struct Counts {
    /// What it is sent now.
    pub circuit: Circuit,
    /// What it may be sent again.
    pub retries: RetryBudget,
}

/// An endpoint has been ejected.
#[derive(Debug)]
pub struct Ejection {
    /// Why.
    pub suspicion: outlier::Suspicion,
    /// For how long.
    pub time: Duration,
}

impl LiveUpstream {
    /// An upstream as configured, with what is known of it and of the endpoints that `previous` had too.
    pub fn new(name: &str, config: &UpstreamConfig, previous: Option<&Self>) -> Self {
        // Where all are new there is nobody to take the load while they warm up.
        let since = previous.map_or(Moment::NEVER, |_| Moment::now());
        let places: Vec<Place> = (config.endpoints.iter())
            .map(|weighted| {
                let endpoint = &weighted.endpoint;
                match endpoint.host.parse::<IpAddr>() {
                    Ok(ip) => vec![vec![SocketAddr::new(ip, endpoint.port)]],
                    Err(_) => {
                        previous.map_or_else(Vec::new, |previous| previous.place_of(endpoint))
                    }
                }
            })
            .collect();
        let known = previous.map(Self::endpoints).unwrap_or_default();
        let endpoints = build_set(config, &places, &known, since);
        Self {
            name: name.into(),
            config: config.clone(),
            counts: previous
                .map(|previous| previous.counts.clone())
                .unwrap_or_default(),
            endpoints: ArcSwap::from_pointee(endpoints),
            places: Mutex::new(places),
            changes: watch::Sender::default(),
            ejecting: Mutex::default(),
        }
    }

    fn place_of(&self, endpoint: &portcullis_config::Endpoint) -> Place {
        let mut configured = self.config.endpoints.iter();
        let index = configured.position(|weighted| weighted.endpoint == *endpoint);
        let places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        index
            .and_then(|index| places.get(index).cloned())
            .unwrap_or_default()
    }

    /// The endpoint at `index` of the config has been found there.
    pub fn place(&self, index: usize, found: Place) {
        let mut places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(place) = places.get_mut(index).filter(|place| **place != found) else {
            return;
        };
        *place = found;
        let known = self.endpoints();
        let since = if known.members.is_empty() {
            Moment::NEVER
        } else {
            Moment::now()
        };
        let set = build_set(&self.config, &places, &known, since);
        let names: Vec<&str> = set
            .members
            .iter()
            .map(|member| &*member.state.name)
            .collect();
        tracing::info!(upstream = &*self.name, "endpoints: {}", names.join(", "));
        self.endpoints.store(Arc::new(set));
        self.changes.send_replace(());
    }

    /// Begins to serve: what a check said that this config does not have any more, is void.
    pub fn begin(&self) {
        let now = Moment::now();
        for member in &self.endpoints().members {
            if self.config.health_check.is_none() {
                member.state.set_healthy(true, now);
            }
            if self.config.outlier_detection.is_none() {
                member.state.outlier.readmit();
            }
        }
    }

    /// The endpoints as they are now.
    pub fn endpoints(&self) -> Arc<EndpointSet> {
        self.endpoints.load_full()
    }

    /// Whether `set` still holds.
    pub fn has(&self, set: &Arc<EndpointSet>) -> bool {
        Arc::ptr_eq(&self.endpoints.load(), set)
    }

    /// Whether the names have not led to any address yet.
    pub fn is_unresolved(&self) -> bool {
        self.endpoints.load().members.is_empty()
    }

    /// Tells when endpoints have come or gone.
    pub fn changes(&self) -> watch::Receiver<()> {
        self.changes.subscribe()
    }

    /// Counts an attempt at an endpoint; ejects that if it has failed too often, and if not too many
    /// others are ejected. Only where the config asks for it.
    pub fn report(&self, state: &EndpointState, succeeded: bool, now: Moment) -> Option<Ejection> {
        let settings = self.config.outlier_detection.as_ref()?;
        let suspicion = state.outlier.record(succeeded, settings, now)?;
        let _one_at_a_time = self.ejecting.lock().unwrap_or_else(PoisonError::into_inner);
        let set = self.endpoints();
        let states = set.members.iter().map(|member| &member.state);
        let ejected = states.filter(|state| state.outlier.is_ejected(now)).count();
        let may = outlier::may_eject(ejected, set.members.len(), settings.max_ejected_percent);
        (may && !state.outlier.is_ejected(now)).then(|| Ejection {
            suspicion,
            time: state.outlier.eject(settings, now),
        })
    }
}

fn build_set(
    config: &UpstreamConfig,
    places: &[Place],
    known: &EndpointSet,
    since: Moment,
) -> EndpointSet {
    let mut members: Vec<Member> = Vec::new();
    for (weighted, place) in config.endpoints.iter().zip(places) {
        for addresses in place {
            let name = endpoint_state::name(addresses);
            // Two names may lead to one address.
            if members.iter().any(|member| *member.state.name == *name) {
                continue;
            }
            let state = known
                .find(&name)
                .filter(|state| state.addresses == *addresses);
            let state = state.cloned();
            members.push(Member {
                endpoint: weighted.endpoint.clone(),
                weight: weighted.weight,
                state: state
                    .unwrap_or_else(|| Arc::new(EndpointState::new(addresses.clone(), since))),
            });
        }
    }
    let hashes = matches!(config.load_balancing, LoadBalancing::Hash(_));
    EndpointSet::new(members, hashes)
}
