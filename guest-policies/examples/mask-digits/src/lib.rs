//! Hides long numbers in texts as they pass to the client, such as those of cards and accounts.

use portcullis_sdk::{
    BodyReader, BodyWriter, ConfigProblem, Exchange, Manifest, OnResponseBody, Policy, Response,
    stream,
};
use schemars::JsonSchema;
use serde::Deserialize;

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Config {
    /// Digits that are shown of a number; all after them are hidden.
    shown: u32,
}

struct MaskDigits {
    shown: u32,
}

impl Policy for MaskDigits {
    type Config = Config;
    const MANIFEST: Manifest = Manifest {
        name: "mask-digits",
        version: env!("CARGO_PKG_VERSION"),
        description: "Hides long numbers in texts as they pass",
        annotations: &[],
    };

    fn configure(config: Config) -> Result<Self, Vec<ConfigProblem>> {
        Ok(Self {
            shown: config.shown,
        })
    }
}

impl OnResponseBody for MaskDigits {
    fn on_response_body(
        &self,
        _: &Exchange,
        response: &Response,
        input: &BodyReader,
        output: &BodyWriter,
    ) -> Result<(), String> {
        let kind = response.header("content-type").unwrap_or_default();
        if !kind.starts_with("text/") {
            stream::copy(input, output)?;
            return Ok(());
        }
        // Compressed bytes would not show what they say: better to break the answer off.
        if response.header("content-encoding").is_some() {
            return Err("a compressed text can't be looked at".to_owned());
        }
        // A number may go on in the next chunk.
        let mut seen = 0;
        stream::map(input, output, |chunk| self.mask(chunk, &mut seen))?;
        Ok(())
    }
}

impl MaskDigits {
    /// `seen`: the digits of a number that the bytes before have ended with.
    fn mask(&self, chunk: &mut [u8], seen: &mut u32) {
        for byte in chunk {
            if !byte.is_ascii_digit() {
                *seen = 0;
                continue;
            }
            *seen = seen.saturating_add(1);
            if *seen > self.shown {
                *byte = b'*';
            }
        }
    }
}

portcullis_sdk::export!(MaskDigits: on_response_body);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_hidden_wherever_chunks_end() {
        let policy = MaskDigits { shown: 2 };
        let mut seen = 0;
        let mut text = Vec::new();
        for chunk in ["a 12", "345 6", "7", "8b9", "10"] {
            let mut chunk = chunk.as_bytes().to_vec();
            policy.mask(&mut chunk, &mut seen);
            text.extend(chunk);
        }
        assert_eq!(text, b"a 12*** 67*b91*");
    }
}
