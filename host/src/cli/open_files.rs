//! How many files the process may have open: every connection is one.

use portcullis_config::ClientLimits;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Raises the soft limit to the hard one, as Go's runtime and HAProxy do: the soft one, mostly 1,024, is
/// kept low for programs that use `select`. Warns where even that is less than the config's `limits`.
pub(super) fn raise(limits: &ClientLimits) {
    let allowed = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: allowed.maximum,
        maximum: allowed.maximum,
    };
    if let Err(error) = setrlimit(Resource::Nofile, raised) {
        tracing::warn!("the limit of open files can't be raised: {error}");
    }
    let files = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    if files < limits.connections as u64 {
        tracing::warn!(
            "limits.connections is {}, but the process may have {files} files open: raise that (ulimit -Hn), or lower limits.connections",
            limits.connections
        );
    }
}
