//! nginx and HAProxy as services, each with a config made for the test.

use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;
use tokio::net::TcpStream;

use super::eventually;
use super::peers::{Peer, free_port};

/// An nginx that serves, and takes by PUT, the files of a directory. Killed when it is dropped.
pub(crate) struct Nginx {
    _peer: Peer,
    port: u16,
    directory: TempDir,
}

impl Nginx {
    /// With more parameters of `listen`, such as `http2`, and more directives of the server.
    pub(crate) async fn start(listen: &str, directives: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let port = free_port();
        let base = directory.path();
        std::fs::create_dir(base.join("files")).unwrap();
        let config = nginx_config(base, port, listen, directives);
        std::fs::write(base.join("nginx.conf"), config).unwrap();
        let mut command = Command::new(on_path("nginx"));
        command.arg("-p").arg(base).args(["-e", "stderr", "-c"]);
        let peer = Peer::start(command.arg(base.join("nginx.conf")));
        serves(port).await;
        Self {
            _peer: peer,
            port,
            directory,
        }
    }

    /// Where it listens.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// For the config.
    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// A file that it serves or has taken.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.directory.path().join("files").join(name)
    }
}

/// One process, so that nothing is left of it when it is killed.
fn nginx_config(base: &Path, port: u16, listen: &str, directives: &str) -> String {
    format!(
        "daemon off; master_process off; pid {base}/pid; error_log stderr crit;
events {{}}
http {{
  access_log off;
  client_body_temp_path {base}/body; proxy_temp_path {base}/proxy; fastcgi_temp_path {base}/fastcgi;
  uwsgi_temp_path {base}/uwsgi; scgi_temp_path {base}/scgi;
  server {{
    listen 127.0.0.1:{port} {listen};
    {directives}
    root {base}/files; client_max_body_size 0; dav_methods PUT; create_full_put_path on;
    location = /connection {{ return 200 '$connection $connection_requests $server_protocol'; }}
    location /chunked/ {{ alias {base}/files/; ssi on; ssi_types *; }}
  }}
}}
",
        base = base.display()
    )
}

/// An HAProxy before an nginx, over HTTP/1 and h2c. Killed when it is dropped.
pub(crate) struct HaProxy {
    _peer: Peer,
    http1: u16,
    http2: u16,
    _directory: TempDir,
}

impl HaProxy {
    /// Before that server.
    pub(crate) async fn start(nginx: &Nginx) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("haproxy.cfg");
        let (http1, http2) = (free_port(), free_port());
        let config = format!(
            "defaults
  mode http
  timeout connect 30s
  timeout client 60s
  timeout server 60s
frontend both
  bind 127.0.0.1:{http1}
  bind 127.0.0.1:{http2} proto h2
  http-request return status 200 content-type text/plain lf-string '%[src_port] %[fc_http_major]' if {{ path /connection }}
  http-response set-header x-served-by haproxy
  default_backend files
backend files
  server nginx 127.0.0.1:{}
",
            nginx.port()
        );
        std::fs::write(&path, config).unwrap();
        let mut command = Command::new(on_path("haproxy"));
        let peer = Peer::start(command.args(["-db", "-q", "-f"]).arg(&path));
        serves(http1).await;
        serves(http2).await;
        Self {
            _peer: peer,
            http1,
            http2,
            _directory: directory,
        }
    }

    /// Where it speaks HTTP/1, for the config.
    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.http1)
    }

    /// Where it speaks HTTP/2, for the config.
    pub(crate) fn h2c_url(&self) -> String {
        format!("http://127.0.0.1:{}", self.http2)
    }
}

/// Debian puts servers where not everyone's path leads.
fn on_path(program: &str) -> PathBuf {
    let installed = Path::new("/usr/sbin").join(program);
    if installed.exists() {
        installed
    } else {
        program.into()
    }
}

async fn serves(port: u16) {
    eventually("it takes connections", async || {
        TcpStream::connect(("127.0.0.1", port)).await.is_ok()
    })
    .await;
}
