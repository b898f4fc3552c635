//! The JSON Schema of a config: made when the component is asked, or kept in a file beside the crate.
//!
//! schemars and what it makes are about 28 kB of a component, which a gateway compiles at each load. A
//! policy that minds keeps its schema in `config.schema.json`, gives it to [`export!`](crate::export),
//! and has a test that finds out when it is stale:
//!
//! ```text
//! #[test]
//! fn the_schema_is_current() {
//!     portcullis_sdk::schema::check_file::<Config>(env!("CARGO_MANIFEST_DIR"));
//! }
//! ```

use schemars::{JsonSchema, generate::SchemaSettings};

/// The JSON Schema (draft 2020-12) of `C`.
pub fn generate<C: JsonSchema>() -> String {
    root::<C>().as_value().to_string()
}

/// Compares `config.schema.json` in the folder `crate_dir` with the schema of `C`; for tests.
///
/// With `UPDATE_SCHEMA` in the environment it writes the file first.
///
/// # Panics
///
/// If the file is another, or cannot be read or written.
#[cfg(not(target_arch = "wasm32"))]
pub fn check_file<C: JsonSchema>(crate_dir: &str) {
    let path = std::path::Path::new(crate_dir).join("config.schema.json");
    if std::env::var_os("UPDATE_SCHEMA").is_some() {
        std::fs::write(&path, readable::<C>()).expect("the folder of the crate can be written");
    }
    assert_current::<C>(&path);
}

#[cfg(not(target_arch = "wasm32"))]
fn assert_current<C: JsonSchema>(path: &std::path::Path) {
    assert!(
        std::fs::read_to_string(path).is_ok_and(|kept| kept == readable::<C>()),
        "{} is not the schema of the config: run `UPDATE_SCHEMA=1 cargo test schema` in guest-policies/",
        path.display()
    );
}

#[cfg(not(target_arch = "wasm32"))]
fn readable<C: JsonSchema>() -> String {
    format!("{:#}\n", root::<C>().as_value())
}

fn root<C: JsonSchema>() -> schemars::Schema {
    SchemaSettings::draft2020_12()
        .into_generator()
        .into_root_schema_for::<C>()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(JsonSchema)]
    #[schemars(deny_unknown_fields)]
    #[expect(dead_code, reason = "only described")]
    struct Config {
        /// What may pass.
        limit: u32,
    }

    #[test]
    fn schema_carries_doc_comments() {
        let schema = generate::<Config>();
        assert!(
            schema.contains(r#""description":"What may pass.""#),
            "{schema}"
        );
        assert!(
            schema.contains(r#""additionalProperties":false"#),
            "{schema}"
        );
    }

    #[test]
    #[should_panic(expected = "run `UPDATE_SCHEMA=1 cargo test schema`")]
    fn a_missing_file_names_the_command() {
        assert_current::<Config>(std::path::Path::new("/nonexistent"));
    }
}
