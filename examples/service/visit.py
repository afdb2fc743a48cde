#!/usr/bin/env python3
"""Visitors, for want of real ones: so many requests a second until Ctrl-C.

    python3 visit.py 127.0.0.1:8080 --rate 200
"""

import argparse
import http.client
import threading
import time

parser = argparse.ArgumentParser()
parser.add_argument("address")
parser.add_argument("--rate", type=float, default=200, help="requests a second, 1 to 1000")
options = parser.parse_args()

VISITORS = 8


def visit():
    connection = http.client.HTTPConnection(options.address, timeout=5)
    due = time.monotonic()
    while True:
        due = max(due + VISITORS / options.rate, time.monotonic() - 1)
        time.sleep(max(0, due - time.monotonic()))
        try:
            connection.request("GET", "/")
            connection.getresponse().read()
        except OSError:
            connection.close()
        except http.client.HTTPException:
            connection.close()


for _ in range(VISITORS):
    threading.Thread(target=visit, daemon=True).start()
try:
    threading.Event().wait()
except KeyboardInterrupt:
    pass
