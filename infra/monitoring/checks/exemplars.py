#!/usr/bin/env python3
"""Checks that Prometheus, with the features enabled in the compose file, requests OpenMetrics and stores exemplars, which link a
histogram to a trace. The target is a small server; live.py checks the exemplars of the services.
"""

import json
import subprocess
import sys
import tempfile
import threading
import time
import urllib.parse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from compose import services
from stack import eventually, fetch, free_port

TRACE_ID = "4bf92f3577b34da6a3ce929d0e0e4736"
METRICS = f"""# TYPE request_duration_seconds histogram
request_duration_seconds_bucket{{le="0.25"}} 1 # {{trace_id="{TRACE_ID}"}} 0.17
request_duration_seconds_bucket{{le="+Inf"}} 1
request_duration_seconds_sum 0.17
request_duration_seconds_count 1
# EOF
"""


class Target(BaseHTTPRequestHandler):
    accept_headers = []

    def do_GET(self):
        self.accept_headers.append(self.headers["Accept"])
        self.send_response(200)
        self.send_header("Content-Type", "application/openmetrics-text; version=1.0.0; charset=utf-8")
        self.end_headers()
        self.wfile.write(METRICS.encode())

    def log_message(self, *_):
        pass


def stored_trace_ids(url, query):
    """Returns the trace ids of the exemplars that Prometheus stored for a metric in the last minute."""
    parameters = urllib.parse.urlencode({"query": query, "start": time.time() - 60, "end": time.time() + 60})
    found = fetch(f"{url}/api/v1/query_exemplars?{parameters}")["data"]
    return {it["labels"]["trace_id"] for series in found for it in series["exemplars"]}


def exemplars_after_scrape(url):
    """Returns [trace ids] once exemplars exist, or once Prometheus has stored a scrape and continued; otherwise None."""
    try:
        found = stored_trace_ids(url, "request_duration_seconds_bucket")
        scraped = fetch(f"{url}/api/v1/query?query=request_duration_seconds_count")["data"]["result"]
    except OSError:
        return None
    return [found] if found or (scraped and len(Target.accept_headers) > 2) else None


def main():
    prometheus = services("infra/monitoring/prometheus/docker-compose.yml")["prometheus"]
    features = [argument for argument in prometheus["command"] if argument.startswith("--enable-feature")]
    target = ThreadingHTTPServer(("127.0.0.1", 0), Target)
    threading.Thread(target=target.serve_forever, daemon=True).start()
    with tempfile.TemporaryDirectory() as folder:
        configuration = Path(folder) / "prometheus.yml"
        job = {"job_name": "target", "static_configs": [{"targets": [f"127.0.0.1:{target.server_port}"]}]}
        # JSON is valid YAML.
        configuration.write_text(json.dumps({"global": {"scrape_interval": "1s"}, "scrape_configs": [job]}))
        Path(folder).chmod(0o755)
        port = free_port()
        docker_run = ["docker", "run", "--detach", "--rm", "--network=host", f"--volume={folder}:/etc/prometheus:ro", prometheus["image"]]
        arguments = ["--config.file=/etc/prometheus/prometheus.yml", "--storage.tsdb.path=/prometheus", f"--web.listen-address=127.0.0.1:{port}", *features]
        container = subprocess.run([*docker_run, *arguments], check=True, capture_output=True, text=True).stdout.strip()
        try:
            [found] = eventually("scrape", lambda: exemplars_after_scrape(f"http://127.0.0.1:{port}"))
        finally:
            subprocess.run(["docker", "rm", "--force", "--volumes", container], check=True, capture_output=True)
    problems = []
    if found != {TRACE_ID}:
        problems.append(f"exemplars: Prometheus stored {sorted(found)} instead of {TRACE_ID}: it needs --enable-feature=exemplar-storage")
    if not Target.accept_headers[0].startswith("application/openmetrics-text"):
        problems.append(f"exemplars: Prometheus does not prefer OpenMetrics: {Target.accept_headers[0]}")
    print("\n".join(problems) or "exemplars: Prometheus requests OpenMetrics and stores exemplars")
    sys.exit(1 if problems else 0)


if __name__ == "__main__":
    main()
