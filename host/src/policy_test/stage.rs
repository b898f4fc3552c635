//! One policy in its world, and exchanges that go through all of its hooks, as they would in the gateway.

use std::cell::RefCell;
use std::future::poll_fn;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, HOST};
use http::uri::PathAndQuery;
use http::{HeaderValue, Method};
use http_body::Body;

use super::case_file::{Request, Step, body_bytes};
use super::outcall_script::fields;
use super::seen::{Seen, SeenResponse, seen_request, seen_response, whole};
use super::terms::{NAME, Terms};
use super::upstream_script::UpstreamScript;
use super::world::World;
use crate::client_body::ClientBody;
use crate::error::GatewayError;
use crate::exchange::{Exchange, RequestHead, ResponseHead};
use crate::head::Origin;
use crate::policy::body_passage::BodyPassage;
use crate::policy::body_stage::{BodyStage, Hook, HookFailure};
use crate::policy::lent_body::has_no_body;
use crate::policy::verdict::{RequestVerdict, ResponseVerdict, Summary};
use crate::respond;
use crate::response_body::Content;
use crate::route::Route;
use crate::wasm::call::{self, Seat};
use crate::wasm::fault::Fault;
use crate::wasm::outcall_desk::Sender;
use crate::wasm::policy::Policy;
use crate::wasm::prepared::Prepared;
use crate::wasm::sandbox::SandboxPool;
use crate::wasm::stream_desk::StreamDesk;
use crate::wasm::{Phase, body_call};

/// Time for the whole exchange, where a request says nothing.
const DEADLINE: Duration = Duration::from_secs(15);
/// By the machine's clock: hooks have their own limit of time.
const PATIENCE: Duration = Duration::from_secs(3_600);

/// The policy of a case.
pub(super) struct Stage {
    pub(super) world: World,
    policy: Policy,
    pool: SandboxPool,
    faults: RefCell<Vec<String>>,
}

/// How far a request has come.
enum Passed {
    /// To the upstream.
    All,
    /// To the policy, which has answered or failed: its other hooks do not see the response.
    Policy(ResponseHead, Bytes),
}

impl Stage {
    /// A policy as it was made ready.
    pub(super) fn new(prepared: Arc<Prepared>, terms: &Terms, world: World) -> Rc<Self> {
        let capabilities = Arc::new(world.capabilities(terms));
        Rc::new(Self {
            policy: Policy::new(prepared, capabilities, terms.running()),
            pool: SandboxPool::default(),
            faults: RefCell::default(),
            world,
        })
    }

    /// The same with what the world has become meanwhile: new instances, the same keys.
    pub(super) fn reloaded(
        self: Rc<Self>,
        prepared: Arc<Prepared>,
        terms: &Terms,
    ) -> Option<Rc<Self>> {
        Some(Self::new(prepared, terms, Rc::into_inner(self)?.world))
    }

    /// Has a request come, and says what was seen of it.
    pub(super) async fn exchange(self: &Rc<Self>, step: &Step) -> Result<Seen, String> {
        self.world.outcalls.expect(&step.outcalls);
        self.faults.borrow_mut().clear();
        let default = Request::default();
        let request = step.request.as_ref().unwrap_or(&default);
        let mut exchange = started(request, step)?;
        let mut body = match body_bytes(request.body.as_ref(), request.json.as_ref()) {
            Some(bytes) => ClientBody::Replaced(bytes.into()),
            None => ClientBody::Empty,
        };
        let begun = self.world.clock.moved();
        let (back, passed) = self.on_request(exchange, &mut body).await;
        exchange = back;
        let mut script = UpstreamScript::new(step, request, begun);
        let mut upstream = None;
        let content = match passed {
            Passed::Policy(head, bytes) => {
                exchange.response = Some(head);
                Content::Whole(bytes)
            }
            Passed::All => {
                let body = self.through_request_body(&mut exchange, body).await;
                upstream = Some(seen_request(&exchange, &body));
                let (asked, content) = self.attempts(exchange, &mut script).await;
                let (answered, content) = self.on_response(asked, content).await;
                exchange = answered;
                self.through_response_body(&mut exchange, content).await
            }
        };
        let response = seen_response(&exchange, content).await;
        let exchange = self.on_log(exchange, &response, &script).await;
        Ok(Seen {
            exchange,
            response,
            upstream,
            attempts: script.made,
            retries: script.retries,
            faults: self.faults.take(),
        })
    }

    async fn on_request(
        &self,
        exchange: Box<Exchange>,
        body: &mut ClientBody,
    ) -> (Box<Exchange>, Passed) {
        if !self.policy.exports(Phase::OnRequest) {
            return (exchange, Passed::All);
        }
        let answer = |outcall| self.world.outcalls.answer(outcall);
        let (exchange, verdict) = call::on_request(&self.seat(&answer), exchange, body).await;
        let passed = match verdict {
            Ok(RequestVerdict::Next) => Passed::All,
            Ok(RequestVerdict::Respond(response)) => {
                let (head, bytes) = respond::local(NAME.into(), response);
                Passed::Policy(head, bytes)
            }
            Err(fault) => {
                let (head, bytes) = self.failed(Phase::OnRequest, fault);
                Passed::Policy(head, bytes)
            }
        };
        (exchange, passed)
    }

    /// Asks the upstream until there is something to deliver.
    async fn attempts(
        &self,
        mut exchange: Box<Exchange>,
        script: &mut UpstreamScript<'_>,
    ) -> (Box<Exchange>, Content) {
        loop {
            let ended = script.attempt(&exchange, &self.world.clock);
            exchange.response = ended.head;
            let mut plan = None;
            if self.policy.exports(Phase::OnAttempt) {
                let answer = |outcall| self.world.outcalls.answer(outcall);
                let seat = self.seat(&answer);
                let (back, verdict) = call::on_attempt(&seat, exchange, &ended.attempt).await;
                exchange = back;
                match verdict {
                    Ok(verdict) => plan = script.planned(verdict),
                    Err(fault) => {
                        let (head, bytes) = self.failed(Phase::OnAttempt, fault);
                        exchange.response = Some(head);
                        return (exchange, Content::Whole(bytes));
                    }
                }
            }
            let Some(plan) = plan else {
                let (head, bytes) = match (exchange.response.take(), ended.attempt.failure) {
                    (Some(head), _) => (head, ended.body),
                    (None, failure) => {
                        respond::error(&UpstreamScript::error(failure), &exchange.id)
                    }
                };
                exchange.response = Some(head);
                return (exchange, Content::Whole(bytes));
            };
            self.world.clock.advance(plan.delay);
            script.retries.push(plan);
        }
    }

    async fn on_response(
        &self,
        exchange: Box<Exchange>,
        mut content: Content,
    ) -> (Box<Exchange>, Content) {
        if !self.policy.exports(Phase::OnResponse) {
            return (exchange, content);
        }
        let answer = |outcall| self.world.outcalls.answer(outcall);
        let seat = self.seat(&answer);
        let (mut exchange, verdict) = call::on_response(&seat, exchange, &mut content).await;
        let (head, bytes) = match verdict {
            Ok(ResponseVerdict::Next) => return (exchange, content),
            Ok(ResponseVerdict::Replace(response)) => respond::local(NAME.into(), response),
            Err(fault) => self.failed(Phase::OnResponse, fault),
        };
        exchange.response = Some(head);
        (exchange, Content::Whole(bytes))
    }

    async fn through_request_body(
        self: &Rc<Self>,
        exchange: &mut Exchange,
        body: ClientBody,
    ) -> Vec<u8> {
        if !self.policy.exports(Phase::OnRequestBody) || body.is_end_stream() {
            return whole(body).await;
        }
        exchange.request.headers.remove(CONTENT_LENGTH);
        let hook = self.streaming(exchange, Phase::OnRequestBody).await;
        whole(BodyStage::new(body, hook, BodyPassage::default())).await
    }

    async fn through_response_body(
        self: &Rc<Self>,
        exchange: &mut Exchange,
        content: Content,
    ) -> Content {
        let phase = Phase::OnResponseBody;
        let has_none = has_no_body(exchange).is_some() || content.is_end_stream();
        if !self.policy.exports(phase) || has_none {
            return content;
        }
        if let Some(response) = &mut exchange.response {
            response.headers.remove(CONTENT_LENGTH);
        }
        let hook = self.streaming(exchange, phase).await;
        let stage = BodyStage::new(content, hook, BodyPassage::default());
        Content::Streamed(Box::new(stage))
    }

    /// A hook for a body that has its instance and waits for the body.
    async fn streaming(
        self: &Rc<Self>,
        exchange: &mut Exchange,
        phase: Phase,
    ) -> (Arc<StreamDesk>, Hook) {
        let desk = Arc::<StreamDesk>::default();
        let (stage, copy) = (self.clone(), Box::new(exchange.copy()));
        let at = desk.clone();
        let mut hook: Hook = Box::pin(async move {
            let answer = |outcall| stage.world.outcalls.answer(outcall);
            let seat = stage.seat(&answer);
            let (_, ended) = match phase {
                Phase::OnRequestBody => body_call::on_request_body(&seat, copy, &at).await,
                _ => body_call::on_response_body(&seat, copy, &at).await,
            };
            let error = stage.fault(phase, ended.err()?);
            Some(HookFailure { error, open: false })
        });
        poll_fn(|cx| match hook.as_mut().poll(cx) {
            std::task::Poll::Pending if !desk.is_ready() => std::task::Poll::Pending,
            _ => std::task::Poll::Ready(()),
        })
        .await;
        (desk, hook)
    }

    async fn on_log(
        &self,
        exchange: Box<Exchange>,
        response: &SeenResponse,
        script: &UpstreamScript<'_>,
    ) -> Box<Exchange> {
        if !self.policy.exports(Phase::OnLog) {
            return exchange;
        }
        let summary = Summary {
            status: response.status,
            attempts: script.made,
            total: self.world.clock.moved().saturating_sub(script.begun),
            request_bytes: script.request_bytes,
            response_bytes: response.body.len() as u64,
            ended: "ok",
        };
        let answer = |outcall| self.world.outcalls.answer(outcall);
        let (exchange, ended) = call::on_log(&self.seat(&answer), exchange, &summary).await;
        if let Err(fault) = ended {
            self.fault(Phase::OnLog, fault);
        }
        exchange
    }

    fn seat<'a>(
        &'a self,
        answer: &'a dyn Fn(
            crate::upstream::outcall::Outcall,
        ) -> crate::wasm::outcall_desk::Answered,
    ) -> Seat<'a> {
        Seat {
            policy: &self.policy,
            pool: &self.pool,
            worker: 0,
            sender: Sender::Stub(answer),
            series: None,
            place: 0,
        }
    }

    fn failed(&self, phase: Phase, fault: Fault) -> (ResponseHead, Bytes) {
        respond::error(&self.fault(phase, fault), "")
    }

    fn fault(&self, phase: Phase, fault: Fault) -> GatewayError {
        self.faults
            .borrow_mut()
            .push(format!("{}: {fault}", phase.name()));
        GatewayError::PolicyFailed {
            policy: NAME.into(),
            phase,
            fault,
        }
    }
}

fn started(request: &Request, step: &Step) -> Result<Box<Exchange>, String> {
    let wrong = |what: &str, text: &str| format!("request.{what}: {text:?} is none");
    let method = Method::from_bytes(request.method.as_bytes())
        .map_err(|_| wrong("method", &request.method))?;
    let target =
        PathAndQuery::try_from(request.path.as_str()).map_err(|_| wrong("path", &request.path))?;
    let client = (request.client.parse()).map_err(|_| wrong("client", &request.client))?;
    let mut headers = fields(&request.headers);
    let host = HeaderValue::from_str(&request.host).map_err(|_| wrong("host", &request.host))?;
    headers.insert(HOST, host);
    if let Some(body) = body_bytes(request.body.as_ref(), request.json.as_ref()) {
        headers.entry(CONTENT_LENGTH).or_insert(body.len().into());
    }
    let head = RequestHead {
        method,
        target,
        headers,
        accepts_trailers: false,
        upgrade: None,
    };
    let origin = Origin {
        address: std::net::SocketAddr::new(client, 50_000),
        scheme: match request.scheme.as_str() {
            "https" => "https",
            "http" => "http",
            other => return Err(wrong("scheme", other)),
        },
    };
    let route = Arc::new(Route {
        name: request.route.as_str().into(),
        ..Route::bare(NAME, PATIENCE)
    });
    let id = "0123456789abcdef0123456789abcdef".to_owned();
    let mut exchange = Box::new(Exchange::new(id, origin, route, head, Instant::now()));
    for (key, value) in &step.shared {
        let shared = exchange.edits.share(key.clone(), value.clone());
        shared.map_err(|error| format!("shared.{key}: {error}"))?;
    }
    exchange.commit(usize::from(u8::MAX));
    Ok(exchange)
}

/// The request's time, by the case's clock.
pub(super) fn deadline(request: &Request) -> Duration {
    request.deadline.map_or(DEADLINE, |deadline| deadline.get())
}
