"""A webhook receiver for Alertmanager that containers can reach and that records each call."""

import ipaddress
import json
import subprocess
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


def host_address():
    """Returns the address of this machine for containers in any network: the first address of the bridge network."""
    subnet = ["docker", "network", "inspect", "bridge", "--format", "{{(index .IPAM.Config 0).Subnet}}"]
    subnet = subprocess.run(subnet, check=True, capture_output=True, text=True).stdout.strip()
    return str(next(ipaddress.ip_network(subnet).hosts()))


class Receiver:
    def __init__(self):
        address = host_address()
        calls, called = [], threading.Condition()

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                call = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                with called:
                    calls.extend((time.time(), self.path.strip("/"), alert["labels"]["alertname"], alert["status"]) for alert in call["alerts"])
                    called.notify_all()
                self.send_response(204)
                self.end_headers()

            def log_message(self, *_):
                pass

        self.calls, self.called = calls, called
        self.server = ThreadingHTTPServer((address, 0), Handler)
        self.url = f"http://{address}:{self.server.server_port}"

    def __enter__(self):
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.server.shutdown()

    def wait_for(self, receiver, alert, status, seconds):
        """Waits for a call and returns its time."""

        def found():
            return next((when for when, *what in self.calls if what == [receiver, alert, status]), None)

        with self.called:
            if not self.called.wait_for(found, timeout=seconds):
                raise AssertionError(f"{receiver} was not called for {alert} ({status}) within {seconds} s; calls: {self.calls}")
            return found()
