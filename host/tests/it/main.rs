//! The gateway as its users meet it: real sockets, real components, a scripted upstream.

mod routing;
mod support;
