//! Which files a config names, also one that is refused: a file that was missing may come.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::tree;

/// The files that `text`, a config in the directory `base`, names: secrets and components. What policies
/// are configured with is theirs and not looked into. Empty where the text cannot be read.
pub fn named_files(text: &str, base: &Path) -> BTreeSet<PathBuf> {
    let mut files = BTreeSet::new();
    if let Ok(tree) = tree::read(text) {
        collect(&tree.value, base, &mut files);
    }
    files
}

fn collect(value: &Value, base: &Path, files: &mut BTreeSet<PathBuf>) {
    match value {
        Value::Array(items) => items.iter().for_each(|item| collect(item, base, files)),
        Value::Object(entries) => {
            for (key, value) in entries {
                match (key.as_str(), value) {
                    ("config", _) => {}
                    // Its keys are names, whatever they say.
                    ("secrets", Value::Object(secrets)) => {
                        secrets
                            .values()
                            .for_each(|secret| collect(secret, base, files));
                    }
                    ("file", Value::String(path)) => drop(files.insert(base.join(path))),
                    ("component", Value::String(source)) => {
                        let path = source.strip_prefix("file:");
                        files.extend(path.map(|path| base.join(path)));
                    }
                    (_, value) => collect(value, base, files),
                }
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_and_components_are_named_and_a_policys_own_config_is_not_looked_into() {
        let text = "
redis: { main: { url: { file: redis-url } } }
secrets: { config: { file: key }, file: no-path, component: \"file:no-path\" }
policies:
  own: { component: \"file:/opt/x.wasm\" }
  near: { component: \"file:policies/y.wasm\" }
  limit: { component: builtin:rate-limit }
routes: [{ name: r, policies: [{ use: own, config: { file: not-ours } }], colour: { file: 3 } }]
";
        let files = named_files(text, Path::new("/etc/gw"));
        let expected = [
            "/etc/gw/key",
            "/etc/gw/policies/y.wasm",
            "/etc/gw/redis-url",
            "/opt/x.wasm",
        ];
        assert_eq!(files, expected.map(PathBuf::from).into());
        assert!(named_files("a: [", Path::new("/etc/gw")).is_empty());
    }
}
