//! A resolver that stands for the rest of the world, on the host's loopback.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use hickory_proto::op::{Message, OpCode, ResponseCode};
use hickory_proto::rr::rdata::{A, TXT};
use hickory_proto::rr::{RData, Record, RecordType};

use crate::bed::Namespace;

/// What the stub saw: how often it was asked for each name.
#[derive(Clone, Default)]
pub(crate) struct Stub {
    asked: Arc<Mutex<HashMap<String, usize>>>,
}

impl Stub {
    /// Serves `address` inside `host` until the process ends.
    pub(crate) fn start(host: &Namespace, address: &str) -> Self {
        let stub = Self::default();
        let (udp, tcp) = host
            .inside(|| (UdpSocket::bind((address, 53)).unwrap(), TcpListener::bind((address, 53)).unwrap()));
        // Where a question for `loop.…` is sent on to: back to the server under test.
        let onward = host.inside(|| UdpSocket::bind("0.0.0.0:0").unwrap());
        let of_udp = stub.clone();
        std::thread::spawn(move || of_udp.serve_udp(&udp, &onward));
        let of_tcp = stub.clone();
        std::thread::spawn(move || of_tcp.serve_tcp(&tcp));
        stub
    }

    pub(crate) fn times_asked(&self, name: &str) -> usize {
        self.asked.lock().unwrap().get(name).copied().unwrap_or_default()
    }

    fn serve_udp(&self, socket: &UdpSocket, onward: &UdpSocket) {
        let mut packet = [0; 4096];
        while let Ok((length, from)) = socket.recv_from(&mut packet) {
            let question = Message::from_vec(&packet[..length]).unwrap();
            if question.queries[0].name().to_ascii().starts_with("loop.") {
                self.note(&question);
                onward.send_to(&packet[..length], ("10.1.0.1", 53)).unwrap();
            } else if let Some(mut answer) = self.answer(&question) {
                if answer.to_vec().unwrap().len() > question.max_payload().into() {
                    answer.metadata.truncation = true;
                    answer.answers.clear();
                }
                // A forger's attempt first: an answer under another id.
                answer.metadata.id = question.id.wrapping_add(1);
                socket.send_to(&answer.to_vec().unwrap(), from).unwrap();
                answer.metadata.id = question.id;
                socket.send_to(&answer.to_vec().unwrap(), from).unwrap();
            }
        }
    }

    fn serve_tcp(&self, listener: &TcpListener) {
        while let Ok((mut stream, _)) = listener.accept() {
            if let Some(packet) = read_frame(&mut stream)
                && let Some(answer) = self.answer(&Message::from_vec(&packet).unwrap())
            {
                write_frame(&mut stream, &answer.to_vec().unwrap());
            }
        }
    }

    fn note(&self, question: &Message) -> String {
        let name = question.queries[0].name().to_lowercase().to_ascii();
        *self.asked.lock().unwrap().entry(name.clone()).or_default() += 1;
        name
    }

    /// `fail.…` fails, `mute.…` gets nothing, nothing is in `corp.example`, TXT is long, the rest has the address 192.0.2.10.
    fn answer(&self, question: &Message) -> Option<Message> {
        let name = self.note(question);
        let asked = question.queries[0].clone();
        let mut answer = Message::response(question.id, OpCode::Query);
        answer.metadata.recursion_available = true;
        answer.add_query(asked.clone());
        if name.starts_with("mute.") {
            return None;
        }
        if name.starts_with("fail.") {
            answer.metadata.response_code = ResponseCode::ServFail;
            return Some(answer);
        }
        if name.ends_with(".corp.example.") {
            answer.metadata.response_code = ResponseCode::NXDomain;
            return Some(answer);
        }
        let data = match asked.query_type() {
            RecordType::TXT => RData::TXT(TXT::new(vec!["x".repeat(250); 12])),
            _ => RData::A(A([192, 0, 2, 10].into())),
        };
        answer.add_answer(Record::from_rdata(asked.name().clone(), 60, data));
        Some(answer)
    }
}

pub(crate) fn read_frame(stream: &mut TcpStream) -> Option<Vec<u8>> {
    let mut length = [0; 2];
    stream.read_exact(&mut length).ok()?;
    let mut packet = vec![0; u16::from_be_bytes(length).into()];
    stream.read_exact(&mut packet).ok()?;
    Some(packet)
}

pub(crate) fn write_frame(stream: &mut TcpStream, packet: &[u8]) {
    stream.set_write_timeout(Some(Duration::from_secs(5))).unwrap();
    let length = u16::try_from(packet.len()).unwrap().to_be_bytes();
    stream.write_all(&[&length[..], packet].concat()).unwrap();
}
