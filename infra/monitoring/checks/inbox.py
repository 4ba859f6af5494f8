"""What people receive: stands in for Slack, Microsoft Teams, PagerDuty, a webhook and a mail server, and keeps each message."""

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
from webhook import own_address

# What each service answers when it accepts a message: Alertmanager takes Slack's for an error otherwise.
ANSWERS = {"slack": (200, b"ok"), "teams": (202, b""), "pagerduty": (202, b'{"status":"success"}'), "webhook": (204, b"")}
# aiosmtpd warns of what it does itself.
logging.getLogger("mail.log").setLevel(logging.ERROR)
USER, PASSWORD = "alerts", "a password of the mail server"


@dataclass
class Message:
    """A message of any kind."""

    kind: str
    # Who receives it, such as page: the path of a URL, a key of PagerDuty, the name of a mailbox.
    receiver: str
    status: str
    title: str
    text: str
    links: set
    severity: str
    # The labels, where the message has them as data.
    labels: dict


def urls(text):
    return set(re.findall(r"https?://[^\s|<>\"]+", text))


def of_webhook(body):
    alert = body["alerts"][0]
    links = {alert["annotations"]["runbook_url"], alert["generatorURL"], f"{body['externalURL']}/#/alerts?receiver={body['receiver']}"}
    return body["status"], body["groupLabels"]["alertname"], alert["annotations"]["description"], links, alert["labels"]["severity"], alert["labels"]


def of_slack(body):
    it = body["attachments"][0]
    text = html.unescape(it["text"])
    severity, status = re.search(r"\*(\w+), (\w+)\*", text).groups()
    return status, it["title"], text, urls(text) | {it["title_link"]}, severity, {}


def of_teams(body):
    title, text = (part["text"] for part in body["attachments"][0]["content"]["body"])
    severity, status = re.search(r"\*\*(\w+), (\w+)\*\*", text).groups()
    return status, title, text, set(re.findall(r"\]\(([^)]+)\)", text)), severity, {}


def of_pagerduty(body):
    payload = body["payload"]
    links = {link["href"] for link in body["links"]} | {body["client_url"]}
    status = {"trigger": "firing", "resolve": "resolved"}[body["event_action"]]
    severity = {"critical": "page", "warning": "ticket"}[payload["severity"]]
    labels = {"environment": payload["custom_details"]["environment"], "cluster": payload["custom_details"]["cluster"]}
    return status, payload["summary"], payload["custom_details"]["text"], links, severity, labels


def of_mail(message):
    text, page = (message.get_body((kind,)).get_content() for kind in ("plain", "html"))
    severity, status = re.search(r"<strong>(\w+), (\w+)</strong>", page).groups()
    links = {html.unescape(link) for link in re.findall(r'href="([^"]+)"', page)}
    missing = links - urls(text)
    assert not missing, f"the text of a mail lacks {missing} of its page:\n{text}"
    return status, str(message["Subject"]), text, links, severity, {}


class Inbox:
    """Receives at `url`/KIND/RECEIVER for webhooks, Slack and Teams, at `url`/pagerduty, and at `smarthost`, whose user is USER.

    The mail server accepts mail by STARTTLS alone. Its certificate, which it makes in `folder`, is its own authority.
    """

    def __init__(self, folder):
        self.messages, self.errors, self.changed = [], [], threading.Condition()
        inbox, address = self, own_address()

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                kind, _, receiver = self.path.strip("/").partition("/")
                read = {"slack": of_slack, "teams": of_teams, "pagerduty": of_pagerduty, "webhook": of_webhook}[kind]
                inbox.keep(kind, receiver or body["routing_key"], read, body)
                code, answer = ANSWERS[kind]
                self.send_response(code)
                self.send_header("Content-Type", "application/json" if kind == "pagerduty" else "text/plain")
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *_):
                pass

        class Mailbox:
            async def handle_DATA(self, _server, _session, envelope):
                message = email.message_from_bytes(envelope.content, policy=email.policy.default)
                for recipient in envelope.rcpt_tos:
                    inbox.keep("email", recipient.partition("@")[0], of_mail, message)
                return "250 accepted"

        def authenticate(_server, _session, _envelope, _mechanism, given):
            known = (given.login, given.password) == (USER.encode(), PASSWORD.encode())
            return AuthResult(success=known, handled=False)

        key, self.certificate = (folder / name for name in ("key.pem", "certificate.pem"))
        make = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "1", "-subj", "/CN=mail"]
        make += ["-addext", f"subjectAltName=IP:{address}", "-keyout", key, "-out", self.certificate]
        subprocess.run(make, check=True, capture_output=True)
        tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        tls.load_cert_chain(self.certificate, key)
        self.http = ThreadingHTTPServer((address, 0), Handler)
        self.url = f"http://{address}:{self.http.server_port}"
        port = free_port()
        # Alertmanager does not know the words with which this server asks for a LOGIN.
        login = {"authenticator": authenticate, "auth_required": True, "auth_exclude_mechanism": ["LOGIN"]}
        self.smtp = Controller(Mailbox(), hostname=address, port=port, tls_context=tls, require_starttls=True, **login)
        self.smarthost = f"{address}:{port}"

    def keep(self, kind, receiver, read, body):
        with self.changed:
            try:
                self.messages.append(Message(kind, receiver, *read(body)))
            except Exception as error:
                self.errors.append(f"{kind} to {receiver}: {error!r} in {body}")
            self.changed.notify_all()

    def wait_for(self, kind, receiver, status, seconds):
        """The first message of this kind to this receiver about alerts that are firing, or resolved."""

        def found():
            assert not self.errors, self.errors
            wanted = (kind, receiver, status)
            return next((it for it in self.messages if (it.kind, it.receiver, it.status) == wanted), None)

        with self.changed:
            assert self.changed.wait_for(found, timeout=seconds), f"no {kind} to {receiver} ({status}) within {seconds} s, only {self.messages}"
            return found()

    def __enter__(self):
        threading.Thread(target=self.http.serve_forever, daemon=True).start()
        self.smtp.start()
        return self

    def __exit__(self, *_):
        self.smtp.stop()
        self.http.shutdown()
