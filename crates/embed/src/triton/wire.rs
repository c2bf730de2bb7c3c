//! What goes to Triton and what comes back: KServe v2 messages with raw contents.

use std::error::Error;

use tonic07::{Code, Status};
use triton_client::inference::model_infer_request::{InferInputTensor, InferRequestedOutputTensor};
use triton_client::inference::{ModelInferRequest, ModelInferResponse};

use domain::Vector;

use crate::value;

const INPUT: &str = "TEXT";
const OUTPUT: &str = "EMBEDDING";

/// A request for the vectors of texts.
pub fn request(model: &str, texts: &[&str]) -> ModelInferRequest {
    let rows = texts.len() as i64;
    let input = InferInputTensor {
        name: INPUT.to_owned(),
        datatype: "BYTES".to_owned(),
        shape: vec![rows, 1],
        ..InferInputTensor::default()
    };
    let output = InferRequestedOutputTensor {
        name: OUTPUT.to_owned(),
        ..InferRequestedOutputTensor::default()
    };
    let mut raw = Vec::new();
    for text in texts {
        raw.extend((text.len() as u32).to_le_bytes());
        raw.extend(text.as_bytes());
    }
    ModelInferRequest {
        model_name: model.to_owned(),
        inputs: vec![input],
        outputs: vec![output],
        raw_input_contents: vec![raw],
        ..ModelInferRequest::default()
    }
}

/// The vectors of an answer for so many texts, all of one length; or what is wrong with it.
pub fn vectors(answer: &ModelInferResponse, texts: usize) -> Result<Vec<Vector>, String> {
    let place = answer.outputs.iter().position(|output| output.name == OUTPUT);
    let place = place.ok_or_else(|| format!("it has no output {OUTPUT}"))?;
    let output = &answer.outputs[place];
    let raw = answer.raw_output_contents.get(place).map_or(&[][..], Vec::as_slice);
    let dimension = match output.shape[..] {
        [rows, dimension] if rows == texts as i64 && dimension > 0 => dimension as usize,
        _ => return Err(format!("{OUTPUT} has the shape {:?} for {texts} texts", output.shape)),
    };
    if output.datatype != "FP32" || dimension.checked_mul(4 * texts) != Some(raw.len()) {
        let (kind, size) = (&output.datatype, raw.len());
        return Err(format!(
            "{OUTPUT} is {size} bytes of {kind} for {texts} × {dimension} of FP32"
        ));
    }
    let vectors: Vec<Vector> =
        raw.chunks_exact(4 * dimension).filter_map(value::from_bytes).collect();
    match vectors.iter().position(|vector| !value::is_unit(vector)) {
        Some(row) => Err(format!("row {row} of {OUTPUT} is no vector of length 1")),
        None => Ok(vectors),
    }
}

/// Why a request was not answered, by what helps.
pub enum Failure {
    /// Trying again, now or later.
    Temporary(String),
    /// Nothing that a client could do.
    Lasting(String),
}

/// What a status means.
pub fn failure(status: &Status) -> Failure {
    let temporary = match status.code() {
        Code::Unavailable | Code::DeadlineExceeded | Code::ResourceExhausted | Code::Cancelled => {
            true
        }
        // The process of the model died, and Triton goes on without it.
        Code::Internal if status.message().to_lowercase().contains("stub process") => true,
        // It knows the model, and is not done with loading it.
        Code::NotFound if status.message().contains("no available versions") => true,
        // Statuses that the client makes of a broken connection carry what broke it.
        _ => status.source().is_some(),
    };
    let said = format!("{} ({:?})", status.message().trim(), status.code());
    if temporary { Failure::Temporary(said) } else { Failure::Lasting(said) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use triton_client::inference::model_infer_response::InferOutputTensor;

    fn answer(shape: &[i64], values: &[f32]) -> ModelInferResponse {
        let (name, datatype) = (OUTPUT.to_owned(), "FP32".to_owned());
        let output =
            InferOutputTensor { name, datatype, shape: shape.to_vec(), ..Default::default() };
        ModelInferResponse {
            outputs: vec![output],
            raw_output_contents: vec![value::to_bytes(values)],
            ..Default::default()
        }
    }

    #[test]
    fn a_text_is_its_length_and_its_bytes() {
        let request = request("codebert", &["ab", "ф"]);
        assert_eq!(request.inputs[0].shape, [2, 1]);
        assert_eq!(request.raw_input_contents, [b"\x02\0\0\0ab\x02\0\0\0\xd1\x84".to_vec()]);
    }

    #[test]
    fn vectors_come_in_their_order() {
        let found = vectors(&answer(&[2, 2], &[1.0, 0.0, 0.6, 0.8]), 2).unwrap();
        assert_eq!(found, [Vector::from([1.0, 0.0]), Vector::from([0.6, 0.8])]);
    }

    #[test]
    fn an_answer_that_is_not_as_agreed_is_refused_with_what_is_wrong() {
        let whole = answer(&[1, 2], &[0.6, 0.8]);
        let mut renamed = whole.clone();
        renamed.outputs[0].name = "OTHER".to_owned();
        let mut halved = whole.clone();
        halved.outputs[0].datatype = "FP16".to_owned();
        let mut empty = whole.clone();
        empty.raw_output_contents.clear();
        for (answer, words) in [
            (renamed, "no output EMBEDDING"),
            (halved, "8 bytes of FP16 for 1 × 2"),
            (empty, "0 bytes of FP32"),
            (answer(&[2, 2], &[0.6, 0.8]), "shape [2, 2] for 1 texts"),
            (answer(&[1], &[0.6, 0.8]), "shape [1]"),
            (answer(&[1, -1], &[0.6, 0.8]), "shape [1, -1]"),
            (answer(&[1, 3], &[0.6, 0.8]), "8 bytes of FP32 for 1 × 3"),
            (answer(&[1, i64::MAX], &[0.6, 0.8]), "8 bytes"),
            (answer(&[1, 2], &[3.0, 4.0]), "row 0 of EMBEDDING is no vector of length 1"),
            (answer(&[1, 2], &[f32::NAN, 1.0]), "row 0"),
        ] {
            let said = vectors(&answer, 1).unwrap_err();
            assert!(said.contains(words), "{said:?} without {words:?}");
        }
    }

    #[test]
    fn only_what_may_pass_is_temporary() {
        let temporary =
            |code, message| matches!(failure(&Status::new(code, message)), Failure::Temporary(_));
        assert!(temporary(Code::Unavailable, ""));
        assert!(temporary(Code::DeadlineExceeded, ""));
        assert!(temporary(Code::ResourceExhausted, "queue full"));
        assert!(temporary(Code::Internal, "Stub process 'codebert_0_0' is not healthy."));
        assert!(!temporary(Code::Internal, "the model failed: a shape"));
        assert!(!temporary(Code::NotFound, "unknown model"));
        assert!(temporary(Code::NotFound, "'codebert' has no available versions"));
        assert!(!temporary(Code::InvalidArgument, "TEXT row 0 is not UTF-8"));
        assert!(!temporary(Code::Unknown, ""));
    }
}
