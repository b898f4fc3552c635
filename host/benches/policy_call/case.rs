//! What is measured: one hook of one policy, or of several in a chain, called again and again.

use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::StatusCode;
use http_body_util::BodyExt;
use portcullis::client_body::ClientBody;
use portcullis::exchange::{Exchange, RequestHead, ResponseHead, ResponseSource};
use portcullis::head::Origin;
use portcullis::policy::body_passage::BodyPassage;
use portcullis::policy::chain::{self, RequestOutcome};
use portcullis::policy::verdict::{Attempt, AttemptVerdict, Summary};
use portcullis::policy::{PolicyUse, body_chain};
use portcullis::response_body::Content;
use portcullis::worker::{Revision, Worker};

use crate::stage::headers;
use crate::usage::usage;

pub(crate) const CALLS: usize = 100;
const BODY: Bytes = Bytes::from_static(&[b'x'; 1024]);

/// A hook, by its way into the chain.
#[derive(Clone, Copy)]
pub(crate) enum Hook {
    Request,
    RequestBody,
    Attempt,
    Response,
    ResponseBody,
    Log,
}

/// What a row of the table is.
pub(crate) struct Subject {
    pub(crate) name: &'static str,
    pub(crate) policy: &'static str,
    /// How many uses of it the route has.
    pub(crate) uses: usize,
    hook: Hook,
}

const fn subject(name: &'static str, policy: &'static str, uses: usize, hook: Hook) -> Subject {
    Subject {
        name,
        policy,
        uses,
        hook,
    }
}

/// `limit-redis` waits for a redis-server beside it, which is no CPU time of the thread.
pub(crate) const CASES: [Subject; 17] = [
    subject("fresh", "fresh", 1, Hook::Request),
    subject("pooled", "pooled", 1, Hook::Request),
    subject("fresh4", "fresh", 4, Hook::Request),
    subject("pooled4", "pooled", 4, Hook::Request),
    subject("request-body-fresh", "hooks-fresh", 1, Hook::RequestBody),
    subject("request-body-pooled", "hooks-pooled", 1, Hook::RequestBody),
    subject("attempt-fresh", "hooks-fresh", 1, Hook::Attempt),
    subject("attempt-pooled", "hooks-pooled", 1, Hook::Attempt),
    subject("response-fresh", "hooks-fresh", 1, Hook::Response),
    subject("response-pooled", "hooks-pooled", 1, Hook::Response),
    subject("response-body-fresh", "hooks-fresh", 1, Hook::ResponseBody),
    subject(
        "response-body-pooled",
        "hooks-pooled",
        1,
        Hook::ResponseBody,
    ),
    subject("log-fresh", "hooks-fresh", 1, Hook::Log),
    subject("log-pooled", "hooks-pooled", 1, Hook::Log),
    subject("limit-fresh", "limit-fresh", 1, Hook::Request),
    subject("limit-pooled", "limit-pooled", 1, Hook::Request),
    subject("limit-redis", "limit-redis", 1, Hook::Request),
];

/// A subject with what was measured of it.
pub(crate) struct Case {
    subject: &'static Subject,
    exchange: Option<Box<Exchange>>,
    micros: Vec<f64>,
    faults: u64,
}

impl Case {
    pub(crate) fn new(worker: &Worker, index: usize, subject: &'static Subject) -> Self {
        let revision = worker.revision();
        let routes = &revision.snapshot.routes;
        let route = routes.iter().find(|route| route.index == index);
        let request = RequestHead {
            method: http::Method::GET,
            target: "/".parse().expect("a path"),
            headers: headers(),
            accepts_trailers: false,
            upgrade: None,
        };
        let origin = Origin {
            address: ([127, 0, 0, 1], 1).into(),
            scheme: "http",
        };
        let route = route.expect("the route").clone();
        assert!(route.chain.iter().all(|member| has(member, subject.hook)));
        let mut exchange = Exchange::new("0".repeat(32), origin, route, request, Instant::now());
        exchange.response = Some(ResponseHead {
            source: ResponseSource::Upstream,
            status: StatusCode::OK,
            headers: headers(),
        });
        Self {
            subject,
            exchange: Some(Box::new(exchange)),
            micros: Vec::new(),
            faults: 0,
        }
    }

    pub(crate) async fn batch(&mut self, worker: &Worker) {
        let revision = worker.revision();
        let mut exchange = self.exchange.take().expect("it is put back");
        exchange.deadline = Instant::now() + Duration::from_secs(60);
        let (cpu, faults) = usage();
        for _ in 0..CALLS {
            exchange = call(&revision, self.subject.hook, exchange).await;
        }
        let (cpu_after, faults_after) = usage();
        self.exchange = Some(exchange);
        self.micros
            .push((cpu_after - cpu) as f64 / 1000.0 / CALLS as f64);
        self.faults += faults_after - faults;
    }

    pub(crate) fn clear(&mut self) {
        self.micros.clear();
        self.faults = 0;
    }

    pub(crate) fn print(&mut self) {
        self.micros.sort_by(f64::total_cmp);
        let at = |share: usize| self.micros[self.micros.len() * share / 100];
        let faults = self.faults as f64 / (self.micros.len() * CALLS) as f64;
        println!(
            "{:<20} {:>10.2} {:>10.2} {:>14.4}",
            self.subject.name,
            at(10),
            at(50),
            faults
        );
    }
}

fn has(member: &PolicyUse, hook: Hook) -> bool {
    use portcullis::wasm::Phase;
    member.policy.exports(match hook {
        Hook::Request => Phase::OnRequest,
        Hook::RequestBody => Phase::OnRequestBody,
        Hook::Attempt => Phase::OnAttempt,
        Hook::Response => Phase::OnResponse,
        Hook::ResponseBody => Phase::OnResponseBody,
        Hook::Log => Phase::OnLog,
    })
}

/// One call, with what the gateway does around it: a body's KiB is streamed through the policy to its end, and
/// `on-log` gets a copy of the exchange, which the gateway need not make.
async fn call(revision: &Rc<Revision>, hook: Hook, mut exchange: Box<Exchange>) -> Box<Exchange> {
    match hook {
        Hook::Request => {
            let (back, outcome) =
                chain::on_request(revision, exchange, &mut ClientBody::Empty).await;
            assert!(matches!(outcome, RequestOutcome::Next));
            exchange = back;
        }
        Hook::RequestBody => {
            let (body, passage) = (ClientBody::Replaced(BODY), BodyPassage::default());
            let body = body_chain::on_request(revision, &mut exchange, body, &passage).await;
            let body = body.unwrap_or_else(|_| panic!("no body"));
            assert_eq!(body.collect().await.expect("a body").to_bytes(), BODY);
        }
        Hook::Attempt => {
            let (back, verdict) = chain::on_attempt(revision, exchange, &attempt()).await;
            assert!(matches!(verdict, Ok(AttemptVerdict::Abstain)));
            exchange = back;
        }
        Hook::Response => {
            let (back, replaced) =
                chain::on_response(revision, exchange, &mut Content::Whole(BODY), 1).await;
            assert!(replaced.is_none());
            exchange = back;
        }
        Hook::ResponseBody => {
            let body = body_chain::on_response(revision, &mut exchange, Content::Whole(BODY), 1);
            let body = body.await.unwrap_or_else(|_| panic!("no body"));
            assert_eq!(body.collect().await.expect("a body").to_bytes(), BODY);
        }
        Hook::Log => chain::on_log(revision, Box::new(exchange.copy()), &summary()).await,
    }
    exchange
}

fn attempt() -> Attempt {
    Attempt {
        number: 1,
        upstream: Arc::from("none"),
        endpoint: Arc::from("127.0.0.1:1"),
        elapsed: Duration::from_millis(1),
        total: Duration::from_millis(1),
        remaining: Duration::from_secs(1),
        sent: true,
        idempotent: true,
        replayable: true,
        failure: None,
    }
}

fn summary() -> Summary {
    Summary {
        status: StatusCode::OK,
        attempts: 1,
        total: Duration::from_millis(1),
        request_bytes: 0,
        response_bytes: 1024,
        ended: "ok",
    }
}
