//! The store of policies' versions.

use std::path::Path;

use super::{Checks, present};
use crate::file::PolicyStoreFile;
use crate::part::Part;
use crate::policy_store::PolicyStore;

pub(super) fn policy_store(
    part: Part<PolicyStoreFile>,
    base: &Path,
    checks: &mut Checks,
) -> Option<PolicyStore> {
    let file = checks.read("policy_store", part)?;
    let directory = checks.read("policy_store.directory", file.directory);
    let watch = file
        .watch
        .map(|part| checks.read("policy_store.watch", part));
    let keep = checks.read("policy_store.keep", file.keep);
    let directory = base.join(directory?);
    let watch = present(watch)?.map(|watch| base.join(watch));
    if watch
        .as_ref()
        .is_some_and(|watch| watch.starts_with(&directory) || directory.starts_with(watch))
    {
        checks.add(
            "policy_store.watch",
            "must lie apart from policy_store.directory, which is the gateway's own",
        );
        return None;
    }
    Some(PolicyStore {
        directory,
        watch,
        keep: usize::from(keep?),
    })
}
