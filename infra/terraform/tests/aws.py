"""Stand-ins for AWS's endpoints in the tests: moto for most of them, and small servers for what moto lacks."""

import concurrent.futures
import contextlib
import functools
import http.server
import logging
import os
import threading
import urllib.parse

import boto3
from moto.server import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import make_server
from werkzeug.test import run_wsgi_app

KEYS = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_EC2_METADATA_DISABLED": "true"}


class Moto:
    """AWS's APIs in memory."""

    def __init__(self, region="us-east-1"):
        logging.getLogger("werkzeug").setLevel(logging.ERROR)
        self.application = DomainDispatcherApplication(create_backend_app)
        self.held = None
        self.responses = {}
        self.server = make_server("127.0.0.1", 0, self.answer, threaded=True)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.port}"
        self.region = region

    def answer(self, environ, start_response):
        """Responds to a request, and to its retries with the same response: a retry of a successful lock request would be rejected.

        Go's HTTP client may close a connection after the head of a response and before its body, and the AWS SDK then retries the
        request (aws/aws-sdk-go-v2#2737)."""
        invocation = environ.get("HTTP_AMZ_SDK_INVOCATION_ID", "")
        first = concurrent.futures.Future()
        known = self.responses.setdefault(invocation, first) if invocation else first
        if known is first:
            try:
                first.set_result(run_wsgi_app(self.application_for(environ), environ, buffered=True))
            except BaseException as error:
                first.set_exception(error)
        body, status, headers = known.result()
        start_response(status, list(headers))
        return body

    def application_for(self, environ):
        held = self.held
        if held and held.name in environ.get("HTTP_USER_AGENT", ""):
            return functools.partial(held.answer, self.application)
        return self.application

    @contextlib.contextmanager
    def holding(self, name):
        """Inside, requests of the program with this name in its User-Agent are held after its first rejected lock attempt."""
        self.held = HeldProgram(name)
        try:
            yield self.held
        finally:
            self.held.released.set()
            self.held = None

    def client(self, service):
        return boto3.client(
            service, region_name=self.region, endpoint_url=self.url, aws_access_key_id="test", aws_secret_access_key="test"
        )

    def environment(self):
        return {**os.environ, **KEYS, "AWS_ENDPOINT_URL": self.url, "AWS_REGION": self.region}

    def stop(self):
        self.server.shutdown()
        self.server.server_close()


class HeldProgram:
    """A program that tries to lock a state. Its second attempt waits until `released` is set."""

    def __init__(self, name):
        self.name = name
        self.rejected, self.released = threading.Event(), threading.Event()

    def answer(self, application, environ, start_response):
        if self.rejected.is_set():
            self.released.wait()
        answer = application(environ, start_response)
        # A rejected attempt ends with a request for the lock's owner.
        if environ["REQUEST_METHOD"] == "GET" and environ["PATH_INFO"].endswith(".tflock"):
            self.rejected.set()
        return answer


class Machine(http.server.ThreadingHTTPServer):
    """The metadata service of a machine (IMDSv2), and the API of its auto scaling group."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), MachineHandler)
        self.metadata = {"instance-id": "i-0123456789abcdef0", "autoscaling/target-lifecycle-state": "InService"}
        self.calls = []
        self.changed = threading.Condition()
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_port}"

    def wait_for(self, **wanted):
        """Waits for the first call to the group with these parameters, and returns it. Fails after a timeout."""

        def found():
            return next((call for call in self.calls if wanted.items() <= call.items()), None)

        with self.changed:
            assert self.changed.wait_for(found, timeout=120), f"{wanted} is not among {self.calls}"
            return found()


class MachineHandler(http.server.BaseHTTPRequestHandler):
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
