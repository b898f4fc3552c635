//! Hashes of passwords as htpasswd files have them, and how a password is checked against one.

use argon2::Argon2;
use argon2::password_hash::{Error, PasswordVerifier};
use base64ct::{Base64Bcrypt, Encoding};
use sha_crypt::ShaCrypt;

/// bcrypt looks at no more bytes of a password, so that a longer one would match its beginning (its NUL included).
const BCRYPT_MAX: usize = 72;
/// 2^14 rounds take seconds.
const BCRYPT_COSTS: std::ops::RangeInclusive<u32> = 4..=14;
/// Rounds of sha-crypt.
const SHA_CRYPT_ROUNDS: u32 = 1_000_000;

/// Whether the password is the one of the hash. It takes as long for a wrong one as for the right one.
///
/// # Errors
///
/// If the hash is of a kind that is not known, or dearer than is allowed; with no part of it.
pub fn verify(password: &str, hash: &str) -> Result<bool, &'static str> {
    let kind = hash.strip_prefix('$').and_then(|rest| rest.split_once('$'));
    let kind = kind.map(|(kind, _)| kind);
    match kind {
        Some("2y" | "2b" | "2a") => bcrypt(password, hash),
        Some("argon2id") => argon2id(password, hash),
        Some("5" | "6") => sha_crypt(password, hash),
        _ => Err(
            "has a hash of an unknown kind: write it by `htpasswd -B` (bcrypt), or as argon2id, $5$ or $6$",
        ),
    }
}

fn bcrypt(password: &str, hash: &str) -> Result<bool, &'static str> {
    const BROKEN: &str = "has a bcrypt hash that is not whole";
    let [cost, rest] = hash[4..].split('$').collect::<Vec<_>>()[..] else {
        return Err(BROKEN);
    };
    let cost: u32 = cost.parse().map_err(|_| BROKEN)?;
    if !BCRYPT_COSTS.contains(&cost) {
        return Err("has a bcrypt hash with a cost outside 4 to 14");
    }
    let (salt, digest) = rest.split_at_checked(22).ok_or(BROKEN)?;
    let salt = Base64Bcrypt::decode_vec(salt).map_err(|_| BROKEN)?;
    let digest = Base64Bcrypt::decode_vec(digest).map_err(|_| BROKEN)?;
    let salt: [u8; 16] = salt.try_into().map_err(|_| BROKEN)?;
    let mut bytes = password.as_bytes().to_vec();
    bytes.push(0);
    let fits = bytes.len() <= BCRYPT_MAX;
    bytes.truncate(BCRYPT_MAX);
    let made = bcrypt::bcrypt(cost, salt, &bytes);
    Ok(fits & same(&made[..23], &digest))
}

fn argon2id(password: &str, hash: &str) -> Result<bool, &'static str> {
    const BROKEN: &str = "has an argon2id hash that is not whole";
    // A hash without its salt or digest would be wrong for every password, and nobody would know why.
    if hash.split('$').count() != 6 {
        return Err(BROKEN);
    }
    verified(Argon2::default().verify_password(password.as_bytes(), hash))
        .map_err(|why| why.unwrap_or(BROKEN))
}

fn sha_crypt(password: &str, hash: &str) -> Result<bool, &'static str> {
    const BROKEN: &str = "has a $5$ or $6$ hash that is not whole";
    let rounds = hash[3..]
        .strip_prefix("rounds=")
        .and_then(|rest| rest.split('$').next());
    let rounds = rounds
        .map_or(Ok(0), str::parse::<u32>)
        .map_err(|_| BROKEN)?;
    if rounds > SHA_CRYPT_ROUNDS {
        return Err("has a $5$ or $6$ hash of more than 1000000 rounds");
    }
    verified(ShaCrypt::default().verify_password(password.as_bytes(), hash))
        .map_err(|why| why.unwrap_or(BROKEN))
}

/// A reason of its own only where the hash itself is sound.
fn verified(result: Result<(), Error>) -> Result<bool, Option<&'static str>> {
    match result {
        Ok(()) => Ok(true),
        Err(Error::PasswordInvalid) => Ok(false),
        Err(Error::OutOfMemory) => Err(Some(
            "has a hash that needs more memory: raise `limits.memory`",
        )),
        Err(_) => Err(None),
    }
}

/// In a time that depends on the lengths alone.
fn same(one: &[u8], other: &[u8]) -> bool {
    let differing = one
        .iter()
        .zip(other)
        .fold(0, |differing, (a, b)| differing | (a ^ b));
    one.len() == other.len() && std::hint::black_box(differing) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of other programs: Openwall's crypt_blowfish 1.3 (wrapper.c), phc-winner-argon2's test.c, and
    /// `openssl passwd -5 -salt saltstring 'Hello world!'` and the same with -6.
    const HASHES: &[(&str, &str)] = &[
        (
            "U*U",
            "$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW",
        ),
        (
            "U*U*U",
            "$2a$05$XXXXXXXXXXXXXXXXXXXXXOAcXxm9kjPGEMsLznoKqmqw7tc8WCx4a",
        ),
        (
            "",
            "$2a$05$CCCCCCCCCCCCCCCCCCCCC.7uG0VCzI2bS7j6ymqJi9CdcdxiRTWNy",
        ),
        (
            "password",
            "$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4",
        ),
        (
            "Hello world!",
            "$5$saltstring$5B8vYYiY.CVt1RlTTf8KbXBH3hsxY/GNooZaBBGWEc5",
        ),
        (
            "Hello world!",
            "$6$saltstring$svn8UoSVapNtMuq1ukKS4tPQd8iKwSMHWjl/O817G3uBnIFNjnQJuesI68u4OTLiBFdcbYEdFCoEOfaS35inz1",
        ),
    ];

    #[test]
    fn hashes_of_other_programs_are_verified() {
        for (password, hash) in HASHES {
            assert_eq!(verify(password, hash), Ok(true), "{hash}");
            assert_eq!(verify(&format!("{password}x"), hash), Ok(false), "{hash}");
        }
    }

    #[test]
    fn a_password_of_which_bcrypt_would_see_a_part_is_refused() {
        // Openwall's vector for a password that is cut at 72 bytes.
        let long = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789chars after 72 are ignored";
        let hash = "$2a$05$abcdefghijklmnopqrstuu5s2v8.iXieOjg/.AySBTTZIIVFJeBui";
        assert_eq!(verify(long, hash), Ok(false));
    }

    #[test]
    fn hashes_that_are_weak_broken_or_too_dear_are_named_and_not_told() {
        for (hash, message) in [
            ("{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=", "unknown kind"),
            ("$apr1$x$y", "unknown kind"),
            ("$argon2i$v=19$m=8,t=1,p=1$c29tZXNhbHQ$AAAA", "unknown kind"),
            ("secret", "unknown kind"),
            ("", "unknown kind"),
            ("$2y", "unknown kind"),
            ("$5", "unknown kind"),
            ("$argon2id", "unknown kind"),
            ("$2y$", "not whole"),
            ("$2y$05$short", "not whole"),
            (
                "$2y$xx$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW",
                "not whole",
            ),
            (
                "$2y$31$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW",
                "4 to 14",
            ),
            (
                "$2y$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyO!!",
                "not whole",
            ),
            ("$argon2id$v=19$m=8", "not whole"),
            ("$argon2id$v=19$m=65536,t=2,p=1$c29tZXNhbHQ", "not whole"),
            ("$5$rounds=1000001$salt$AAAA", "1000000 rounds"),
            ("$5$rounds=x$salt$AAAA", "not whole"),
            ("$6$salt", "not whole"),
            ("$5$", "not whole"),
        ] {
            let why = verify("secret", hash).expect_err(hash);
            assert!(why.contains(message), "{hash}: {why}");
        }
        // A digest that was cut off matches nothing.
        let cut = "$2a$05$CCCCCCCCCCCCCCCCCCCCC.";
        assert_eq!(verify("U*U", cut), Ok(false));
    }
}
