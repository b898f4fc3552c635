//! Where the program of a command is: looked up before anything is started, so that a typo is told by file and line.

use std::ffi::{OsStr, OsString};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// The path of `program`: with a `/` in it, itself, relative to `base`; else the first executable of this name in `search`, which is
/// like the variable `PATH`.
///
/// # Errors
/// What is wrong, with a remedy.
pub(super) fn find(program: &str, base: &Path, search: &OsStr) -> Result<OsString, String> {
    if program.is_empty() {
        return Err("the program's name is empty: put a program first".to_owned());
    }
    if program.contains('/') {
        let path = base.join(program);
        return executable(&path).map(|()| path.into_os_string());
    }
    let found: Option<PathBuf> = std::env::split_paths(search)
        .map(|directory| directory.join(program))
        .find(|path| executable(path).is_ok());
    found.map(PathBuf::into_os_string).ok_or_else(|| {
        format!("no program \"{program}\" in PATH: install it, or write its path with a \"/\"")
    })
}

fn executable(path: &Path) -> Result<(), String> {
    let shown = path.display();
    let file = path
        .metadata()
        .map_err(|error| format!("no program {shown} ({error}): build it, or correct the path"))?;
    if !file.is_file() {
        return Err(format!("{shown} is no file: name the program itself"));
    }
    if file.permissions().mode() & 0o111 == 0 {
        return Err(format!("{shown} is not executable: chmod +x it"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_are_found_by_path_and_by_name() {
        let directory = tempfile::tempdir().unwrap();
        let base = directory.path();
        std::fs::write(base.join("tool"), "").unwrap();
        let find = |program: &str| find(program, base, base.as_os_str());
        assert!(find("./tool").unwrap_err().contains("chmod +x"));
        assert!(find("tool").unwrap_err().contains("in PATH"));
        std::fs::set_permissions(base.join("tool"), PermissionsExt::from_mode(0o755)).unwrap();
        assert_eq!(find("./tool").unwrap(), base.join("./tool"));
        assert_eq!(find("tool").unwrap(), base.join("tool"));
        assert!(find("./tol").unwrap_err().contains("correct the path"));
        assert!(find("/").unwrap_err().contains("is no file"));
        assert!(find("").unwrap_err().contains("empty"));
    }
}
