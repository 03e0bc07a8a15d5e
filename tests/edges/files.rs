//! The programs themselves accept each file as it is shipped.

use std::process::Command;

use crate::proxy::{deploy, is_installed};

/// The program's verdict on a file.
fn accepts(program: &str, arguments: &[&str], file: &str) {
    let directory = tempfile::tempdir().expect("a directory");
    let mut check = Command::new(program);
    let checked = check.args(arguments).arg(deploy(file)).current_dir(directory.path()).output();
    let checked = checked.expect("it starts");
    assert!(checked.status.success(), "{file}: {}", String::from_utf8_lossy(&checked.stderr));
}

#[test]
fn haproxy_accepts_its_files() {
    if is_installed("haproxy") {
        for file in ["haproxy.cfg", "haproxy-sticky.cfg", "haproxy-jwt.cfg", "compose/haproxy.cfg"]
        {
            accepts("haproxy", &["-c", "-f"], file);
        }
    }
}

#[test]
fn nginx_accepts_its_files() {
    if is_installed("nginx") {
        let directory = tempfile::tempdir().expect("a directory");
        let globals = format!("pid {}/nginx.pid;", directory.path().display());
        for file in ["nginx.conf", "nginx-sticky.conf", "nginx-auth-request.conf"] {
            accepts("nginx", &["-t", "-e", "stderr", "-g", &globals, "-c"], file);
        }
    }
}
