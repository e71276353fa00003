#!/usr/bin/env python3
"""Puts an artifact into a registry as `docker compose publish` does; prints its digest.

  publish.py http://HOST:PORT REPOSITORY TAG TYPE KIND:NAME=FILE...

KIND is file, extends or envfile. TYPE is the artifact's type; `1.0` leaves it out, as for registries of OCI 1.0."""

import hashlib
import json
import sys
import urllib.parse
import urllib.request

REGISTRY, REPOSITORY, TAG, TYPE = sys.argv[1:5]
COMPOSE = "application/vnd.docker.compose."


def put(url, content, kind):
    request = urllib.request.Request(url, data=content, method="PUT", headers={"Content-Type": kind})
    urllib.request.urlopen(request).read()


def blob(content, kind, annotations=None):
    digest = "sha256:" + hashlib.sha256(content).hexdigest()
    start = urllib.request.Request(f"{REGISTRY}/v2/{REPOSITORY}/blobs/uploads/", data=b"", method="POST")
    place = urllib.request.urlopen(start).headers["Location"]
    place = urllib.parse.urljoin(REGISTRY, place)
    put(place + ("&" if "?" in place else "?") + "digest=" + digest, content, "application/octet-stream")
    described = {"mediaType": kind, "digest": digest, "size": len(content)}
    return {**described, "annotations": annotations} if annotations else described


def layer(word):
    kind, _, rest = word.partition(":")
    name, _, path = rest.partition("=")
    with open(path, "rb") as file:
        content = file.read()
    if kind == "envfile":
        return blob(content, COMPOSE + "envfile", {"com.docker.compose.envfile": name})
    notes = {"com.docker.compose.file": name}
    if kind == "extends":
        notes["com.docker.compose.extends"] = "true"
    return blob(content, COMPOSE + "file+yaml", notes)


old = TYPE == "1.0"
config = COMPOSE + "config.empty.v1+json" if old else "application/vnd.oci.empty.v1+json"
manifest = {
    "schemaVersion": 2,
    "mediaType": "application/vnd.oci.image.manifest.v1+json",
    **({} if old else {"artifactType": TYPE}),
    "config": blob(b"{}", config),
    "layers": [layer(word) for word in sys.argv[5:]],
}
content = json.dumps(manifest).encode()
put(f"{REGISTRY}/v2/{REPOSITORY}/manifests/{TAG}", content, manifest["mediaType"])
print("sha256:" + hashlib.sha256(content).hexdigest())
