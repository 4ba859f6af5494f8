"""A stub of the Kubernetes API server for `kubectl apply --server-side` of Secrets. It accepts one token, enforces a Role of the
manifests, and stores the Secrets."""

import base64
import http.server
import json
import re
import secrets
import ssl
import subprocess
import threading
import urllib.parse

SECRETS = {"name": "secrets", "singularName": "secret", "namespaced": True, "kind": "Secret", "verbs": ["create", "get", "patch"]}
# Tells kubectl that the server validates fields: https://kubernetes.io/docs/reference/using-api/api-concepts/#field-validation
FIELD_VALIDATION = {
    "openapi": "3.0.0",
    "info": {"title": "Kubernetes", "version": "v1"},
    "paths": {
        "/api/v1/namespaces/{namespace}/secrets/{name}": {
            "patch": {
                "parameters": [{"name": "fieldValidation", "in": "query", "schema": {"type": "string"}}],
                "responses": {"200": {"description": "OK"}},
                "x-kubernetes-group-version-kind": {"group": "", "version": "v1", "kind": "Secret"},
            },
        },
    },
}  # fmt: skip
DOCUMENTS = {
    "/api": {"kind": "APIVersions", "versions": ["v1"]},
    "/apis": {"kind": "APIGroupList", "apiVersion": "v1", "groups": []},
    "/api/v1": {"kind": "APIResourceList", "groupVersion": "v1", "resources": [SECRETS]},
    "/openapi/v3": {"paths": {"api/v1": {"serverRelativeURL": "/openapi/v3/api/v1"}}},
    "/openapi/v3/api/v1": FIELD_VALIDATION,
}


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def respond(self, status, document):
        body = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def reject(self, status, reason):
        self.server.api.rejected.append(f"{self.command} {self.path}: {reason}")
        self.respond(status, {"kind": "Status", "apiVersion": "v1", "status": "Failure", "message": reason, "code": status})

    def is_authenticated(self):
        return self.headers["Authorization"] == f"Bearer {self.server.api.token}"

    def do_GET(self):
        document = DOCUMENTS.get(urllib.parse.urlsplit(self.path).path)
        if not self.is_authenticated():
            self.reject(401, "unknown token")
        elif document is None:
            self.reject(404, "not found")
        else:
            self.respond(200, document)

    def do_PATCH(self):
        api = self.server.api
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        url = urllib.parse.urlsplit(self.path)
        match = re.fullmatch(rf"/api/v1/namespaces/{api.namespace}/secrets/([a-z-]+)", url.path)
        if not self.is_authenticated():
            self.reject(401, "unknown token")
        elif not match:
            self.reject(403, f"not a Secret of {api.namespace}")
        elif self.headers["Content-Type"] != "application/apply-patch+yaml":
            self.reject(415, f"{self.headers['Content-Type']} is not a server-side apply")
        elif missing := {"patch", *([] if match[1] in api.secrets else ["create"])} - api.granted(match[1]):
            self.reject(403, f"{', '.join(sorted(missing))} is not granted for {match[1]}")
        else:
            api.secrets[match[1]] = body
            self.respond(200, body)


class ApiServer:
    """A server on a local port, with a self-signed certificate."""

    def __init__(self, folder, namespace, role):
        self.namespace, self.role = namespace, role
        self.token = secrets.token_urlsafe()
        self.secrets, self.rejected = {}, []
        self.certificate = f"{folder}/ca.crt"
        key = f"{folder}/ca.key"
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "1", "-subj", "/CN=kubernetes"]
            + ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", self.certificate],
            check=True, capture_output=True,
        )  # fmt: skip
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.api = self
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.certificate, key)
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()

    def granted(self, name):
        """Returns the verbs that the Role allows for a Secret of this name."""
        rules = [rule for rule in self.role["rules"] if rule["apiGroups"] == [""] and "secrets" in rule["resources"] and name in rule["resourceNames"]]
        return {verb for rule in rules for verb in rule["verbs"]}

    def contents(self):
        """Returns the decoded values of every Secret."""
        return {name: {key: base64.b64decode(value) for key, value in secret["data"].items()} for name, secret in self.secrets.items()}
