//! The scripts that keep places in Redis: what they are told and what they answer.

use crate::claim::{Claim, Outcome, StoreError};

/// Takes places.
pub fn acquire_script() -> String {
    without_comments(include_str!("acquire.lua"))
}

/// Gives them back.
pub fn release_script() -> String {
    without_comments(include_str!("release.lua"))
}

/// So that less is hashed and copied.
fn without_comments(text: &str) -> String {
    let lines = text.lines().map(str::trim_start);
    let mut script = String::new();
    for line in lines.filter(|line| !line.is_empty() && !line.starts_with("--")) {
        script.push_str(line);
        script.push('\n');
    }
    script
}

/// What `acquire.lua` is told beside its keys.
pub fn arguments(claims: &[Claim], token: u64, timeout_us: u64) -> Vec<String> {
    let mut arguments = vec![token_text(token), timeout_us.to_string()];
    for claim in claims {
        arguments.push(claim.bound.to_string());
        arguments.push(u8::from(claim.is_shadow).to_string());
    }
    arguments
}

/// A holder's name in the sets.
pub fn token_text(token: u64) -> String {
    format!("{token:016x}")
}

/// Reads the reply of `acquire.lua`.
pub fn outcome(claims: &[Claim], numbers: &[i64]) -> Result<Outcome, StoreError> {
    if numbers.len() != claims.len() {
        return Err(StoreError::Failed(
            "the script's reply has another shape".to_owned(),
        ));
    }
    Ok(Outcome::collect(claims, |i| numbers[i] == 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scripts_are_sent_without_comments() {
        for script in [acquire_script(), release_script()] {
            assert!(script.starts_with("local "), "{script}");
            assert!(!script.contains("--") && script.is_ascii());
        }
    }

    #[test]
    fn arguments_and_replies_are_in_the_order_of_the_limits() {
        let claim = |bound, is_shadow| Claim {
            key: String::new(),
            bound,
            is_shadow,
        };
        let claims = [claim(10, false), claim(2, true)];
        let told = arguments(&claims, 0xff, 60_000_000);
        assert_eq!(told, ["00000000000000ff", "60000000", "10", "0", "2", "1"]);
        let read = outcome(&claims, &[1, 0]).unwrap();
        assert!(read.passes() && read.holds(0) && !read.holds(1));
        assert!(outcome(&claims, &[1]).is_err());
    }
}
