"""What stands in for AWS's own endpoints in the tests: moto for most of them, and a few lines for what moto does not have."""

import http.server
import logging
import os
import threading
import urllib.parse

import boto3
from moto.server import ThreadedMotoServer

KEYS = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_EC2_METADATA_DISABLED": "true"}


class Moto:
    """Most of AWS, in memory."""

    def __init__(self, region="us-east-1"):
        logging.getLogger("werkzeug").setLevel(logging.ERROR)
        self.server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
        self.server.start()
        host, port = self.server.get_host_and_port()
        self.url = f"http://{host}:{port}"
        self.region = region

    def client(self, service):
        return boto3.client(
            service, region_name=self.region, endpoint_url=self.url, aws_access_key_id="test", aws_secret_access_key="test"
        )

    def environment(self):
        return {**os.environ, **KEYS, "AWS_ENDPOINT_URL": self.url, "AWS_REGION": self.region}

    def stop(self):
        self.server.stop()


class Machine(http.server.ThreadingHTTPServer):
    """What a machine is told about itself (IMDSv2), and what it tells its auto scaling group."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Answers)
        self.metadata = {"instance-id": "i-0123456789abcdef0", "autoscaling/target-lifecycle-state": "InService"}
        self.calls = []
        self.changed = threading.Condition()
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_port}"

    def wait_for(self, **wanted):
        """The first call to the group that has these parameters; fails when it does not come."""

        def found():
            return next((call for call in self.calls if wanted.items() <= call.items()), None)

        with self.changed:
            assert self.changed.wait_for(found, timeout=120), f"{wanted} is not among {self.calls}"
            return found()


class Answers(http.server.BaseHTTPRequestHandler):
    def do_PUT(self):
        assert self.path == "/latest/api/token"
        self.answer(200, "a-token")

    def do_GET(self):
        item = self.path.removeprefix("/latest/meta-data/")
        known = self.headers["X-aws-ec2-metadata-token"] == "a-token" and item in self.server.metadata
        self.answer(200, self.server.metadata[item]) if known else self.answer(404, "")

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"])).decode()
        call = dict(urllib.parse.parse_qsl(body))
        with self.server.changed:
            self.server.calls.append(call)
            self.server.changed.notify_all()
        name = call["Action"]
        self.answer(200, f"<{name}Response><{name}Result/><ResponseMetadata><RequestId>1</RequestId></ResponseMetadata></{name}Response>")

    def answer(self, status, text):
        self.send_response(status)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *_):
        pass
