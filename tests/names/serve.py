# serve.py NAME PORT: says its name to whoever connects or sends a datagram, over IPv4 and IPv6.
import socket
import sys
import threading

name, port = sys.argv[1].encode(), int(sys.argv[2])


def bound(kind):
    one = socket.socket(socket.AF_INET6, kind)
    one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    one.bind(("::", port))
    return one


def datagrams(one):
    while True:
        _, peer = one.recvfrom(2048)
        one.sendto(name, peer)


listener = bound(socket.SOCK_STREAM)
listener.listen(64)
threading.Thread(target=datagrams, args=[bound(socket.SOCK_DGRAM)], daemon=True).start()
while True:
    client, _ = listener.accept()
    client.sendall(name)
    client.close()
