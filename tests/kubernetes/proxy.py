# SPDX-License-Identifier: Apache-2.0
"""An HTTPS proxy in front of an API server. It delays, cuts or changes answers, as networks and load balancers do."""
import contextlib
import http.client
import http.server
import json
import socket
import socketserver
import ssl
import threading

from control_plane import on_host


class FaultyProxy:
    """Listens on the control plane's host, at `port`; kubeconfig() writes a kubeconfig that uses it.

    fault: None, ("status", 429), ("garbage",), ("cut", bytes), ("hang", bytes), ("delay", seconds), ("hold", method),
    ("rewrite", function). With "hold", the server executes the request, but its answer does not come. Answers that hang or
    are held continue when the fault is removed. `requests` has (method, path) of all requests, `written` (method, path,
    document) of those with a body.

    The function of "rewrite" gets (path, status, object) of each list and returns (status, object). All watches, open ones
    too, get 410 (too old), so that clients list again and again.
    """

    def __init__(self, control, port=7443):
        self.control, self.port = control, port
        self.fault, self.requests, self.written, self.watches = None, [], [], set()
        self.changed = threading.Condition()
        certificate, key = control.authority.issue("proxy", "proxy", names=control.names)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        proxy = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle_one(self):
                proxy.handle(self)
            do_GET = do_POST = do_PATCH = do_PUT = do_DELETE = handle_one

            def log_message(self, *_):
                pass

        class Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
            daemon_threads = True

            def server_bind(self):
                self.socket = context.wrap_socket(
                    on_host(control.host, lambda: socket.create_server((control.address, port))),
                    server_side=True, do_handshake_on_connect=False)

            def handle_error(self, *_):
                pass

        self.server = Server((control.address, port), Handler)
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.05})
        self.thread.start()

    def close(self):
        self.set(None)
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def kubeconfig(self, original):
        with open(original) as f:
            config = json.load(f)
        config["clusters"][0]["cluster"]["server"] = f"https://{self.control.address}:{self.port}"
        path = original + ".proxy"
        with open(path, "w") as f:
            json.dump(config, f)
        return path

    def set(self, *fault):
        with self.changed:
            self.fault = fault if fault and fault[0] else None
            self.changed.notify_all()
        if self.fault and self.fault[0] == "rewrite":
            for connection in list(self.watches):
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)

    def _wait_until_well(self):
        with self.changed:
            self.changed.wait_for(lambda: self.fault is None)

    def handle(self, client):
        self.requests.append((client.command, client.path))
        length = int(client.headers.get("Content-Length") or 0)
        body = client.rfile.read(length) if length else None
        if body:
            self.written.append((client.command, client.path, json.loads(body)))
        fault = self.fault
        if fault and fault[0] == "status":
            return self._answer(client, fault[1], b'{"kind":"Status","message":"the proxy says no"}')
        if fault and fault[0] == "garbage":
            return self._answer(client, 200, b'{"items": [{"metadata": ]}, \xff\xfe')
        if fault and fault[0] == "delay":
            with self.changed:
                self.changed.wait_for(lambda: self.fault != fault, fault[1])
        if fault and fault[0] == "rewrite" and client.command == "GET" and client.path != "/version":
            return self._rewrite(client, fault[1])
        watch = "watch=true" in client.path
        if watch:
            self.watches.add(client.connection)
        try:
            self._forward(client, body, fault)
        finally:
            self.watches.discard(client.connection)

    def _rewrite(self, client, function):
        if "watch=true" in client.path:
            return self._answer(client, 410, b'{"kind":"Status","message":"too old"}')
        upstream = self.control.connection(timeout=20, admin=False)
        try:
            upstream.request("GET", client.path, headers={"Authorization": client.headers.get("Authorization", "")})
            answer = upstream.getresponse()
            # For an API group that is not installed, the answer is plain text.
            document = json.loads(answer.read()) if "json" in answer.headers.get("Content-Type", "") else {}
            status, document = function(client.path.partition("?")[0], answer.status, document)
        finally:
            upstream.close()
        self._answer(client, status, json.dumps(document).encode())

    @staticmethod
    def _answer(client, code, body):
        client.send_response(code)
        client.send_header("Content-Length", str(len(body)))
        client.send_header("Content-Type", "application/json")
        client.end_headers()
        client.wfile.write(body)

    def _forward(self, client, body, fault):
        # A connection without credentials: the agent's request has the agent's token.
        upstream = self.control.connection(timeout=None, admin=False)
        try:
            headers = {k: v for k, v in client.headers.items()
                       if k.lower() not in ("host", "connection", "accept-encoding", "content-length")}
            upstream.request(client.command, client.path, body, headers)
            answer = upstream.getresponse()
            if fault == ("hold", client.command):
                self._wait_until_well()
            client.send_response(answer.status)
            client.send_header("Content-Type", answer.headers.get("Content-Type", ""))
            client.send_header("Transfer-Encoding", "chunked")
            client.end_headers()
            sent = 0
            while data := answer.read1(65536):
                # Read it again: a fault also hits watches that were open before.
                fault = self.fault
                if fault and fault[0] in ("cut", "hang") and sent + len(data) > fault[1]:
                    before = max(0, fault[1] - sent)
                    self._chunk(client, data[:before])
                    if fault[0] == "cut":
                        client.connection.shutdown(socket.SHUT_RDWR)
                        return
                    self._wait_until_well()
                    data, sent = data[before:], sent + before
                self._chunk(client, data)
                sent += len(data)
            client.wfile.write(b"0\r\n\r\n")
        except (OSError, http.client.HTTPException):
            client.close_connection = True
        finally:
            upstream.close()

    @staticmethod
    def _chunk(client, data):
        if data:
            client.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
            client.wfile.flush()
