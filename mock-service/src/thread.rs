//! The thread of a mock service: binds, serves on a runtime of its own, stops on request.

use std::convert::Infallible;
use std::io;
use std::net::{Shutdown, SocketAddr};
use std::panic::resume_unwind;
use std::sync::Arc;
use std::thread::{self, JoinHandle};

use socket2::SockRef;
use tokio::net::TcpListener;
use tokio::runtime::{self, Runtime};
use tokio::sync::oneshot;

use crate::connection::{Upstream, accept};

/// Gives the address once the thread listens, or the reason why it does not.
pub(crate) type Ready = oneshot::Receiver<io::Result<SocketAddr>>;

/// A running thread.
#[derive(Debug)]
pub(crate) struct ServiceThread {
    /// Dropping it tells the thread to stop.
    keep_running: oneshot::Sender<Infallible>,
    /// Resolves, with an error, when the thread has closed everything.
    stopped: oneshot::Receiver<Infallible>,
    handle: JoinHandle<()>,
}

impl ServiceThread {
    /// Starts a thread that listens on this address.
    pub(crate) fn spawn(listen: SocketAddr, upstream: Arc<Upstream>) -> io::Result<(Self, Ready)> {
        let (tell_ready, ready) = oneshot::channel();
        let (keep_running, stop) = oneshot::channel();
        let (tell_stopped, stopped) = oneshot::channel::<Infallible>();
        let handle = thread::Builder::new()
            .name("mock-service".to_owned())
            .spawn(move || {
                match listening(listen) {
                    Ok((runtime, listener, address)) => {
                        // Nobody waits for the address: then `stop` resolves at once.
                        let _ = tell_ready.send(Ok(address));
                        serve(&runtime, listener, upstream, stop);
                    }
                    Err(error) => {
                        // Nobody waits: nobody to tell.
                        let _ = tell_ready.send(Err(error));
                    }
                }
                // Only here, after the runtime has closed the connections.
                drop(tell_stopped);
            })?;
        let thread = ServiceThread {
            keep_running,
            stopped,
            handle,
        };
        Ok((thread, ready))
    }

    /// Closes everything at once.
    pub(crate) async fn stop(self) {
        drop(self.keep_running);
        // Always an error, since nothing can be sent: it only tells that the thread is done.
        let _ = self.stopped.await;
        join(self.handle);
    }

    /// [`ServiceThread::stop`], which takes so little time that tests may block for it.
    pub(crate) fn stop_blocking(self) {
        drop(self.keep_running);
        join(self.handle);
    }
}

fn listening(listen: SocketAddr) -> io::Result<(Runtime, TcpListener, SocketAddr)> {
    let runtime = runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let listener = runtime.block_on(TcpListener::bind(listen))?;
    let address = listener.local_addr()?;
    Ok((runtime, listener, address))
}

fn serve(
    runtime: &Runtime,
    listener: TcpListener,
    upstream: Arc<Upstream>,
    stop: oneshot::Receiver<Infallible>,
) {
    runtime.block_on(async {
        tokio::select! {
            _ = stop => {}
            never = accept(&listener, upstream) => match never {},
        }
    });
    // Closing is not enough: while a test beside this one starts a process, the child holds a copy
    // of the socket between fork and exec, and the port would go on accepting for that long.
    // Fails only when the socket has failed, and then it does not accept either.
    let _ = SockRef::from(&listener).shutdown(Shutdown::Both);
}

/// Waits for the end of the thread; its panic becomes the panic of the test.
fn join(handle: JoinHandle<()>) {
    if let Err(panic) = handle.join()
        && !thread::panicking()
    {
        resume_unwind(panic);
    }
}
