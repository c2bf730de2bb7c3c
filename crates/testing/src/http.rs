//! The one HTTP request that is needed here.

use std::io::{self, BufRead, BufReader, Write};

/// Does Triton at this port make a vector of a text? Its health page says ready even when the process
/// of the model is dead.
pub fn infers(port: u16) -> io::Result<bool> {
    const BODY: &str =
        r#"{"inputs":[{"name":"TEXT","shape":[1,1],"datatype":"BYTES","data":["ready"]}]}"#;
    let mut stream = crate::connect(port)?;
    write!(
        stream,
        "POST /v2/models/codebert/infer HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\nConnection: close\r\n\r\n{BODY}",
        BODY.len()
    )?;
    let mut status = String::new();
    BufReader::new(stream).read_line(&mut status)?;
    Ok(status.starts_with("HTTP/1.1 200 "))
}
