"""Receives relay's webhooks and checks their signatures; needs nothing but Python 3.9."""

import base64
import hashlib
import hmac
import json
import os
import sys
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

KEY = base64.b64decode(os.environ.get("WEBHOOK_SECRET", "").removeprefix("whsec_"), validate=True)
if len(KEY) < 24:
    sys.exit("WEBHOOK_SECRET is not set, or too short")


def signed_by_relay(headers, body):
    """Tells whether body is what the owner of the secret signed, within the last five minutes."""
    event_id, sent = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "")
    if not event_id or not sent.isdecimal() or abs(time.time() - int(sent)) > 300:
        return False
    want = hmac.new(KEY, f"{event_id}.{sent}.".encode() + body, hashlib.sha256).digest()
    for signature in headers.get("webhook-signature", "").split():  # one for each secret relay has
        version, _, encoded = signature.partition(",")
        if version == "v1" and hmac.compare_digest(encoded.encode(), base64.b64encode(want)):
            return True
    return False


class Receiver(BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        good = signed_by_relay(self.headers, body)
        if good:
            print(json.loads(body)["id"], flush=True)
        self.send_response(204 if good else 401)
        self.end_headers()

    def log_message(self, *_):
        pass


host, port = os.environ.get("LISTEN", "127.0.0.1:8080").rsplit(":", 1)
server = ThreadingHTTPServer((host, int(port)), Receiver)
print(f"listening on http://{host}:{server.server_port}/", file=sys.stderr, flush=True)
server.serve_forever()
