//! What stops reading, said so that a person knows what to do.

use std::io;

use thiserror::Error;

/// Why a file of logs could not be read. Every message names the file and the way out.
#[derive(Debug, Error)]
#[allow(missing_docs, reason = "the messages are the documentation")]
pub enum InputError {
    #[error("{name}: no such file. Check the path; logs are given as files, such as logs/*.log")]
    NotFound { name: String },

    #[error("{name}: is a folder. Give the files in it, such as {name}/*.log")]
    Folder { name: String },

    #[error(
        "{name}: is not text: {reason}. Logs are plain text, .gz or .zip of text; leave this file out"
    )]
    Binary { name: String, reason: String },

    #[error("{name}: is packed with {method}, which is not read. Unpack it first ({command})")]
    Packing { name: String, method: &'static str, command: &'static str },

    #[error("{name}: is encrypted. Unpack it with its password first")]
    Encrypted { name: String },

    #[error("{name}: ends in the middle of its packed data: it was cut short. Copy it again")]
    Truncated { name: String },

    #[error("{name}: is damaged ({reason}). Copy or pack it again")]
    Damaged { name: String, reason: String },

    #[error(
        "{name}: unpacks to {unpacked} bytes and more from {packed} bytes, over the limit of \
         {limit}. Refused, as archives made to exhaust a machine look like this; if it is honest, \
         raise the limit or unpack it yourself"
    )]
    Bomb { name: String, packed: u64, unpacked: u64, limit: String },

    #[error("{name}: holds no .txt or .log file")]
    NoLogs { name: String },

    #[error("{name}: cannot be read: {error}")]
    Io { name: String, error: io::Error },
}

/// What [`crate::source`]'s guard puts into an [`io::Error`] when an archive unpacks to too much.
#[derive(Debug, Error)]
#[error("over the limit of {limit}")]
pub(crate) struct Refused {
    pub packed: u64,
    pub unpacked: u64,
    pub limit: String,
}

impl InputError {
    /// An error of reading `name` as the error a person should see.
    pub(crate) fn reading(name: &str, packed: bool, error: io::Error) -> InputError {
        let name = name.to_owned();
        if let Some(refused) = error.get_ref().and_then(|inner| inner.downcast_ref::<Refused>()) {
            let Refused { packed, unpacked, ref limit } = *refused;
            return InputError::Bomb { name, packed, unpacked, limit: limit.clone() };
        }
        match error.kind() {
            io::ErrorKind::NotFound => InputError::NotFound { name },
            io::ErrorKind::UnexpectedEof if packed => InputError::Truncated { name },
            io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput if packed => {
                InputError::Damaged { name, reason: error.to_string() }
            }
            _ => InputError::Io { name, error },
        }
    }
}
