//! Files that are, and are not, a config.

use std::fs;
use std::path::Path;

use super::SAMPLE;
use crate::{RedisServers, Secret, load};

fn problem_of(path: &Path) -> String {
    let errors = load(path).expect_err("the file is no config");
    let prefix = format!("{}: ", path.display());
    errors.to_string().strip_prefix(&prefix).unwrap().to_owned()
}

#[test]
fn a_file_is_read_and_its_paths_start_from_it() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("gateway.yaml");
    let text = SAMPLE
        .replace("builtin:rate-limit", "file:policies/x.wasm")
        .replace("redis://127.0.0.1:6379", "{ file: url }");
    fs::write(&path, text).unwrap();
    fs::write(directory.path().join("url"), "redis://redis\n").unwrap();
    let config = load(&path).unwrap();
    let component = &config.policies["rate-limit"].component;
    let expected = format!(
        "file:{}",
        directory.path().join("policies/x.wasm").display()
    );
    assert_eq!(component.to_string(), expected);
    let url = RedisServers::Url(Secret::new("redis://redis"));
    assert_eq!(config.redis["main"].servers, url);
}

#[test]
fn a_file_that_cannot_be_read_says_what_to_do() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("gateway.yaml");
    assert_eq!(
        problem_of(&path),
        "no such file: check the path, which starts from the working directory"
    );
    assert_eq!(
        problem_of(directory.path()),
        format!(
            "this is a directory: name the config file in it, such as {}",
            path.display()
        )
    );
    fs::write(&path, b"listeners: []\n# \xff\n").unwrap();
    assert_eq!(problem_of(&path), "not UTF-8 on line 2: save it as UTF-8");
    fs::write(&path, b"\xff\xfel\0i\0").unwrap();
    assert_eq!(problem_of(&path), "not UTF-8 on line 1: save it as UTF-8");
}

#[cfg(unix)]
#[test]
fn a_file_without_end_or_permission_is_refused() {
    use std::os::unix::fs::PermissionsExt;

    assert_eq!(problem_of(Path::new("/dev/zero")), "larger than 16384 KiB");
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::set_permissions(file.path(), fs::Permissions::from_mode(0o000)).unwrap();
    // The superuser reads it all the same.
    if fs::File::open(file.path()).is_err() {
        assert_eq!(
            problem_of(file.path()),
            "permission denied: let the user that runs the gateway read it"
        );
    }
}
