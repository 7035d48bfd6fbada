//! Serves files over HTTP, as hubs and package indices do.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};

/// What a server answers a path with.
#[derive(Debug, Clone)]
pub enum Answer {
    /// The whole file.
    Whole(Vec<u8>),
    /// The first half of a file, then nothing more.
    Cut(Vec<u8>),
}

/// Serves answers by their paths, and 404 for all others, until the test ends;
/// returns the server's address.
pub fn serve_files(answers: BTreeMap<String, Answer>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            answer(&mut stream.unwrap(), &answers);
        }
    });
    format!("http://{address}")
}

fn answer(stream: &mut TcpStream, answers: &BTreeMap<String, Answer>) {
    let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
    let request = lines.next().unwrap().unwrap();
    while lines.next().is_some_and(|line| !line.unwrap().is_empty()) {}
    let path = request.split(' ').nth(1).unwrap();
    let (status, body, n_sent) = match answers.get(path) {
        Some(Answer::Whole(body)) => ("200 OK", &body[..], body.len()),
        Some(Answer::Cut(body)) => ("200 OK", &body[..], body.len() / 2),
        None => ("404 Not Found", &[][..], 0),
    };
    let head = format!(
        "HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
        body.len()
    );
    // Whoever asked may have left.
    drop(stream.write_all(&[head.as_bytes(), &body[..n_sent]].concat()));
}
