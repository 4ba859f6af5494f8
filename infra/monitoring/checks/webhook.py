"""Somebody who is called by Alertmanager, reachable from containers, and remembers each call."""

import ipaddress
import json
import subprocess
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


def own_address():
    """This machine, as containers of any network see it: it has the first address of the engine's own network."""
    subnet = ["docker", "network", "inspect", "bridge", "--format", "{{(index .IPAM.Config 0).Subnet}}"]
    subnet = subprocess.run(subnet, check=True, capture_output=True, text=True).stdout.strip()
    return str(next(ipaddress.ip_network(subnet).hosts()))


class Receiver:
    def __init__(self):
        address = own_address()
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
        """When the receiver was called by the alert with this status."""

        def found():
            return next((when for when, *what in self.calls if what == [receiver, alert, status]), None)

        with self.called:
            if not self.called.wait_for(found, timeout=seconds):
                raise AssertionError(f"{receiver} was not called by {alert} ({status}) within {seconds} s, only by {self.calls}")
            return found()
