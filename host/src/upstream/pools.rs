//! One worker's connections to an upstream, and its choice of an endpoint.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use portcullis_config::LoadBalancing;

use super::Upstream;
use super::balance::least_request;
use super::balance::round_robin::RoundRobin;
use super::balance::shares::{self, Candidate, Terms};
use super::connection::{EndpointPool, Transport};
use super::endpoint_set::{EndpointSet, Member};
use super::live_upstream::LiveUpstream;
use super::moment::Moment;
use crate::policy::verdict::EndpointChoice;
use crate::telemetry::upstream::UpstreamSeries;

/// One worker's connections to an upstream.
pub struct UpstreamPools {
    live: Arc<LiveUpstream>,
    transport: Transport,
    worker: usize,
    series: Arc<UpstreamSeries>,
    members: RefCell<Members>,
}

/// What the worker keeps for the upstream's present endpoints.
struct Members {
    set: Arc<EndpointSet>,
    /// In the order of the set.
    pools: Vec<Rc<EndpointPool>>,
    turns: RoundRobin,
    /// Room for the shares of one choice.
    shares: Vec<u32>,
}

/// What an attempt wants of its endpoint.
pub struct Wish<'a> {
    /// The last attempt's one, or another.
    pub choice: EndpointChoice,
    /// Where the last attempt went.
    pub last: Option<&'a Rc<EndpointPool>>,
    /// The hash of the request's key, where the upstream hashes and the request has one.
    pub key: Option<u64>,
    /// The present.
    pub now: Moment,
}

impl UpstreamPools {
    /// Pools of the upstream's endpoints. Those of `previous`, the same upstream of an older config,
    /// are taken over where nothing about their connections changed.
    pub fn new(upstream: &Upstream, worker: usize, previous: Option<&Self>) -> Self {
        let (live, transport) = (upstream.live.clone(), upstream.transport.clone());
        let same = previous.filter(|previous| {
            connect_alike(&previous.live, &live)
                && previous.transport.identity() == transport.identity()
        });
        let kept = same.map(|previous| previous.members.borrow());
        let kept = kept.as_ref().map_or(&[][..], |members| &members.pools);
        let series = upstream.series.clone();
        let members = RefCell::new(Members::new(&live, &transport, &series, worker, kept));
        Self {
            live,
            transport,
            worker,
            series,
            members,
        }
    }

    /// The endpoint for an attempt. `None`: none may be used.
    pub fn pick(&self, wish: &Wish) -> Option<Rc<EndpointPool>> {
        if let (EndpointChoice::Same, Some(last)) = (wish.choice, wish.last) {
            return Some(last.clone());
        }
        let members = &mut *self.members.borrow_mut();
        if !self.live.has(&members.set) {
            let (live, transport) = (&self.live, &self.transport);
            *members = Members::new(live, transport, &self.series, self.worker, &members.pools);
        }
        let index = members.choose(&self.live, wish)?;
        members.pools.get(index).cloned()
    }

    /// The name of the upstream.
    pub fn name(&self) -> &str {
        &self.live.name
    }

    /// Closes connections that have been idle too long.
    pub fn close_idle(&self) {
        for pool in &self.members.borrow().pools {
            pool.close_idle();
        }
    }
}

/// Whether connections of the one can serve the other.
fn connect_alike(a: &LiveUpstream, b: &LiveUpstream) -> bool {
    let (a, b) = (&a.config, &b.config);
    a.max_idle_connections == b.max_idle_connections && a.timeouts.idle == b.timeouts.idle
}

impl Members {
    fn new(
        live: &LiveUpstream,
        transport: &Transport,
        series: &Arc<UpstreamSeries>,
        worker: usize,
        kept: &[Rc<EndpointPool>],
    ) -> Self {
        let set = live.endpoints();
        let pool = |member: &Member| {
            let is_same = |pool: &&Rc<EndpointPool>| {
                Arc::ptr_eq(&pool.state, &member.state) && pool.endpoint == member.endpoint
            };
            let kept = kept.iter().find(is_same).cloned();
            kept.unwrap_or_else(|| {
                Rc::new(EndpointPool::new(
                    member.endpoint.clone(),
                    (member.state.clone(), live.counts.clone()),
                    transport.clone(),
                    series.clone(),
                    live.config.max_idle_connections,
                    live.config.timeouts.idle,
                ))
            })
        };
        let mut turns = RoundRobin::default();
        // Workers start at different endpoints.
        let weights: Vec<u32> = set.members.iter().map(|member| member.weight).collect();
        for _ in 0..worker {
            turns.pick(&weights);
        }
        Self {
            pools: set.members.iter().map(pool).collect(),
            set,
            turns,
            shares: Vec::new(),
        }
    }

    fn choose(&mut self, live: &LiveUpstream, wish: &Wish) -> Option<usize> {
        let terms = Terms {
            warm_up: live.config.warm_up,
            panic_threshold: live.config.panic_threshold,
        };
        if self.pools.len() == 1 && terms.panic_threshold > 0 {
            return Some(0);
        }
        let candidates = self.set.members.iter().map(|member| Candidate {
            weight: member.weight,
            is_available: member.state.is_available(wish.now),
            since: member.state.since(),
        });
        shares::write(&mut self.shares, candidates, terms, wish.now);
        if let (EndpointChoice::Other, Some(last)) = (wish.choice, wish.last)
            && let Some(last) = self.pools.iter().position(|pool| Rc::ptr_eq(pool, last))
        {
            shares::exclude(&mut self.shares, last);
        }
        match (&live.config.load_balancing, wish.key) {
            (LoadBalancing::LeastRequest, _) => {
                let in_flight = |index: usize| self.pools[index].state.in_flight();
                least_request::pick(&self.shares, in_flight, rand::random())
            }
            (LoadBalancing::Hash(_), Some(key)) => self.set.ring.pick(&self.shares, key),
            (LoadBalancing::Hash(_) | LoadBalancing::RoundRobin, _) => {
                self.turns.pick(&self.shares)
            }
        }
    }
}
