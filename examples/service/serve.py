#!/usr/bin/env python3
"""One version of a small web service, for want of one of your own: answers `hello` after a few milliseconds, and some requests with an error.

    python3 serve.py --port 9001 --version v1
    python3 serve.py --port 9003 --version v3 --errors 0.1
"""

import argparse
import random
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

parser = argparse.ArgumentParser()
parser.add_argument("--port", type=int, required=True)
parser.add_argument("--version", required=True)
parser.add_argument("--errors", type=float, default=0.0, help="the share of requests that fail, 0 to 1")
options = parser.parse_args()


class Hello(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_GET(self):
        time.sleep(random.uniform(0.003, 0.008))
        fails = random.random() < options.errors
        body = f"hello from {options.version}\n".encode()
        self.send_response(500 if fails else 200)
        self.send_header("content-type", "text/plain")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128


try:
    Server(("127.0.0.1", options.port), Hello).serve_forever()
except KeyboardInterrupt:
    pass
