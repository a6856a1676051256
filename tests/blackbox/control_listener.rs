//! Orders have an entrance of their own: a socket or an address, and no order is taken elsewhere.

use std::io::{Read, Write};
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::Duration;

use super::control::{ALL, Lab, READ, get, json, send};
use crate::support::{Exporter, Pki, connect, exchange, request, run_to_end, write_private};

const STOP: &str = "/api/v1/guests/home/900/stop";
const DRY: &str = "{\"dry_run\":true}";

/// Where the exporter says that it takes orders over TCP.
fn address(exporter: &Exporter, scheme: &str) -> SocketAddr {
    let line = exporter.wait_for_log(&format!("taking orders at {scheme}://"));
    let rest = line.split("://").nth(1).unwrap();
    rest.split(',').next().unwrap().parse().unwrap_or_else(|error| panic!("{error}: {line}"))
}

fn socket(path: &PathBuf) -> UnixStream {
    let stream = UnixStream::connect(path).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    stream
}

#[test]
fn orders_are_taken_there_and_nowhere_else() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("control.sock");
    let addresses = format!("listen_addresses = [\"127.0.0.1:0\", \"unix:{}\"]", path.display());
    let mut lab = Lab::start_with(&addresses);
    let control = address(&lab.exporter, "http");
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o660);
    for body in ["", DRY] {
        let reply = lab.post(STOP, body);
        let message = json(&reply)["error"]["message"].as_str().unwrap_or_default().to_owned();
        assert!(reply.status == 403 && message.contains("listeners of [control] only"), "{}", reply.text());
    }
    assert_eq!(lab.post("/api/v1/batch", "").status, 403);
    assert!(lab.orders().is_empty());
    // Questions are answered at both, pages at one.
    let bearer = format!("Bearer {READ}");
    let headers = [("Authorization", bearer.as_str())];
    assert_eq!(get(&lab.exporter, READ, "/api/v1/tasks").status, 200);
    assert_eq!(request(control, "GET", "/api/v1/tasks", &headers).status, 200);
    assert_eq!(exchange(socket(&path), "GET", "/api/v1/tasks", &headers).status, 200);
    for page in ["/metrics", "/", "/-/healthy", "/-/reload"] {
        assert_eq!(request(control, "GET", page, &[]).status, 404, "{page}");
        assert_eq!(exchange(socket(&path), "POST", page, &[]).status, 404, "{page}");
    }
    assert_eq!(exchange(socket(&path), "GET", "/api/v1/tasks", &[]).status, 401);
    assert_eq!(send(connect(control), READ, STOP, &[], "").status, 403);
    assert_eq!(send(connect(control), ALL, STOP, &[], DRY).status, 200);
    let reply = send(socket(&path), ALL, &format!("{STOP}?wait=1m"), &[], "");
    assert_eq!((reply.status, lab.orders().len()), (200, 1), "{}", reply.text());

    // Killed, it leaves its socket, which the next one replaces; a live one is somebody's.
    lab.kill();
    assert!(path.exists());
    lab.exporter = Exporter::serve(&lab.config);
    assert_eq!(send(socket(&path), ALL, STOP, &[], DRY).status, 200);
    let file = lab.folder.path().join("second.toml");
    write_private(&file, &lab.config.replace("/state\"", "/other\""));
    let file = file.display().to_string();
    let second = run_to_end(&["serve", "--config.file", &file, "--web.listen-address", "127.0.0.1:0"]);
    assert!(second.code == Some(1) && second.stderr.contains("another process listens there"), "{second:?}");
    assert_eq!(send(socket(&path), ALL, STOP, &[], DRY).status, 200);

    // Another list needs a restart, and until then orders go where they went.
    lab.exporter.rewrite(&lab.config.replace(&addresses, ""));
    lab.exporter.hang_up(1);
    lab.exporter.wait_for_log("other listen_addresses of [control] need a restart");
    assert_eq!((lab.post(STOP, DRY).status, send(socket(&path), ALL, STOP, &[], DRY).status), (403, 200));
    lab.exporter.terminate();
    assert!(lab.exporter.wait().success());
    assert!(!path.exists(), "{}", lab.exporter.log());
}

#[test]
fn without_a_list_nothing_changes_at_a_reload() {
    let lab = Lab::start();
    lab.exporter.rewrite(&format!("{}listen_addresses = [\"127.0.0.1:0\"]\n", lab.config));
    lab.exporter.hang_up(1);
    lab.exporter.wait_for_log("other listen_addresses of [control] need a restart");
    assert_eq!(lab.post(STOP, DRY).status, 200);
}

#[test]
fn it_has_tls_and_certificates_of_its_own() {
    let (pki, stranger) = (Pki::new(), Pki::new());
    let lab = Lab::start_with(&format!("listen_addresses = [\"127.0.0.1:0\"]\n{}", pki.web(Some(&pki))));
    let control = address(&lab.exporter, "https");
    assert_eq!(lab.exporter.get("/metrics").status, 200, "pages do without");
    assert_eq!(send(pki.connect(control, Some(&pki)).unwrap(), ALL, STOP, &[], DRY).status, 200);
    for own in [None, Some(&stranger)] {
        let refused = pki.connect(control, own).and_then(|mut stream| {
            stream.write_all(b"GET /api/v1/tasks HTTP/1.1\r\nHost: test\r\n\r\n")?;
            stream.read_exact(&mut [0])
        });
        assert!(refused.is_err(), "a client without a certificate of ours");
    }
    let plain = send(connect(control), ALL, STOP, &[], DRY);
    assert!(plain.status == 400 && plain.text().contains("https://"), "{}", plain.text());
    // A new certificate is in force for who comes after it.
    let renewed = Pki::new();
    lab.exporter.rewrite(&lab.config.replace(&pki.web(Some(&pki)), &renewed.web(Some(&renewed))));
    lab.exporter.hang_up(1);
    assert!(pki.connect(control, Some(&pki)).is_err());
    assert_eq!(send(renewed.connect(control, Some(&renewed)).unwrap(), ALL, STOP, &[], DRY).status, 200);
    assert!(lab.orders().is_empty());
}
