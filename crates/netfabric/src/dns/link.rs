//! One attempt to get an answer from one resolver: a socket of its own.
//!
//! A new socket for each attempt means a source port nobody can guess, and a kernel that drops what
//! comes from anybody else (RFC 5452, 9). It also hands over ICMP errors, so a resolver that is not
//! there costs no time-out.

use std::fs::File;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, UdpSocket};
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;

use rustix::event::epoll::EventFlags;
use rustix::net::{AddressFamily, SocketFlags, SocketType, connect, socket_with};

use super::message::Transport;
use crate::netns;

#[derive(Debug)]
pub(super) enum Link {
    Udp(UdpSocket),
    /// `unsent` is what the connection still has to take, `inbox` what came so far.
    Tcp {
        stream: TcpStream,
        unsent: Vec<u8>,
        inbox: Vec<u8>,
    },
}

impl Link {
    /// Sends `packet` to `server`, or begins to.
    pub(super) fn open(transport: Transport, server: SocketAddr, packet: &[u8]) -> io::Result<Self> {
        match transport {
            Transport::Udp => Self::open_udp(server, packet),
            Transport::Tcp => Self::open_tcp(server, packet),
        }
    }

    /// The same from inside the network namespace at `netns`. It is opened anew each time: a fabric that was removed and
    /// made again is another one.
    pub(super) fn open_inside(
        netns: &Path,
        transport: Transport,
        server: SocketAddr,
        packet: &[u8],
    ) -> io::Result<Self> {
        let netns = File::open(netns)?;
        let packet = packet.to_owned();
        netns::enter(netns.as_fd(), move || Self::open(transport, server, &packet))
            .map_err(io::Error::other)?
    }

    fn open_udp(server: SocketAddr, packet: &[u8]) -> io::Result<Self> {
        let any: SocketAddr = match server {
            SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
            SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
        };
        let socket = UdpSocket::bind(any)?;
        socket.set_nonblocking(true)?;
        socket.connect(server)?;
        socket.send(packet)?;
        Ok(Link::Udp(socket))
    }

    fn open_tcp(server: SocketAddr, packet: &[u8]) -> io::Result<Self> {
        let family = if server.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let fd = socket_with(family, SocketType::STREAM, flags, None)?;
        match connect(&fd, &server) {
            Ok(()) | Err(rustix::io::Errno::INPROGRESS) => {}
            Err(errno) => return Err(errno.into()),
        }
        Ok(Link::Tcp { stream: fd.into(), unsent: framed(packet), inbox: Vec::new() })
    }

    pub(super) fn fd(&self) -> BorrowedFd<'_> {
        match self {
            Link::Udp(socket) => socket.as_fd(),
            Link::Tcp { stream, .. } => stream.as_fd(),
        }
    }

    pub(super) fn interest(&self) -> EventFlags {
        match self {
            Link::Tcp { unsent, .. } if !unsent.is_empty() => EventFlags::OUT,
            _ => EventFlags::IN,
        }
    }

    /// Goes on as far as the kernel lets it. An answer, when one is there; an error when this resolver
    /// won't give one.
    pub(super) fn advance(&mut self) -> io::Result<Option<Vec<u8>>> {
        let step = match self {
            Link::Udp(socket) => receive(socket).map(Some),
            Link::Tcp { stream, unsent, inbox } => exchange(stream, unsent, inbox),
        };
        match step {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
            step => step,
        }
    }
}

fn receive(socket: &UdpSocket) -> io::Result<Vec<u8>> {
    let mut packet = [0; u16::MAX as usize];
    let length = socket.recv(&mut packet)?;
    Ok(packet[..length].to_vec())
}

fn exchange(
    stream: &mut TcpStream,
    unsent: &mut Vec<u8>,
    inbox: &mut Vec<u8>,
) -> io::Result<Option<Vec<u8>>> {
    while !unsent.is_empty() {
        let sent = stream.write(unsent)?;
        unsent.drain(..sent);
    }
    let mut chunk = [0; 4096];
    loop {
        if let Some(answer) = take_frame(inbox) {
            return Ok(Some(answer));
        }
        match stream.read(&mut chunk)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            length => inbox.extend_from_slice(&chunk[..length]),
        }
    }
}

/// A message as it goes over a stream: its length, then itself (RFC 1035, 4.2.2), in one piece, so
/// that it leaves in one segment.
pub(super) fn framed(packet: &[u8]) -> Vec<u8> {
    let length = u16::try_from(packet.len()).unwrap_or(u16::MAX);
    let mut frame = length.to_be_bytes().to_vec();
    frame.extend_from_slice(&packet[..length.into()]);
    frame
}

/// Takes the first whole message off what was read from a stream.
pub(super) fn take_frame(inbox: &mut Vec<u8>) -> Option<Vec<u8>> {
    let length = frame_length(inbox)?;
    if inbox.len() < 2 + length {
        return None;
    }
    let frame = inbox[2..2 + length].to_vec();
    inbox.drain(..2 + length);
    Some(frame)
}

/// The announced length of the message that `inbox` begins with.
pub(super) fn frame_length(inbox: &[u8]) -> Option<usize> {
    Some(u16::from_be_bytes([*inbox.first()?, *inbox.get(1)?]).into())
}
