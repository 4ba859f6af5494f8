"""A stub of Slack, Microsoft Teams, PagerDuty, a webhook and a mail server that records each message."""

import email.policy
import html
import json
import logging
import re
import ssl
import subprocess
import threading
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult

from stack import free_port
from webhook import host_address

# The response of each service to an accepted message. Alertmanager treats other responses of Slack as errors.
RESPONSES = {"slack": (200, b"ok"), "teams": (202, b""), "pagerduty": (202, b'{"status":"success"}'), "webhook": (204, b"")}
# aiosmtpd logs warnings about its own settings.
logging.getLogger("mail.log").setLevel(logging.ERROR)
USER, PASSWORD = "alerts", "a password of the mail server"


@dataclass
class Message:
    """A received message."""

    kind: str
    # The receiver, such as page: the path of a URL, a PagerDuty key, or the name of a mailbox.
    receiver: str
    status: str
    title: str
    text: str
    links: set
    severity: str
    # The labels, if the message has them as structured data.
    labels: dict


def urls(text):
    return set(re.findall(r"https?://[^\s|<>\"]+", text))


def parse_webhook(body):
    alert = body["alerts"][0]
    links = {alert["annotations"]["runbook_url"], alert["generatorURL"], f"{body['externalURL']}/#/alerts?receiver={body['receiver']}"}
    return body["status"], body["groupLabels"]["alertname"], alert["annotations"]["description"], links, alert["labels"]["severity"], alert["labels"]


def parse_slack(body):
    it = body["attachments"][0]
    text = html.unescape(it["text"])
    severity, status = re.search(r"\*(\w+), (\w+)\*", text).groups()
    return status, it["title"], text, urls(text) | {it["title_link"]}, severity, {}


def parse_teams(body):
    title, text = (part["text"] for part in body["attachments"][0]["content"]["body"])
    severity, status = re.search(r"\*\*(\w+), (\w+)\*\*", text).groups()
    return status, title, text, set(re.findall(r"\]\(([^)]+)\)", text)), severity, {}


def parse_pagerduty(body):
    payload = body["payload"]
    links = {link["href"] for link in body["links"]} | {body["client_url"]}
    status = {"trigger": "firing", "resolve": "resolved"}[body["event_action"]]
    severity = {"critical": "page", "warning": "ticket"}[payload["severity"]]
    labels = {"environment": payload["custom_details"]["environment"], "cluster": payload["custom_details"]["cluster"]}
    return status, payload["summary"], payload["custom_details"]["text"], links, severity, labels


def parse_mail(message):
    text, page = (message.get_body((kind,)).get_content() for kind in ("plain", "html"))
    severity, status = re.search(r"<strong>(\w+), (\w+)</strong>", page).groups()
    links = {html.unescape(link) for link in re.findall(r'href="([^"]+)"', page)}
    missing = links - urls(text)
    assert not missing, f"the plain text of an email lacks {missing} of its HTML part:\n{text}"
    return status, str(message["Subject"]), text, links, severity, {}


class Inbox:
    """Receives messages at `url`/KIND/RECEIVER for webhooks, Slack and Teams, at `url`/pagerduty, and at `smarthost` with the user USER.

    The mail server requires STARTTLS. Its self-signed certificate is created in `folder`.
    """

    def __init__(self, folder):
        self.messages, self.errors, self.changed = [], [], threading.Condition()
        inbox, address = self, host_address()

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                kind, _, receiver = self.path.strip("/").partition("/")
                parse = {"slack": parse_slack, "teams": parse_teams, "pagerduty": parse_pagerduty, "webhook": parse_webhook}[kind]
                inbox.record(kind, receiver or body["routing_key"], parse, body)
                code, response_body = RESPONSES[kind]
                self.send_response(code)
                self.send_header("Content-Type", "application/json" if kind == "pagerduty" else "text/plain")
                self.end_headers()
                self.wfile.write(response_body)

            def log_message(self, *_):
                pass

        class Mailbox:
            async def handle_DATA(self, _server, _session, envelope):
                message = email.message_from_bytes(envelope.content, policy=email.policy.default)
                for recipient in envelope.rcpt_tos:
                    inbox.record("email", recipient.partition("@")[0], parse_mail, message)
                return "250 accepted"

        def authenticate(_server, _session, _envelope, _mechanism, credentials):
            success = (credentials.login, credentials.password) == (USER.encode(), PASSWORD.encode())
            return AuthResult(success=success, handled=False)

        key, self.certificate = (folder / name for name in ("key.pem", "certificate.pem"))
        openssl = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "1", "-subj", "/CN=mail"]
        openssl += ["-addext", f"subjectAltName=IP:{address}", "-keyout", key, "-out", self.certificate]
        subprocess.run(openssl, check=True, capture_output=True)
        tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        tls.load_cert_chain(self.certificate, key)
        self.http = ThreadingHTTPServer((address, 0), Handler)
        self.url = f"http://{address}:{self.http.server_port}"
        port = free_port()
        # Alertmanager does not support the LOGIN prompts of this server.
        login = {"authenticator": authenticate, "auth_required": True, "auth_exclude_mechanism": ["LOGIN"]}
        self.smtp = Controller(Mailbox(), hostname=address, port=port, tls_context=tls, require_starttls=True, **login)
        self.smarthost = f"{address}:{port}"

    def record(self, kind, receiver, parse, body):
        with self.changed:
            try:
                self.messages.append(Message(kind, receiver, *parse(body)))
            except Exception as error:
                self.errors.append(f"{kind} to {receiver}: {error!r} in {body}")
            self.changed.notify_all()

    def wait_for(self, kind, receiver, status, seconds):
        """Waits for the first message of this kind to this receiver with this status, and returns it."""

        def found():
            assert not self.errors, self.errors
            wanted = (kind, receiver, status)
            return next((it for it in self.messages if (it.kind, it.receiver, it.status) == wanted), None)

        with self.changed:
            assert self.changed.wait_for(found, timeout=seconds), f"no {kind} to {receiver} ({status}) within {seconds} s; messages: {self.messages}"
            return found()

    def __enter__(self):
        threading.Thread(target=self.http.serve_forever, daemon=True).start()
        self.smtp.start()
        return self

    def __exit__(self, *_):
        self.smtp.stop()
        self.http.shutdown()
