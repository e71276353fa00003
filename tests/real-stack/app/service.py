"""The shop: each POST to /orders is a row in postgres and a count in redis; GET /orders tells both."""

import http.server
import json
import os
import signal
import socket
import sys

import psycopg2
import redis

database = psycopg2.connect(os.environ["DATABASE"])
database.autocommit = True
# Two replicas that create a table at once collide in postgres's own catalogue.
database.cursor().execute("SELECT pg_advisory_lock(1)")
database.cursor().execute("CREATE TABLE IF NOT EXISTS orders (id SERIAL PRIMARY KEY, what TEXT NOT NULL)")
database.cursor().execute("SELECT pg_advisory_unlock(1)")
cache = redis.Redis.from_url(os.environ["CACHE"])


class Shop(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        what = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
        database.cursor().execute("INSERT INTO orders (what) VALUES (%s)", (what,))
        cache.incr("orders")
        self.answer(201)

    def do_GET(self):
        self.answer(200)

    def answer(self, status):
        cursor = database.cursor()
        cursor.execute("SELECT what FROM orders ORDER BY id")
        body = {
            "orders": [row[0] for row in cursor.fetchall()],
            "counted": int(cache.get("orders") or 0),
            "by": socket.gethostname(),
            "asker": self.headers.get("X-Forwarded-For"),
        }
        body = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
print("shop: listening on 8000", flush=True)
http.server.ThreadingHTTPServer(("", 8000), Shop).serve_forever()
