#!/usr/bin/env python3
"""Serves a folder on loopback, by HTTP. Below /smart/ git speaks its own protocol, elsewhere repositories are plain
files. Each request is a line of the file FOLDER.requests.

  serve.py FOLDER PORT"""

import http.server
import os
import subprocess
import sys

FOLDER, PORT = sys.argv[1], int(sys.argv[2])


class Handler(http.server.SimpleHTTPRequestHandler):
    def __init__(self, *arguments):
        super().__init__(*arguments, directory=FOLDER)

    def log_request(self, code="-", size="-"):
        with open(FOLDER + ".requests", "a") as log:
            log.write(f"{self.command} {self.path}\n")

    def log_message(self, *_):
        pass

    def do_GET(self):
        if self.path.startswith("/smart/"):
            self.git()
        else:
            super().do_GET()

    def do_POST(self):
        self.git()

    def git(self):
        path, _, query = self.path.partition("?")
        length = int(self.headers.get("content-length") or 0)
        variables = {
            "GIT_PROJECT_ROOT": FOLDER,
            "GIT_HTTP_EXPORT_ALL": "1",
            "PATH_INFO": path.removeprefix("/smart"),
            "QUERY_STRING": query,
            "REQUEST_METHOD": self.command,
            "CONTENT_TYPE": self.headers.get("content-type", ""),
            "CONTENT_LENGTH": str(length),
            "HTTP_CONTENT_ENCODING": self.headers.get("content-encoding", ""),
            "GIT_PROTOCOL": self.headers.get("git-protocol", ""),
        }
        said = subprocess.run(
            ["git", "http-backend"],
            input=self.rfile.read(length),
            env={**os.environ, **variables},
            stdout=subprocess.PIPE,
        ).stdout
        head, _, body = said.partition(b"\r\n\r\n")
        headers = [line.partition(": ")[::2] for line in head.decode().split("\r\n") if line]
        status = dict(headers).get("Status", "200 OK")
        self.send_response(int(status.split()[0]))
        for name, value in headers:
            if name != "Status":
                self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)


http.server.ThreadingHTTPServer(("127.0.0.1", PORT), Handler).serve_forever()
