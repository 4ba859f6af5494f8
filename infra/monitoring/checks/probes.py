#!/usr/bin/env python3
"""Checks the blackbox exporter with the project's configuration: only complete pages pass, and it reports when a certificate expires,
also for an expired one. Checks the targets that `copy-files` writes for it.
"""

import contextlib
import datetime
import json
import os
import re
import ssl
import subprocess
import sys
import tempfile
import threading
import time
import urllib.parse
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from alerts import MONITORING
from stack import eventually
from webhook import host_address

HOST = "poll.example.org"
COMPLETE_PAGE = "<!doctype html><title>A poll</title><p>Vote</html>\n"
# By path: status, type and body.
PAGES = {
    "/": (200, "text/html; charset=utf-8", COMPLETE_PAGE),
    "/down": (503, "text/html", COMPLETE_PAGE),
    "/half": (200, "text/html", "<!doctype html><title>A poll</title><p>Vo"),
    "/json": (200, "application/json", COMPLETE_PAGE),
}
DAY = 86400


class Page(BaseHTTPRequestHandler):
    def do_GET(self):
        status, kind, body = PAGES.get(self.path, PAGES["/"])
        if self.path == "/named" and self.headers["Host"] != HOST:
            status = 421
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, *_):
        pass


def certificate(folder, days):
    """Creates a self-signed certificate that expires in `days`; returns the file with the certificate and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, HOST)])
    now = datetime.datetime.now(datetime.UTC)
    cert = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key()).serial_number(x509.random_serial_number())
    cert = cert.not_valid_before(now - datetime.timedelta(days=90)).not_valid_after(now + datetime.timedelta(days=days)).sign(key, hashes.SHA256())
    file = folder / f"{days}.pem"
    pem = serialization.Encoding.PEM
    file.write_bytes(key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()) + cert.public_bytes(pem))
    return file


@contextlib.contextmanager
def server(pem=None):
    """Runs a server with the pages; yields its URL for containers."""
    address = host_address()
    with ThreadingHTTPServer((address, 0), Page) as it:
        if pem:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(pem)
            it.socket = context.wrap_socket(it.socket, server_side=True)
        threading.Thread(target=it.serve_forever, daemon=True).start()
        yield f"http{'s' if pem else ''}://{address}:{it.server_port}"
        it.shutdown()


@contextlib.contextmanager
def exporter():
    """Runs a blackbox exporter; yields its URL."""
    project = f"voting-probes-{os.getpid()}"
    compose = ["docker", "compose", "--env-file", "/dev/null", "--project-name", project, "--profile", "probes"]

    def run(*command):
        return subprocess.run(command, cwd=MONITORING / "prometheus", check=True, capture_output=True, text=True).stdout.strip()

    try:
        run(*compose, "up", "--detach", "blackbox-exporter")
        container = run(*compose, "ps", "--quiet", "blackbox-exporter")
        url = f"http://{run('docker', 'inspect', '--format', '{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}', container)}:9115"

        def health():
            with contextlib.suppress(OSError):
                return urllib.request.urlopen(f"{url}/-/healthy", timeout=2)

        eventually("healthy blackbox exporter", health, 30)
        yield url
    finally:
        run(*compose, "down", "--volumes", "--timeout", "1")


def probe(url, module, target, **more):
    """Probes a target; returns the exporter's metrics by name."""
    parameters = urllib.parse.urlencode({"module": module, "target": target, **more})
    with urllib.request.urlopen(f"{url}/probe?{parameters}", timeout=10) as response:
        return {name: float(value) for name, value in re.findall(r"^(probe_success|probe_ssl_earliest_cert_expiry) (\S+)$", response.read().decode(), re.M)}


def check(what, found, expected):
    assert found == expected, f"{what}: {found} instead of {expected}"


def check_exporter():
    with tempfile.TemporaryDirectory() as folder, exporter() as url:
        with server() as site:
            for path, success in [("/", 1), ("/down", 0), ("/half", 0), ("/json", 0), ("/named", 0)]:
                check(path, probe(url, "page", site + path), {"probe_success": success})
            check("with the host name of a public origin", probe(url, "page", f"{site}/named", hostname=HOST), {"probe_success": 1})
        for days in (10, -1):
            with server(certificate(Path(folder), days)) as site:
                check("self-signed certificate", probe(url, "page", site), {"probe_success": 0})
                for path in ("/", "/down", "/named"):
                    metrics = probe(url, "certificate", site + path)
                    check("success", metrics["probe_success"], 1)
                    check("days until expiry", round((metrics["probe_ssl_earliest_cert_expiry"] - time.time()) / DAY, 2), days)
    print("blackbox exporter: pages and certificates are checked")


def run_copy_files(**settings):
    """Runs copy-files with these settings; returns the exit code, stderr, and the targets."""
    with tempfile.TemporaryDirectory() as folder:
        for part in ("from/prometheus", "to/prometheus"):
            Path(folder, part).mkdir(parents=True)
        Path(folder, "from/prometheus/new.yml").touch(mode=0o600)
        Path(folder, "to/prometheus/old.yml").touch()
        command, environment = ["sh", MONITORING / "copy-files"], {"PATH": os.environ["PATH"], "FROM": f"{folder}/from", "TO": f"{folder}/to", **settings}
        done = subprocess.run(command, env=environment, capture_output=True, text=True)
        file = Path(folder, "to/prometheus/probes/services.yml")
        if file.exists():
            check("files", sorted(path.name for path in Path(folder, "to/prometheus").iterdir()), ["new.yml", "probes"])
            check("mode", oct(Path(folder, "to/prometheus/new.yml").stat().st_mode & 0o777), "0o644")
        return done.returncode, done.stderr, yaml.safe_load(file.read_text()) if file.exists() else None


def target(job, service, module, url, **more):
    return {"labels": {"job": job, "service": service, "__param_module": module, **more}, "targets": [url]}


def check_targets():
    vote, result = "http://vote:8080/", "http://result:8081/"
    for settings, expected in [
        ({}, [target("probe", "vote", "page", vote), target("probe", "result", "page", result)]),
        (
            {"PUBLIC_ORIGINS": f"https://{HOST}:8443,https://other.example.org", "VOTE_BASE_PATH": "/vote"},
            [
                target("probe", "vote", "page", "http://vote:8080/vote/", __param_hostname=f"{HOST}:8443"),
                target("probe", "result", "page", result, __param_hostname=f"{HOST}:8443"),
            ],
        ),
        (
            {"PROBE_VOTE_URL": f"https://{HOST}/", "PUBLIC_ORIGINS": f"https://{HOST}"},
            [
                target("probe", "vote", "page", f"https://{HOST}/"),
                target("certificate", "vote", "certificate", f"https://{HOST}/"),
                target("probe", "result", "page", result, __param_hostname=HOST),
            ],
        ),
    ]:
        code, stderr, targets = run_copy_files(**settings)
        check(json.dumps(settings), (code, stderr, targets), (0, "", expected))
    for url, message in [("poll.example.org", "must begin with http:// or https://"), ('http://a"b/', "without quotes"), ("https://", "must begin")]:
        code, stderr, targets = run_copy_files(PROBE_RESULT_URL=url)
        assert code == 1 and targets is None and f"PROBE_RESULT_URL is {url}; it must" in stderr and message in stderr, (url, code, stderr, targets)
    print("addresses: exactly those of the settings")


def main():
    check_targets()
    check_exporter()


if __name__ == "__main__":
    if sys.argv[1:]:
        sys.exit("probes.py: it takes no arguments")
    main()
