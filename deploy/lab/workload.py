# SPDX-License-Identifier: Apache-2.0
"""The programs that run in the lab's pods: a backend that answers with secrets, a frontend that sends other secrets in its
requests, and a steady client that counts how many of its requests failed."""
import json
import re

# What an eavesdropper must not be able to read.
SECRETS = re.compile(rb"(Authorization: Bearer|X-API-Key: |Cookie: session=|\"password\"|aws_access_key|"
                     rb"aws_secret_key|stripe_api_key|db-password)[^\r\n]{0,60}")
# Every request and every answer contains it.
MARKER = b"sk_live_"
PORT = 8080

BACKEND = """
import http.server, json, socket
SECRETS = {"users": [{"name": "admin", "password": "SuperSecret123!"}],
           "aws_access_key": "AKIAIOSFODNN7EXAMPLE",
           "aws_secret_key": "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
           "stripe_api_key": "sk_live_51ABCdefGHIjklMNO",
           "database": "postgres://app:db-password-42@db:5432/shop"}
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = 65536  # head and body in one segment
    def do_GET(self):
        body = json.dumps(SECRETS, indent=1).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
        self.wfile.flush()
    def log_message(self, *_): pass
class Server(http.server.ThreadingHTTPServer):
    address_family = socket.AF_INET6
    request_queue_size = 128
server = Server(("::", 8080), Handler)
print("ready", flush=True)
server.serve_forever()
"""

_HEADERS = """
HEADERS = {"Authorization": "Bearer eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhZG1pbiJ9.c2lnbmF0dXJl",
           "X-API-Key": "sk_live_frontend_api_key_12345", "Cookie": "session=abc123-session-secret"}
"""

FRONTEND = _HEADERS + """
import http.client, itertools, sys, time
for n in itertools.count(1):
    try:
        c = http.client.HTTPConnection(sys.argv[1], 8080, timeout=5)
        c.request("GET", "/users", headers=HEADERS)
        assert c.getresponse().read()
        print(n, flush=True)
    except OSError as e:
        print("failed", e, flush=True)
    time.sleep(0.1)
"""

# Arguments: address, requests per second. Each tenth request has a connection of its own. It ends at SIGTERM.
STEADY = _HEADERS + """
import http.client, json, signal, sys, time
address, rate = sys.argv[1], float(sys.argv[2])
sent = failed = 0; slowest = 0.0; going = True; errors = []
def stop(*_):
    global going
    going = False
signal.signal(signal.SIGTERM, stop)
def ask(c):
    c.request("GET", "/users", headers=HEADERS)
    assert b"stripe" in c.getresponse().read()
kept = http.client.HTTPConnection(address, 8080, timeout=10)
print("ready", flush=True)
first = begin = time.monotonic()
while going:
    now = time.monotonic()
    due = begin + sent / rate
    if now < due:
        time.sleep(due - now)
    elif now - due > 1:
        begin = now - sent / rate  # a machine that is too slow is no failure
    started = time.monotonic()
    try:
        if sent % 10 == 9:
            c = http.client.HTTPConnection(address, 8080, timeout=10); ask(c); c.close()
        else:
            ask(kept)
    except Exception as e:
        failed += 1; errors.append(repr(e)); kept.close()
    sent += 1
    if sent % 100 == 0: print("100", flush=True)
    slowest = max(slowest, time.monotonic() - started)
print(json.dumps({"sent": sent, "failed": failed, "slowest_ms": round(slowest * 1000, 1),
                  "seconds": round(time.monotonic() - first, 1), "errors": errors[:5]}), flush=True)
"""


def backend(pod):
    """Starts the backend and returns when it listens."""
    process = pod.start(["python3", "-c", BACKEND])
    if process.stdout.readline() != "ready\n":
        raise RuntimeError(f"{pod.name}: the backend does not start")
    return process


def frontend(pod, address):
    """Starts the frontend. It makes about ten requests per second and prints a line for each: a number, or "failed" and why."""
    return pod.start(["python3", "-c", FRONTEND, address])


class Steady:
    """A client that makes `rate` requests per second until stop(), which returns the result."""

    def __init__(self, pod, address, rate=200):
        self.process = pod.start(["python3", "-c", STEADY, address, str(rate)])
        if self.process.stdout.readline() != "ready\n":
            raise RuntimeError(f"{pod.name}: the client does not start")

    def more(self, requests=500):
        """Returns when the client has made about so many more requests."""
        for _ in range(requests // 100):
            if self.process.stdout.readline() != "100\n":
                raise RuntimeError("the client ended")

    def stop(self):
        self.process.terminate()
        out, _ = self.process.communicate(timeout=30)
        return json.loads(out.splitlines()[-1])

    def all_answered(self):
        """Stops; True if no request failed, else an error that says which."""
        result = self.stop()
        assert result["failed"] == 0, result
        return True
