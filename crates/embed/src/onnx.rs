//! The in-process model: any BERT-like ONNX sentence model with its tokenizer, on the CPU.
//!
//! Computed in f32 by rten, a batch of texts of like length a core. The model is loaded when the
//! first text needs it, so that a run whose vectors are all at hand never pays for it.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use domain::Vector;
use rayon::prelude::*;
use rten::{Model, ModelOptions, NodeId, RunOptions, ThreadPool};
use rten_tensor::prelude::*;
use rten_tensor::{NdTensor, Tensor};
use serde_json::Value;
use sha2::{Digest, Sha256};
use tokenizers::{Encoding, Tokenizer, TruncationParams};

use crate::{EmbedError, Embedder, meter};

/// The tokens that are looked at of a text; the rest is passed over. Log messages have 5 to 60.
const MAX_TOKENS: usize = 256;

/// Part of what vectors are kept under: to be raised when the computing changes in its last bits,
/// as it may with another version of rten.
const REVISION: u32 = 1;

/// Texts in one pass of the model. Larger batches gain nothing on a CPU.
const BATCH: usize = 16;

/// A model folder: `model.onnx` (or `onnx/model.onnx`) and `tokenizer.json`. When
/// `1_Pooling/config.json` of sentence-transformers is there, it is obeyed; else tokens are
/// averaged.
pub struct OnnxModel {
    name: String,
    fingerprint: String,
    files: Files,
    pooling: Pooling,
    session: OnceLock<Session>,
}

/// The files of a model folder that cannot be done without.
pub(crate) struct Files {
    model: PathBuf,
    tokenizer: PathBuf,
}

impl Files {
    pub fn find(folder: &Path) -> Result<Files, EmbedError> {
        let file = |names: [&str; 2], missing| {
            let found = names.into_iter().map(|name| folder.join(name)).find(|path| path.is_file());
            found.ok_or(EmbedError::Incomplete { folder: folder.to_owned(), missing })
        };
        Ok(Files {
            model: file(["model.onnx", "onnx/model.onnx"], "model.onnx")?,
            tokenizer: file(["tokenizer.json", "onnx/tokenizer.json"], "tokenizer.json")?,
        })
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Pooling {
    Mean,
    Cls,
}

impl OnnxModel {
    /// Opens a model folder. Its name is the model's name; the model is loaded later.
    ///
    /// # Errors
    /// When a file of the model is missing or cannot be read.
    pub fn open(folder: &Path) -> Result<OnnxModel, EmbedError> {
        let name = fs::canonicalize(folder)
            .ok()
            .and_then(|folder| Some(folder.file_name()?.to_string_lossy().into_owned()))
            .unwrap_or_else(|| folder.display().to_string());
        let files = Files::find(folder)?;
        let digests = [hex(&digest(&files.model)?), hex(&digest(&files.tokenizer)?)];
        Ok(OnnxModel::new(&name, folder, files, [&digests[0], &digests[1]]))
    }

    /// A model whose files have these SHA-256 digests, model and tokenizer, in hexadecimal.
    pub(crate) fn new(name: &str, folder: &Path, files: Files, digests: [&str; 2]) -> OnnxModel {
        let digest = hex(&Sha256::digest(digests.concat()));
        let fingerprint = format!("{name}@{}/{REVISION}", &digest[..16]);
        let (pooling, session) = (pooling(folder), OnceLock::new());
        OnnxModel { name: name.to_owned(), fingerprint, files, pooling, session }
    }

    fn session(&self) -> Result<&Session, EmbedError> {
        if let Some(session) = self.session.get() {
            return Ok(session);
        }
        let session = Session::load(self)?;
        Ok(self.session.get_or_init(|| session))
    }
}

impl Embedder for OnnxModel {
    fn model(&self) -> &str {
        &self.name
    }

    fn fingerprint(&self) -> Result<&str, EmbedError> {
        Ok(&self.fingerprint)
    }

    fn embed(
        &self,
        texts: &[&str],
        progress: &(dyn Fn(usize) + Sync),
    ) -> Result<Vec<Vector>, EmbedError> {
        if texts.is_empty() {
            return Ok(Vec::new());
        }
        let session = self.session()?;
        let encode = |text: &&str| {
            session.tokenizer.encode_fast(*text, true).map_err(|error| session.unusable(error))
        };
        let encodings: Vec<Encoding> = texts.par_iter().map(encode).collect::<Result<_, _>>()?;
        // Texts of like length share a batch, so that little is computed on padding.
        let mut order: Vec<usize> = (0..texts.len()).collect();
        order.sort_by_key(|index| encodings[*index].len());
        let batches: Vec<Vec<(usize, Vector)>> = order
            .par_chunks(BATCH)
            .map_init(one_thread, |thread, batch| {
                let inputs: Vec<&Encoding> = batch.iter().map(|index| &encodings[*index]).collect();
                let start = Instant::now();
                let vectors = session.run(&inputs, thread)?;
                meter::embedded("in_process", batch.len(), start.elapsed());
                progress(batch.len());
                Ok(batch.iter().copied().zip(vectors).collect())
            })
            .collect::<Result<_, EmbedError>>()?;
        let mut vectors = vec![None; texts.len()];
        for (index, vector) in batches.into_iter().flatten() {
            vectors[index] = Some(vector);
        }
        Ok(vectors.into_iter().flatten().collect())
    }
}

/// A thread for the passes of one core: batches run side by side, each on a thread of its own, as
/// one batch spread over all cores leaves them waiting for each other.
fn one_thread() -> Arc<ThreadPool> {
    Arc::new(ThreadPool::with_num_threads(1))
}

/// A model that is loaded.
struct Session {
    path: PathBuf,
    model: Model,
    tokenizer: Tokenizer,
    inputs: Vec<(NodeId, Input)>,
    output: NodeId,
    pooling: Pooling,
}

#[derive(Clone, Copy)]
enum Input {
    Ids,
    Mask,
    Types,
}

impl Session {
    fn load(from: &OnnxModel) -> Result<Session, EmbedError> {
        let unusable =
            |reason: String| EmbedError::Unusable { path: from.files.model.clone(), reason };
        let model = ModelOptions::with_all_ops()
            .prepack_weights(true)
            .load_file(&from.files.model)
            .map_err(|error| unusable(error.to_string()))?;
        let mut inputs = Vec::new();
        for id in model.input_ids() {
            let name = model.node_info(*id).and_then(|node| node.name().map(str::to_owned));
            let input = match name.as_deref() {
                Some("input_ids") => Input::Ids,
                Some("attention_mask") => Input::Mask,
                Some("token_type_ids") => Input::Types,
                other => {
                    let name = other.unwrap_or("without name");
                    return Err(unusable(format!("it wants an input {name}, not known here")));
                }
            };
            inputs.push((*id, input));
        }
        let find = |name| model.find_node(name).filter(|id| model.output_ids().contains(id));
        let output = ["last_hidden_state", "token_embeddings", "sentence_embedding"]
            .into_iter()
            .find_map(find)
            .or_else(|| model.output_ids().first().copied())
            .ok_or_else(|| unusable("it has no output".to_owned()))?;
        Ok(Session {
            path: from.files.model.clone(),
            tokenizer: load_tokenizer(&from.files.tokenizer)?,
            model,
            inputs,
            output,
            pooling: from.pooling,
        })
    }

    fn unusable(&self, reason: impl ToString) -> EmbedError {
        EmbedError::Unusable { path: self.path.clone(), reason: reason.to_string() }
    }

    /// One pass over a batch, on a thread.
    fn run(
        &self,
        batch: &[&Encoding],
        thread: &Arc<ThreadPool>,
    ) -> Result<Vec<Vector>, EmbedError> {
        let width = batch.iter().map(|encoding| encoding.len()).max().unwrap_or(0);
        let tensor = |of: fn(&Encoding) -> &[u32]| {
            let mut data = vec![0; batch.len() * width];
            for (row, encoding) in data.chunks_exact_mut(width).zip(batch) {
                for (cell, value) in row.iter_mut().zip(of(encoding)) {
                    *cell = *value as i32;
                }
            }
            NdTensor::from_data([batch.len(), width], data)
        };
        let inputs = self.inputs.iter().map(|(id, input)| {
            let values = match input {
                Input::Ids => tensor(Encoding::get_ids),
                Input::Mask => tensor(Encoding::get_attention_mask),
                Input::Types => tensor(Encoding::get_type_ids),
            };
            (*id, values.into())
        });
        let options = RunOptions::default().with_thread_pool(Some(Arc::clone(thread)));
        let [output] = self
            .model
            .run_n(inputs.collect(), [self.output], Some(options))
            .map_err(|error| self.unusable(error))?;
        let output: Tensor<f32> = output
            .into_tensor()
            .ok_or_else(|| self.unusable("its output is not of 32-bit floats"))?;
        self.pool(&output, batch, width)
    }

    /// Token vectors → one unit vector a text.
    fn pool(
        &self,
        output: &Tensor<f32>,
        batch: &[&Encoding],
        width: usize,
    ) -> Result<Vec<Vector>, EmbedError> {
        let shape = output.shape().to_vec();
        let data = output.to_vec();
        let rows = batch.len();
        match shape[..] {
            [texts, dimension] if texts == rows && dimension > 0 => {
                Ok(data.chunks_exact(dimension).map(|row| unit(row.to_vec())).collect())
            }
            [texts, tokens, dimension] if texts == rows && tokens == width && dimension > 0 => {
                let texts = data.chunks_exact(tokens * dimension).zip(batch);
                Ok(texts
                    .map(|(text, encoding)| unit(self.pool_text(text, encoding, dimension)))
                    .collect())
            }
            _ => Err(self.unusable(format!("its output has the shape {shape:?}"))),
        }
    }

    fn pool_text(&self, tokens: &[f32], encoding: &Encoding, dimension: usize) -> Vec<f32> {
        if self.pooling == Pooling::Cls {
            return tokens[..dimension].to_vec();
        }
        // Without padding every token counts; the sum need not be divided, as it is made a unit.
        let mut sum = vec![0.0; dimension];
        for token in tokens.chunks_exact(dimension).take(encoding.len()) {
            for (sum, value) in sum.iter_mut().zip(token) {
                *sum += value;
            }
        }
        sum
    }
}

fn unit(mut vector: Vec<f32>) -> Vector {
    let length = vector.iter().map(|value| value * value).sum::<f32>().sqrt();
    if length > 0.0 {
        vector.iter_mut().for_each(|value| *value /= length);
    }
    vector.into()
}

fn load_tokenizer(path: &Path) -> Result<Tokenizer, EmbedError> {
    let unusable = |error: tokenizers::Error| EmbedError::Unusable {
        path: path.to_owned(),
        reason: error.to_string(),
    };
    let mut tokenizer = Tokenizer::from_file(path).map_err(unusable)?;
    let truncation = TruncationParams { max_length: MAX_TOKENS, ..TruncationParams::default() };
    tokenizer.with_truncation(Some(truncation)).map_err(unusable)?;
    // Some tokenizers pad every text to a fixed width.
    tokenizer.with_padding(None);
    Ok(tokenizer)
}

fn pooling(folder: &Path) -> Pooling {
    let config = fs::read(folder.join("1_Pooling/config.json")).ok();
    let config: Option<Value> = config.and_then(|bytes| serde_json::from_slice(&bytes).ok());
    match config.and_then(|config| config["pooling_mode_cls_token"].as_bool()) {
        Some(true) => Pooling::Cls,
        _ => Pooling::Mean,
    }
}

/// The SHA-256 of a file.
pub(crate) fn digest(path: &Path) -> Result<Vec<u8>, EmbedError> {
    let fail = |error| EmbedError::Io { path: path.to_owned(), error };
    let mut file = fs::File::open(path).map_err(fail)?;
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    loop {
        match file.read(&mut buffer).map_err(fail)? {
            0 => return Ok(hash.finalize().to_vec()),
            count => hash.update(&buffer[..count]),
        }
    }
}

/// Lower-case hexadecimal digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
