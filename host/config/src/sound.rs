//! What the problems of a refused config leave to be checked: its policies' components and configs.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde::Deserialize as _;
use serde_json::Value;

use crate::error::Problem;
use crate::file::{GatewayFile, PolicyFile, PolicyUseFile};
use crate::part::Part;
use crate::path::{Lines, join_key};
use crate::policy::{Capability, Grants, Isolation, Limits, Policy};
use crate::units::SizeText;
use crate::validate::component_source;

/// The policies and uses of a refused config that can be checked on. Empty if nothing could be read.
///
/// None of it is fit to run by: what a problem leaves in doubt is as generous as can be, so that no
/// problem follows from another.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Sound {
    /// Those whose component is named rightly, by name. Their stubs are all capabilities that the file
    /// names for them, granted or stubbed, and nothing is granted.
    pub policies: BTreeMap<String, Policy>,
    /// Uses without a problem of their own, in the order of the file.
    pub uses: Vec<SoundUse>,
    /// Where each part of the file is written.
    pub lines: Lines,
}

/// One use of a policy in a refused config.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SoundUse {
    /// Index of its route in the file.
    pub route: usize,
    /// Its index in the route's policies.
    pub place: usize,
    /// The policy's name, which may be in [`Sound::policies`] or not.
    pub policy: String,
    /// For the policy to read.
    pub config: Value,
}

impl Sound {
    /// What `problems`, which are all of the text behind `value`, leave of it. Relative paths of
    /// components start from `base`.
    pub(crate) fn find(value: &Value, problems: &[Problem], lines: Lines, base: &Path) -> Self {
        let Ok(file) = GatewayFile::deserialize(value) else {
            return Self::default();
        };
        let search = Search { problems, base };
        Self {
            policies: search.policies(&file),
            uses: search.uses(file),
            lines,
        }
    }
}

struct Search<'a> {
    problems: &'a [Problem],
    base: &'a Path,
}

impl Search<'_> {
    fn policies(&self, file: &GatewayFile) -> BTreeMap<String, Policy> {
        let policies = read(&file.policies).into_iter().flatten();
        policies
            .filter_map(|(name, part)| {
                let policy = self.policy(&join_key("policies", &name.0), read(part)?)?;
                Some((name.0.clone(), policy))
            })
            .collect()
    }

    fn policy(&self, path: &str, file: &PolicyFile) -> Option<Policy> {
        Some(Policy {
            component: component_source(read(&file.component)?, self.base).ok()?,
            isolation: Isolation::default(),
            grants: Grants::default(),
            stub: self
                .capabilities(path, file)
                .unwrap_or_else(|| Capability::ALL.into()),
            limits: Limits {
                memory: self.memory(path, file).unwrap_or(u64::MAX),
                ..Limits::default()
            },
            fault_circuit: None,
        })
    }

    /// The capabilities that are granted or stubbed, however well. `None`: that can't be told.
    fn capabilities(&self, path: &str, file: &PolicyFile) -> Option<BTreeSet<Capability>> {
        const KNOWN: &[&str] = &[
            "isolation",
            "fault_circuit",
            "limits",
            "stub",
            "grants.kv",
            "grants.redis",
            "grants.metrics",
            "grants.upstreams",
            "grants.secrets",
            "grants.outcall",
        ];
        if self.are_beside(path, KNOWN) {
            return None;
        }
        let grants = read(&file.grants)?;
        let granted = [
            (Capability::Kv, grants.kv.is_some()),
            (Capability::Redis, grants.redis.is_some()),
            (Capability::Metrics, grants.metrics.is_some()),
            (Capability::Secrets, grants.secrets.is_some()),
            (Capability::Outcall, grants.outcall.is_some()),
        ];
        // A grant without a value is read as none.
        let has_problem = |capability| self.are_at(&format!("{path}.grants.{capability}"));
        let granted = granted
            .into_iter()
            .filter(|(capability, is_granted)| *is_granted || has_problem(*capability))
            .map(|(capability, _)| capability);
        Some(granted.chain(read(&file.stub)?.iter().copied()).collect())
    }

    /// The memory in bytes that the policy may have. `None`: that can't be told.
    fn memory(&self, path: &str, file: &PolicyFile) -> Option<u64> {
        if self.are_beside(
            path,
            &[
                "isolation",
                "fault_circuit",
                "stub",
                "grants",
                "limits.time",
                "limits.table_elements",
                "limits.handles",
                "limits.body",
                "limits.host_calls",
                "limits.log_lines",
                "limits.metric_series",
                "limits.outcalls",
                "limits.outcall_body",
            ],
        ) {
            return None;
        }
        let SizeText(bytes) = read(&read(&file.limits)?.memory)?;
        Some(*bytes)
    }

    fn uses(&self, file: GatewayFile) -> Vec<SoundUse> {
        let mut sound = Vec::new();
        for (route, part) in take(file.routes).into_iter().flatten().enumerate() {
            let uses = take(part).and_then(|file| take(file.policies));
            for (place, part) in uses.into_iter().flatten().enumerate() {
                let path = format!("routes[{route}].policies[{place}]");
                // The policy does not ask what becomes of a request when it fails.
                if self.are_beside(&path, &["on_failure"]) {
                    continue;
                }
                if let Some(PolicyUseFile { policy, config, .. }) = take(part)
                    && let Some(policy) = take(policy)
                {
                    sound.push(SoundUse {
                        route,
                        place,
                        policy,
                        config,
                    });
                }
            }
        }
        sound
    }

    fn are_at(&self, path: &str) -> bool {
        self.problems.iter().any(|problem| problem.path == path)
    }

    /// Whether there are problems within the mapping at `path`, beside those at and within its `keys`.
    fn are_beside(&self, path: &str, keys: &[&str]) -> bool {
        let is_of = |rest: &str, key: &str| rest == key || below(rest, key).is_some();
        self.problems
            .iter()
            .filter_map(|problem| below(&problem.path, path))
            .map(|rest| rest.trim_start_matches('.'))
            .any(|rest| !keys.iter().any(|key| is_of(rest, key)))
    }
}

/// What follows `path` in a path within it.
fn below<'a>(inner: &'a str, path: &str) -> Option<&'a str> {
    inner
        .strip_prefix(path)
        .filter(|rest| rest.starts_with(['.', '[']))
}

fn read<T>(part: &Part<T>) -> Option<&T> {
    match part {
        Part::Read(read) => Some(read),
        Part::Broken(_) => None,
    }
}

fn take<T>(part: Part<T>) -> Option<T> {
    match part {
        Part::Read(read) => Some(read),
        Part::Broken(_) => None,
    }
}
