//! A running mock service: the handle that tests and the binary hold.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use crate::connection::{Connections, Upstream};
use crate::flaky::FlakyKeys;
use crate::record::{RecordedRequest, Recorder};
use crate::script::Scripts;
use crate::step::Step;
use crate::thread::{Ready, ServiceThread};

/// Why the answer of the thread is there.
const READY: &str = "the thread tells its address or its error before it ends";

/// How a mock service is set up.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where to listen. Default: 127.0.0.1, a free port.
    pub listen: SocketAddr,
    /// What the service calls itself in its answers. Default: `mock-service`.
    pub name: String,
    /// How many requests stay on record, the latest ones. Default: 10 000.
    pub kept_requests: usize,
    /// Whether the record has bodies. Default: yes.
    pub keeps_bodies: bool,
    /// Whether each request is printed as a line on stdout. Default: no.
    pub prints_requests: bool,
}

/// A running mock service. It stops when it is dropped.
///
/// It has a thread and a runtime of its own, so that it serves tests on any runtime or on none, and
/// its clock goes on when a test pauses its own.
#[derive(Debug)]
pub struct MockService {
    address: SocketAddr,
    upstream: Arc<Upstream>,
    thread: Option<ServiceThread>,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            name: "mock-service".to_owned(),
            kept_requests: 10_000,
            keeps_bodies: true,
            prints_requests: false,
        }
    }
}

impl MockService {
    /// Starts a service on a free port of 127.0.0.1.
    ///
    /// # Panics
    /// When that is impossible: a test could not go on.
    pub async fn start() -> Self {
        let started = Self::with(Settings::default()).await;
        started.expect("127.0.0.1 has a free port")
    }

    /// [`MockService::start`] for tests without a runtime.
    ///
    /// # Panics
    /// When it cannot start, and inside a runtime.
    pub fn start_blocking() -> Self {
        let (upstream, thread, ready) =
            spawn(Settings::default()).expect("a thread can be started");
        let address = ready.blocking_recv().expect(READY);
        let address = address.expect("127.0.0.1 has a free port");
        Self::running(address, upstream, thread)
    }

    /// Starts a service on this address, for example the one that another service has just left.
    pub async fn bind(listen: SocketAddr) -> io::Result<Self> {
        let settings = Settings {
            listen,
            ..Settings::default()
        };
        Self::with(settings).await
    }

    /// Starts a service with these settings. The error is the one of binding the address.
    pub async fn with(settings: Settings) -> io::Result<Self> {
        let (upstream, thread, ready) = spawn(settings)?;
        let address = ready.await.expect(READY)?;
        Ok(Self::running(address, upstream, thread))
    }

    /// Where the service listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// `http://` and the address, without a slash at the end.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The requests on record, oldest first, including those under way. Paths under `/_mock` are
    /// not recorded.
    pub fn requests(&self) -> Vec<RecordedRequest> {
        self.upstream.recorder.requests()
    }

    /// The requests on record to exactly this path, oldest first.
    pub fn requests_to(&self, path: &str) -> Vec<RecordedRequest> {
        let mut requests = self.requests();
        requests.retain(|request| request.path == path);
        requests
    }

    /// Returns once at least this many requests have arrived since the start or the last reset.
    pub async fn wait_for_requests(&self, count: u64) {
        self.upstream.recorder.wait_for(count).await;
    }

    /// Says how requests to exactly this path are answered: the steps are taken in order and the
    /// last one repeats. Replaces what was scripted before; no steps remove the script.
    ///
    /// # Panics
    /// When a step names a status that is not from 200 to 599.
    pub fn script(&self, path: &str, steps: Vec<Step>) {
        self.upstream.scripts.write(path, steps);
    }

    /// Forgets the recorded requests and the attempts on flaky paths; scripts stay.
    pub fn reset(&self) {
        self.upstream.reset();
    }

    /// How many connections were accepted so far.
    pub fn connections(&self) -> usize {
        self.upstream.connections.accepted()
    }

    /// How many connections are open now.
    pub fn open_connections(&self) -> usize {
        self.upstream.connections.open()
    }

    /// Returns once exactly this many connections are open.
    pub async fn wait_for_open_connections(&self, count: usize) {
        self.upstream.connections.wait_for_open(count).await;
    }

    /// Closes the listener and all connections at once; afterwards the port is free, for other
    /// tests as well. Who expects refused connections there, or wants to [`MockService::bind`] it
    /// again, starts on an address that no other test uses, such as 127.0.0.2.
    pub async fn stop(mut self) {
        if let Some(thread) = self.thread.take() {
            thread.stop().await;
        }
    }

    fn running(address: SocketAddr, upstream: Arc<Upstream>, thread: ServiceThread) -> Self {
        MockService {
            address,
            upstream,
            thread: Some(thread),
        }
    }
}

impl Drop for MockService {
    fn drop(&mut self) {
        if let Some(thread) = self.thread.take() {
            thread.stop_blocking();
        }
    }
}

fn spawn(settings: Settings) -> io::Result<(Arc<Upstream>, ServiceThread, Ready)> {
    let upstream = Arc::new(Upstream {
        recorder: Arc::new(Recorder::new(
            settings.kept_requests,
            settings.keeps_bodies,
            settings.prints_requests,
        )),
        name: settings.name,
        scripts: Scripts::default(),
        flaky_keys: FlakyKeys::default(),
        connections: Connections::default(),
    });
    let (thread, ready) = ServiceThread::spawn(settings.listen, Arc::clone(&upstream))?;
    Ok((upstream, thread, ready))
}
