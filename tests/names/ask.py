# ask.py tcp|udp HOST PORT: prints what a serve.py there says.
import socket
import sys

kind = socket.SOCK_STREAM if sys.argv[1] == "tcp" else socket.SOCK_DGRAM
found = socket.getaddrinfo(sys.argv[2], int(sys.argv[3]), type=kind)
family, kind, _, _, address = found[0]
one = socket.socket(family, kind)
one.settimeout(2)
# Connected: an answer from another address than was asked is not taken.
one.connect(address)
if kind == socket.SOCK_DGRAM:
    one.send(b"?")
print(one.recv(2048).decode())
